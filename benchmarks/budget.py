"""What `--budget` foresees against what a run takes: several suites and budgets, on this machine as it is.

Knows how to time. Each line is one budget: it is priced and cut as the command does it, then run. Foreseen is the
estimate for the run that was left, and the ratio how far off it was; the budget counts from before the pricing.

    python -m benchmarks.budget --base model.gguf --adapter adapter.gguf --data train.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.models import settings_of
from benchmarks.sides import Finding, Goal, main
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.budget import TIMING, within
from sway_gguf.suite.pace import measured_pace
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import run

_GOAL = Goal("≤", 0.25)
_SUITES: dict[str, list[str] | None] = {
    "check": None,
    "scores": ["delta_kl", "section_internalization", "external_perplexity", "top1_flips"],
    "replies": ["delta_kl", "leakage", "cluster_kl"],
}


def prepared_for(name: str, options: argparse.Namespace) -> Prepared:
    """One of the suites on the given files."""
    return prepare(
        default_spec(
            options.base,
            options.adapter,
            data=options.data,
            general=options.general,
            defaults=Defaults(nulls=options.nulls),
            engine=settings_of(options),
            kinds=_SUITES[name],
        )
    )


def one(ready: Prepared, budget: float) -> tuple[float, float, float, Prepared]:
    """Seconds foreseen, taken by the run, and taken in all, and the run that was left."""
    with ready.opened() as backend:
        start = time.perf_counter()
        pace = measured_pace(ready, backend, budget * TIMING)
        cut = within(ready, budget, pace.seconds_of, spent=time.perf_counter() - start)
        foreseen, middle = pace.seconds_of(cut), time.perf_counter()
        run(cut, backend)
        end = time.perf_counter()
    return foreseen, end - middle, end - start, cut


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Go through suites and budgets."""
    for name in ["scores"] if options.quick else options.suites:
        ready = prepared_for(name, options)
        for budget in options.budgets[:1] if options.quick else options.budgets:
            foreseen, took, total, cut = one(ready, budget)
            note = f"{total:.1f} s in all; cut: {'; '.join(cut.spec.remarks) or 'nothing'}"
            off = abs(foreseen / took - 1)
            yield Finding(f"{name} in {budget:g} s", took, "s", "foreseen", foreseen, off, None, _GOAL, note)


def own_options(parser: argparse.ArgumentParser) -> None:
    """Files, suites and budgets."""
    parser.add_argument("--base", type=Path, default=DEMO / "base.f32.gguf")
    parser.add_argument("--adapter", type=Path, default=DEMO / "healthy.lora.gguf")
    parser.add_argument("--data", type=Path, default=DEMO / "document.md")
    parser.add_argument("--general", type=Path, default=DEMO / "general.txt")
    parser.add_argument("--suites", nargs="+", choices=_SUITES, default=list(_SUITES))
    parser.add_argument("--budgets", nargs="+", type=float, default=[5.0, 15.0, 60.0], metavar="SECONDS")
    parser.add_argument("--nulls", type=int, default=19)


if __name__ == "__main__":
    main(__doc__, measured, own_options)
