"""What a file holds, by its content: whether it may be replaced hangs on that, and what is to be done with it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

Holds = Literal["nothing", "result", "model", "suite", "other"]
_READ = 64 << 20
_RESULTS = (
    {"diagnosis", "axes", "probes", "schema_version"},
    {"rows", "wanted", "recommended", "pareto"},
    {"comparisons", "regressed"},
    {"rows", "winner", "favourite", "pareto"},
    {"serves", "heard", "requests"},
)
"""Keys that JSON of ours has: of a run, and of `quants`, `compare`, `pick` and `served`."""
_MARKS = (
    ("<svg", "<desc>sway-gguf ", ""),
    ("<!-- sway-gguf:", "", "<!-- sway-gguf:end -->"),
    ("---\n# written by sway-gguf", "", "<!-- sway-gguf:end -->"),
    ("<?xml", '<testsuites name="sway-gguf"', "</testsuites>"),
    ("<!doctype html", 'name="generator" content="sway-gguf', "</html>"),
    ("sway-gguf report", "", "end of the sway-gguf report"),
)
"""What our reports start with, hold near the start, and end with: a file that somebody wrote on in is theirs."""
_NEAR = 2000
_SPEC_KEY = r"(?:^|[{,])\s*[\"']?%s[\"']?\s*:"


def held_by(path: Path) -> Holds:
    """What a file holds, by its content."""
    try:
        with path.open("rb") as file:
            data = file.read(_READ)
    except OSError:
        return "other"
    if not data:
        return "nothing"
    if data.startswith(b"GGUF"):
        return "model"
    text = data.decode("utf-8", "replace")
    if _is_result(text):
        return "result"
    if path.suffix.lower() in (".yaml", ".yml") or all(
        re.search(_SPEC_KEY % key, text, re.MULTILINE) for key in ("models", "suite")
    ):
        return "suite"
    return "other"


def _is_result(text: str) -> bool:
    from sway_gguf.core.trace import is_trace

    start = text[:_NEAR].lower()
    if is_trace(text):
        return True
    if any(start.startswith(first) and mark in start and text.rstrip().endswith(last) for first, mark, last in _MARKS):
        return True
    with suppress(ValueError, RecursionError):
        record = json.loads(text)
        return isinstance(record, dict) and any(keys <= record.keys() for keys in _RESULTS)
    return False
