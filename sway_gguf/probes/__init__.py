"""Probes: one file per question. Knows spec options, values and statistics; no engine, null or verdict."""
