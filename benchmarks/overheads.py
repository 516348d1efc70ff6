"""What comes on top of evaluating tokens: nulls, swapped adapters, contexts, hashing, and starting the program.

Knows how to time, and what a panel of a view is: 8 prompts and 20 texts of 60 tokens, as little as one null is asked. A
null is drawn, written to memory and loaded; its share is of the panel's evaluation on that null.

    python -m benchmarks.overheads
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.models import base_of, base_option, random_adapter, settings_of
from benchmarks.random_model import random_texts
from benchmarks.sides import Finding, Goal, in_turns, main, shares
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.core.queries import NextToken, Query, Rolling
from sway_gguf.core.views import BASE, TUNED, NullDesign, NullView, View
from sway_gguf.engine.llama_backend import LlamaBackend

_NULL, _HELP, _INSPECT = Goal("<", 0.1), Goal("<", 0.1), Goal("<", 0.3)
_RANKS = (8, 64)
_START = "import sys; from sway_gguf.cli.start import main; sys.argv[0] = 'sway-gguf'; main()"


def panel(backend: LlamaBackend, quick: bool) -> list[Query]:
    """Eight prompts and twenty texts of about sixty tokens."""
    text, words = "", iter(random_texts(1, 200)[0].split())
    while len(backend.model.tokenize(text)) < 60:
        text += f"{next(words)} "
    count = len(text.split())
    texts = random_texts(2 if quick else 20, count, seed=1)
    return [*map(Rolling, texts), *map(NextToken, random_texts(2 if quick else 8, count // 2, seed=2))]


def timed_view(backend: LlamaBackend, view: View, asked: list[Query]) -> float:
    """Seconds of opening a view and answering."""
    start = time.perf_counter()
    with backend.open(view) as opened:
        opened.answer(asked)
    return time.perf_counter() - start


def nulls(base: Path, rank: int, options: argparse.Namespace, folder: Path) -> Iterator[Finding]:
    """What a null costs beyond its panel, and what changing between two loaded adapters does."""
    adapter = random_adapter(read_base(base), rank, folder)
    with LlamaBackend(base, adapter, settings_of(options)) as backend:
        asked, one = panel(backend, options.quick), [NextToken("The")]
        design = NullDesign("rotation")
        timed_view(backend, TUNED, asked)
        timed_view(backend, TUNED, one)
        made, plain, whole, swapped = [], [], [], []
        for turn in range(options.repeat):
            made.append(timed_view(backend, NullView(2 * turn, design), one))
            plain.append(timed_view(backend, TUNED, one))
            whole.append(timed_view(backend, NullView(2 * turn + 1, design), asked))
            timed_view(backend, BASE, one)
            swapped.append(timed_view(backend, TUNED, one))
    null = statistics.median(made) - statistics.median(plain)
    evaluated = statistics.median(whole) - null
    yield shares(f"a null of rank {rank}, made and loaded", null, evaluated, "s", "its panel", _NULL)
    swap = max(0.0, statistics.median(swapped) - statistics.median(plain))
    yield shares(f"an adapter of rank {rank} put on again", swap, evaluated, "s", "its panel", None)


def contexts(base: Path, options: argparse.Namespace) -> Iterator[Finding]:
    """Making the contexts of a panel, from a first answer and a second one on the loaded model."""
    first, second = [], []
    for _ in range(options.repeat):
        with LlamaBackend(base, None, settings_of(options)) as backend:
            asked = panel(backend, options.quick)
            first.append(timed_view(backend, BASE, asked))
            second.append(timed_view(backend, BASE, asked))
    extra = max(0.0, statistics.median(first) - statistics.median(second))
    yield shares("contexts made, and first touched", extra, statistics.median(second), "s", "a panel", None)


def hashing(base: Path, options: argparse.Namespace) -> Iterator[Finding]:
    """Reading and hashing the base's file, which runs beside the model."""
    took = statistics.median(in_turns({"sha256": lambda: sha256_of(base)}, options.repeat)["sha256"])
    yield Finding("hashing", base.stat().st_size / took / 1e6, "MB/s", note=f"{took:.3f} s for {base.name}")


def starting(base: Path, options: argparse.Namespace) -> Iterator[Finding]:
    """Whole processes, beside one of Python that does nothing."""

    def run(*words: str) -> Callable[[], object]:
        command = [sys.executable, *words]
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    sides = {
        "nothing": run("-c", "pass"),
        "--help": run("-c", _START, "--help"),
        "inspect": run("-c", _START, "inspect", str(base)),
    }
    times = {name: statistics.median(took) for name, took in in_turns(sides, options.repeat).items()}
    for name, goal in (("--help", _HELP), ("inspect", _INSPECT)):
        yield Finding(f"sway-gguf {name}", times[name], "s", "Python alone", times["nothing"], None, None, goal)


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """All of them, on one base."""
    base = base_of(options)
    with tempfile.TemporaryDirectory() as scratch:
        for rank in _RANKS:
            yield from nulls(base, rank, options, Path(scratch))
    yield from contexts(base, options)
    yield from hashing(base, options)
    yield from starting(base, options)


if __name__ == "__main__":
    main(__doc__, measured, base_option)
