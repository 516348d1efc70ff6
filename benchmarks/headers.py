"""Reading a base's header: this package's walk over a memory map against the gguf package's reader.

Knows how to time and how to count what Python allocates. Both sides read the same file of a large vocabulary and end
with the number of its tokens and tensors.

    python benchmarks/headers.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf

from benchmarks.random_model import write_random_model
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


def cost(read: Callable[[Path], tuple[int, int]], path: Path) -> tuple[float, float, tuple[int, int]]:
    """Seconds of one run, and the peak in MB of another, which is slower for being watched."""
    start = time.perf_counter()
    found = read(path)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return seconds, peak, found


def main() -> None:
    """Make the file, read it both ways, print both sides and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a GGUF to use; made at random when absent")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = options.model or Path(scratch) / "random-150k.gguf"
        if not options.model:
            write_random_model(path, **_MODEL)
        mine, other = cost(ours, path), cost(theirs, path)
    print(f"{mine[2][0]} tokens, {mine[2][1]} tensors; both sides agree: {mine[2] == other[2]}")
    print(f"sway_gguf    {mine[0]:8.3f} s  {mine[1]:8.1f} MB")
    print(f"gguf         {other[0]:8.3f} s  {other[1]:8.1f} MB")
    print(f"ratio        {mine[0] / other[0]:8.4f}    {mine[1] / other[1]:8.4f}")


if __name__ == "__main__":
    main()
