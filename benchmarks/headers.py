"""Reading a base's header: this package's walk over a memory map against the gguf package's reader.

Knows how to time and how to count what Python allocates. Both sides read the same file of a large vocabulary and end
with the number of its tokens and tensors.

    python -m benchmarks.headers
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf

from benchmarks.random_model import write_random_model
from benchmarks.sides import Finding, in_turns, main, ratio_of
from sway_gguf.artifacts.base import read_base

_MODEL = {"vocabulary": 150_000, "hidden": 64, "layers": 2, "heads": 2, "feed_forward": 128}


def ours(path: Path) -> tuple[int, int]:
    """Tokens and tensors by the walk."""
    base = read_base(path)
    return base.vocabulary, len(base.tensors)


def theirs(path: Path) -> tuple[int, int]:
    """The same by gguf.GGUFReader."""
    reader = gguf.GGUFReader(path)
    field = reader.get_field("tokenizer.ggml.tokens")
    return (len(field.data) if field else 0), len(reader.tensors)


def peak(read: Callable[[Path], tuple[int, int]], path: Path) -> float:
    """MB that Python allocates at most; a run is slower for being watched."""
    tracemalloc.start()
    read(path)
    found = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return found


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Seconds and memory of both sides, and that they read the same."""
    with tempfile.TemporaryDirectory() as scratch:
        path = options.base or Path(scratch) / "random-150k.gguf"
        if not options.base:
            write_random_model(path, **_MODEL | ({"vocabulary": 5_000} if options.quick else {}))
        agreed = "the same number of tokens and tensors" if ours(path) == theirs(path) else "they do not agree"
        times = in_turns({"ours": lambda: ours(path), "theirs": lambda: theirs(path)}, options.repeat)
        memory = [peak(read, path) for read in (ours, theirs)]
    ratio, spread = ratio_of(times["ours"], times["theirs"])
    seconds = [statistics.median(times[name]) for name in ("ours", "theirs")]
    yield Finding("reading a header", seconds[0], "s", "gguf.GGUFReader", seconds[1], ratio, spread, note=agreed)
    what = "memory of reading a header"
    yield Finding(what, memory[0], "MB", "gguf.GGUFReader", memory[1], memory[0] / memory[1])


def own_options(parser: argparse.ArgumentParser) -> None:
    """The model."""
    parser.add_argument("--base", type=Path, metavar="GGUF", help="a model to use; made at random when absent")


if __name__ == "__main__":
    main(__doc__, measured, own_options)
