"""What a result hangs on besides its own name: machine, versions, the study's own code, its sizes. Measures nothing."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable
from pathlib import Path

from benchmarks.sides import machine
from benchmarks.validity import power, types
from benchmarks.validity.cells import Cell
from benchmarks.validity.subjects import CHUNK, ENGINE
from sway_gguf.verdict.looks import FIRST_ITEMS

ROOT = Path(__file__).parents[2]
_SHOWING = ("cells", "figures", "page", "ran", "sessions", "summary", "tables", "__main__", "__init__")
"""Files of the study that measure nothing."""
_BESIDE = ("benchmarks/llama.py", "benchmarks/models.py", "benchmarks/training.py", "scripts/demo_world.py")
_DIGITS = 10


def session_of(options: argparse.Namespace) -> Cell:
    """Of a study that begins now."""
    measuring = [path for path in Path(__file__).parent.glob("*.py") if path.stem not in _SHOWING]
    study = digest([*measuring, *(ROOT / path for path in _BESIDE)])
    return {**machine(), "study": study, "sizes": sizes(quick=options.quick)}


def sizes(*, quick: bool) -> str:
    """What decides a single result; how many there are, the results tell."""
    items = f"{FIRST_ITEMS} items (power and gates {power.ITEMS}, types {types.ITEMS})"
    return f"{'quick' if quick else 'whole'}, {items}, pieces of {CHUNK} characters, {ENGINE.threads} thread"


def digest(paths: Iterable[Path]) -> str:
    """Of files by name and content, wherever their root lies."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        whole.update(f"{path.relative_to(ROOT).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:_DIGITS]
