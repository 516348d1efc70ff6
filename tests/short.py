"""Texts for runs on the demo that are to be short."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).parent / "texts" / "document.md"
"""The first half of the document that the demo's adapters were trained on: the same verdicts by half of the tokens."""
GENERAL = Path(__file__).parent / "texts" / "general.txt"
"""A third of the text that they should leave alone."""
