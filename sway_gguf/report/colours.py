"""Colours of our pictures and cards. Each has a contrast of at least 4.5 against white, before it or behind it."""

from __future__ import annotations

GREEN, AMBER, RED, VIOLET, GREY = "#1a7f37", "#9a6700", "#cf222e", "#8250df", "#6e7781"
