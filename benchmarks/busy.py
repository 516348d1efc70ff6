"""What bounded spinning is worth: the same work with and without the bound, quiet and beside busy programs.

Knows how to time and which variables OpenMP's runtimes read. Every measurement is a process of its own, because they
read them once; all sides take turns within a round, so that a machine which changes its pace changes it for all. The
side `bounded` sets nothing itself: it shows what the engine chooses. One thread, which waits for nobody, stands beside.

    python -m benchmarks.busy --base model.gguf
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.random_model import random_texts, write_random_model
from benchmarks.sides import Finding, Goal, main, ratio_of
from sway_gguf.material.packaged import DEMO

_GAIN, _KEPT = Goal("≥", 2.0), Goal("≥", 0.95)
_MODEL = {"vocabulary": 32_000, "hidden": 768, "layers": 10, "heads": 12, "feed_forward": 2048}
_VARIABLES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY", "OMP_WAIT_POLICY")
_UNBOUNDED = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
"""What the runtimes take where nothing is set."""


class Side(NamedTuple):
    """What one child process runs with."""

    name: str
    threads: int
    variables: Mapping[str, str]


Speeds = dict[str, list[float]]
"""Tokens per second by side, round by round."""


def child(options: argparse.Namespace) -> float:
    """Tokens per second of scoring texts over and over for some seconds, after one pass that nobody times."""
    from sway_gguf.core.engine_settings import EngineSettings
    from sway_gguf.engine.llama_backend import LlamaBackend

    texts = random_texts(options.texts, options.words)
    with (
        LlamaBackend(options.base, None, EngineSettings(threads=options.threads)) as backend,
        backend.as_base() as view,
    ):
        fed = sum(len(backend.model.tokenize(text)) - 1 for text in texts)
        view.rolling_logprob_many(texts)
        passes, start = 0, time.perf_counter()
        while not passes or time.perf_counter() - start < options.seconds:
            view.rolling_logprob_many(texts)
            passes += 1
        return passes * fed / (time.perf_counter() - start)


def speed_of(side: Side, base: Path, options: argparse.Namespace) -> float:
    """The same in a child process with the side's variables and no others of their kind."""
    inherited = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    work = (("--base", base), ("--threads", side.threads), ("--texts", options.texts), ("--words", options.words))
    words = [str(word) for pair in work for word in pair] + ["--seconds", str(options.seconds), "--child"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.busy", *words],
        env=inherited | dict(side.variables),
        check=True,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    return float(done.stderr.splitlines()[-1])


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that compute without end, for the length of the block."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measure(sides: Sequence[Side], base: Path, options: argparse.Namespace) -> Speeds:
    """All sides in turns; every other round runs backwards."""
    speeds: Speeds = {side.name: [] for side in sides}
    for turn in range(options.repeat):
        for side in sides[:: -1 if turn % 2 else 1]:
            speeds[side.name].append(speed_of(side, base, options))
    return speeds


def sides_of(options: argparse.Namespace) -> list[Side]:
    """Unbounded, bounded, one thread, and what else was asked for."""
    threads = options.threads or os.cpu_count() or 1
    further = [Side(f"spin {spins}", threads, {"GOMP_SPINCOUNT": spins}) for spins in options.spins]
    usual = [Side("unbounded", threads, _UNBOUNDED), Side("bounded", threads, {}), Side("one thread", 1, {})]
    return [*usual, *further, Side("passive", threads, {"OMP_WAIT_POLICY": "passive"})]


def compare(base: Path, options: argparse.Namespace) -> Iterator[Finding]:
    """Quiet and beside busy processes: all speeds are printed; bounded over unbounded has goals."""
    sides = sides_of(options)
    print(f"{base.name}, {sides[0].threads} threads on {os.cpu_count()} logical processors, tokens/s")
    print(f"{'':<14}{'':<14}{'median':>9}{'min':>9}{'max':>9}{'ratio':>9}{'min':>9}{'max':>9}")
    for count, goal in ((0, _KEPT), (options.neighbours, _GAIN)):
        where = f"{count} busy" if count else "quiet"
        with neighbours(count):
            speeds = measure(sides, base, options)
        first = speeds[sides[0].name]
        for name, found in speeds.items():
            ratio, spread = ratio_of(found, first)
            print(
                f"{where:<14}{name:<14}{statistics.median(found):9.1f}{min(found):9.1f}{max(found):9.1f}"
                f"{ratio:9.2f}{spread[0]:9.2f}{spread[1]:9.2f}"
            )
            if name == "bounded":
                middle = [statistics.median(each) for each in (found, first)]
                bounded = Finding(f"{base.stem}, {where}", middle[0], "tokens/s", "unbounded", middle[1], ratio, spread)
        yield replace(bounded, goal=goal)


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """On the model that was given, or on the demo's and one made at random."""
    if options.child:
        print(child(options), file=sys.stderr)
        return
    if options.quick:
        options.seconds = 0.5
    if options.base:
        yield from compare(options.base, options)
        return
    yield from compare(DEMO / "base.f32.gguf", options)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "random-f16.gguf"
        write_random_model(path, **_MODEL)
        yield from compare(path, options)


def own_options(parser: argparse.ArgumentParser) -> None:
    """The model, what runs beside, and the work."""
    parser.add_argument("--base", type=Path, help="a GGUF to use; else the demo's model and one made at random")
    parser.add_argument("--neighbours", type=int, default=2, help="busy processes beside")
    parser.add_argument("--spins", nargs="*", default=[], metavar="N", help="further values of GOMP_SPINCOUNT to try")
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--words", type=int, default=19, help="words per text, about 3.25 tokens each")
    parser.add_argument("--seconds", type=float, default=4.0, help="of work per measurement")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)


if __name__ == "__main__":
    main(__doc__, measured, own_options)
