"""Orchestration: from a spec to a result. Knows every layer but the command line and the terminal."""
