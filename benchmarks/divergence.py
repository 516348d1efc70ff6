"""The KL table of `top1_flips` against llama-perplexity's: time, and whether the printed digits are the same.

Knows how llama-perplexity reads a text: all of it becomes tokens, which are cut into windows of -c without overlap; of
each window the first token is BOS where the model adds one, and positions c/2 to c − 2 are compared, each over all of
the vocabulary. Our comparison gets the same windows as jobs, so that both sides evaluate the same tokens.

Between its two runs the base's log-probabilities lie in a file as 16-bit steps of a range of 16 nats, 2.4e-4 each, and
what is less likely than e⁻¹⁶ in the base is left out of a KL. So its own digits are those of rounded numbers: the lines
"rounded as its file is" put our logits through the same and have to be what it prints; the others are ours, exact.
It has to load the model twice; ours is timed with its load as well.

    python -m benchmarks.divergence
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.models import base_of, base_option, random_adapter, settings_of
from benchmarks.sides import Finding, Goal, in_turns, left_out, main, ratio_of
from benchmarks.throughput import usual_threads
from scripts.build_llama_tools import CannotBuildError, build
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.answers import Changes
from sway_gguf.core.views import TUNED
from sway_gguf.engine import packed
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packing import Job, group_jobs
from sway_gguf.material.packaged import DATA, REAL
from sway_gguf.probes.top1_flips import kl_table

_FASTER, _SAME = Goal("<", 1.0), Goal("≤", 1.0)
_RANK = 8
_LINES = {
    "mean KL": (r"Mean\s+KLD:\s+(\S+)", "mean KL, nats", 1.0, 6, "nats"),
    "same top token": (r"Same top p:\s+(\S+)", "share of same top", 100.0, 3, "%"),
    "RMS change of p": (r"RMS Δp\s*:\s+(\S+)", "RMS change of p", 100.0, 3, "%"),
}
"""How it prints a number, our column, a factor to its unit, its digits, and the unit."""
_RANGE, _STEPS = np.float32(16), np.float32(65535)


def windows(tokens: list[int], width: int, bos: int | None) -> list[Job]:
    """llama-perplexity's windows, and in each the targets that it scores."""
    jobs = []
    for start in range(0, len(tokens) - width + 1, width):
        own = tokens[start : start + width]
        fed = [own[0] if bos is None else bos, *own[1:-1]]
        jobs.append(Job(tuple(fed), width // 2, tuple(own[width // 2 + 1 :])))
    return jobs


def rounded(base: NDArray[np.float32], other: NDArray[np.float32], targets: Sequence[int]) -> Changes:
    """What llama-perplexity makes of the same logits, in its own precision. [n, V], [n, V], [n] → [n] each."""
    rows, peak = np.arange(len(targets)), base.max(axis=1, keepdims=True)
    least = np.maximum(base.min(axis=1, keepdims=True), peak - _RANGE)
    step = (peak - least) / _STEPS
    steps = np.where(base > least, np.rint((base - least) * (1 / step)), np.float32(0))
    log_p = steps * step + (least - peak - _log_sum(base, peak))
    top = other.max(axis=1, keepdims=True)
    log_q = other - (top + _log_sum(other, top))
    terms = np.where(log_p > -_RANGE, np.exp(log_p) * (log_p - log_q), np.float32(0))
    back = np.exp(log_q) * (log_q - log_p)
    same = log_p.argmax(axis=1) == other.argmax(axis=1)
    wanted = [each[rows, list(targets)].astype(np.float64) for each in (log_p, log_q)]
    return Changes(terms.sum(axis=1, dtype=np.float64), back.sum(axis=1, dtype=np.float64), same, *wanted)


def _log_sum(logits: NDArray[np.float32], peak: NDArray[np.float32]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = np.log(np.exp(logits - peak).sum(axis=1, dtype=np.float64)).astype(np.float32)
    return total[:, None]


def ours(base: Path, adapter: Path, text: str, options: argparse.Namespace) -> dict[str, float]:
    """Our table by its columns, with loading the model."""
    with LlamaBackend(base, adapter, settings_of(options)) as backend:
        jobs = windows(backend.model.tokenize(text), options.width, backend.model.bos)
        with backend.open(TUNED):
            limits = backend.limits()
            parts = [
                job
                for group in group_jobs(jobs, limits)
                for job in packed.compare(backend._pool, TUNED, jobs, group, limits, lambda tokens: None)
            ]
        found: list[Changes] = [piece for job in parts for piece in job]
    table = kl_table(found)
    return dict(zip(table.columns, table.rows[0].cells, strict=True))


def theirs(tool: Path, base: Path, adapter: Path, text: Path, options: argparse.Namespace) -> str:
    """What llama-perplexity prints in its second run, after one that keeps the base's logits in a file."""
    kept = text.with_suffix(".logits")
    words = [
        "-m",
        base,
        "-f",
        text,
        "-c",
        options.width,
        "-t",
        usual_threads(options),
        "-ngl",
        options.gpu_layers % 1000,
    ]
    words += ["-b", 2048, "-ub", 512, "-fa", "off", "--kl-divergence-base", kept]
    for more in ([], ["--lora", adapter, "--kl-divergence"]):
        command = [str(word) for word in (tool, *words, *more)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise CannotBuildError(f"llama-perplexity failed: {done.stdout.strip().splitlines()[-1]}")
    return done.stdout


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Time of both sides, then each line of the table that both print."""
    try:
        tool = build() / "llama-perplexity"
    except CannotBuildError as error:
        yield left_out("the KL table against llama-perplexity", error)
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = base_of(options)
        adapter = options.adapter or REAL / "seeds.f16.lora.gguf"
        if options.base and not options.adapter:
            adapter = random_adapter(read_base(base), _RANK, Path(scratch))
        text = Path(scratch) / "text.txt"
        prose = options.text.read_text(encoding="utf-8")
        text.write_text(prose[: 12 * options.width] if options.quick else prose, encoding="utf-8")
        found: dict[str, Any] = {}
        sides = {
            "ours": lambda: found.update(ours=ours(base, adapter, text.read_text(encoding="utf-8"), options)),
            "theirs": lambda: found.update(theirs=theirs(tool, base, adapter, text, options)),
        }
        times = in_turns(sides, options.repeat, warm=not options.quick)
        size = (text.with_suffix(".logits")).stat().st_size
        ratio, spread = ratio_of(times["ours"], times["theirs"])
        mine, other = (statistics.median(times[name]) for name in ("ours", "theirs"))
        note = f"its file between the runs: {size / 1e6:.0f} MB; ours: none"
        yield Finding("the KL table", mine, "s", "two runs of llama-perplexity", other, ratio, spread, _FASTER, note)
        printed = found["theirs"]
        exact = found["ours"]
        with mock.patch.object(packed, "changes", rounded):
            again = ours(base, adapter, text.read_text(encoding="utf-8"), options)
        for name, (pattern, column, factor, digits, unit) in _LINES.items():
            match = re.search(pattern, printed)
            if match is None:
                yield left_out(name, "llama-perplexity prints it from 100 positions on; give a longer --text")
                continue
            told, of = float(match[1]), f"of {again['positions']:.0f} positions, it prints {match[1]}"
            for table, how in ((exact, "exact"), (again, "rounded as its file is")):
                value = table[column] * factor
                apart = round(abs(value - told) * 10**digits, 1)
                goal = _SAME if table is again else None
                note = f"{of}, ours {value:.{digits}f}; the ratio is the difference in units of its last digit"
                yield Finding(f"{name}, {how}", value, unit, "llama-perplexity", told, apart, None, goal, note)


def own_options(parser: argparse.ArgumentParser) -> None:
    """Files and the width of windows."""
    base_option(parser)
    parser.add_argument("--adapter", type=Path, help="a LoRA GGUF in place of the real demo's")
    parser.add_argument(
        "--text", type=Path, default=DATA / "general" / "prose.md", help="a text of two windows or more"
    )
    parser.add_argument("--width", type=int, default=512, help="tokens of a window, as its -c")


if __name__ == "__main__":
    main(__doc__, measured, own_options)
