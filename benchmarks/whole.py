"""The whole `check`, as a user runs it: tokens, seconds and memory on the real model, seconds on the demo's small one.

Knows the command line and Linux's peak of resident memory. Nothing is read from an answer store, so that every token is
evaluated; the small model stands for those that are trained in minutes.

    python -m benchmarks.whole
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.models import base_of, base_option
from benchmarks.sides import Finding, Goal, main
from sway_gguf.engine.counting import counter
from sway_gguf.material.packaged import DEMO, REAL
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.prepare import prepare
from sway_gguf.suite.run import plan

_LONG = "check of the real demo's files"
_BEFORE = 122_837
"""Tokens of a check of 96 dialogues on the real demo's base, when every probe of every null was asked in full."""
_QUARTER, _SECONDS, _SMALL, _SUITE = Goal("≤", 0.25), Goal("≤", 80.0), Goal("<", 3.0), Goal("≤", 90_000.0)


class Check(NamedTuple):
    """What one `check` took: tokens evaluated, seconds and peak MiB of its process, and its diagnosis."""

    tokens: float
    seconds: float
    memory: float
    diagnosis: str


def check(words: Sequence[str | Path], options: argparse.Namespace) -> Check:
    """Run `sway-gguf check` in a process of its own, with no answer store."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "result.json"
        threads = ["-t", options.threads] if options.threads else []
        given = ["--json", out, *threads, "-ngl", options.gpu_layers]
        command = [sys.executable, "-m", "sway_gguf", "check", *map(str, (*words, *given))]
        start = time.perf_counter()
        nothing_kept = os.environ | {"SWAY_GGUF_STORE": "off"}
        with (Path(scratch) / "log").open("w+b") as log:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=nothing_kept)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            if process.returncode:
                raise RuntimeError(log.read().decode("utf-8", "replace").strip() or f"code {process.returncode}")
        record = json.loads(out.read_text(encoding="utf-8"))
    # Linux counts in KiB, macOS in bytes.
    memory = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Check(record["timings"]["tokens"], seconds, memory, record["diagnosis"])


def suite_tokens(base: Path, adapter: Path, data: Path) -> int:
    """What a suite by `sway-gguf init` evaluates where the first look at the nulls decides and nothing is damaged."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "sway.yaml"
        words = map(str, ("init", base, adapter, "--data", data, "-o", out))
        subprocess.run([sys.executable, "-m", "sway_gguf", *words], check=True, stdout=subprocess.DEVNULL)
        ready = prepare(load_spec(out))
        with counter(ready.base.path, ready.engine, ready.base.context_length) as count:
            return plan(ready).span(count)[0]


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """The small model, then the real one."""
    # Its base reads its own small world alone; of packaged prose no verdict would come, and all nulls be asked.
    texts = ["--data", DEMO / "document.md", "--general", DEMO / "general.txt"]
    demo = [DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", *texts]
    runs = [check(demo, options) for _ in range(options.repeat)]
    note = f"{runs[0].tokens:,.0f} tokens, {runs[0].diagnosis}"
    yield Finding("check of the demo", statistics.median(run.seconds for run in runs), "s", goal=_SMALL, note=note)
    adapter, data = options.adapter or REAL / "seeds.f16.lora.gguf", options.data or REAL / "dialogues.jsonl"
    base = base_of(options)
    yield Finding("a suite by init, planned", suite_tokens(base, adapter, data), "tokens", goal=_SUITE)
    words = [base, adapter, "--data", data, *["--nulls", "5"] * options.quick]
    runs = [check(words, options) for _ in range(min(options.repeat, options.checks))]
    tokens, seconds, memory, diagnosis = runs[0]
    seconds = statistics.median(run.seconds for run in runs)
    share = tokens / _BEFORE
    yield Finding(f"{_LONG}, tokens", tokens, "tokens", "in full", _BEFORE, share, None, _QUARTER, diagnosis)
    speed = f"{tokens / seconds:.0f} tokens/s from its start to its end, median of {len(runs)}"
    yield Finding(f"{_LONG}, time", seconds, "s", goal=_SECONDS, note=speed)
    yield Finding(f"{_LONG}, peak memory", memory, "MiB")


def own_options(parser: argparse.ArgumentParser) -> None:
    """Files, and how often the long one runs."""
    base_option(parser)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--checks", type=int, default=3, help="runs of the real model's at most")


if __name__ == "__main__":
    main(__doc__, measured, own_options)
