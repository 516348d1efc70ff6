"""What `--budget` foresees against what a run takes: several suites and budgets, on this machine as it is.

Knows how to time. Each line is one budget: it is priced and cut as the command does it, then run. `foreseen` is the
estimate for the run that was left, `took` its time; the budget counts from before the pricing.

    python benchmarks/budget.py --base model.gguf --adapter adapter.gguf --data train.md
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.budget import TIMING, within
from sway_gguf.suite.pace import measured_pace
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import run

_GOAL = 0.25
_DEMO = Path(__file__).parents[1] / "sway_gguf" / "data" / "demo"
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
            engine=EngineSettings(threads=options.threads),
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


def main() -> None:
    """Read the options, go through suites and budgets, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, default=_DEMO / "base.f32.gguf")
    parser.add_argument("--adapter", type=Path, default=_DEMO / "healthy.lora.gguf")
    parser.add_argument("--data", type=Path, default=_DEMO / "document.md")
    parser.add_argument("--general", type=Path, default=_DEMO / "general.txt")
    parser.add_argument("--suites", nargs="+", choices=_SUITES, default=list(_SUITES))
    parser.add_argument("--budgets", nargs="+", type=float, default=[5.0, 15.0, 60.0], metavar="SECONDS")
    parser.add_argument("--nulls", type=int, default=19)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print(f"{'suite':<10}{'budget':>8}{'in all':>8}{'foreseen':>10}{'took':>8}{'ratio':>8}  what was cut")
    worst = 0.0
    for name in options.suites:
        ready = prepared_for(name, options)
        for budget in options.budgets:
            foreseen, took, total, cut = one(ready, budget)
            worst = max(worst, abs(foreseen / took - 1))
            told = "; ".join(cut.spec.remarks) or "nothing"
            print(
                f"{name:<10}{budget:8.1f}{total:8.1f}{foreseen:10.1f}{took:8.1f}{foreseen / took:8.2f}  {told}",
                flush=True,
            )
    print(f"goal: within {_GOAL:.0%}; the worst is off by {worst:.0%}, {'reached' if worst <= _GOAL else 'missed'}")


if __name__ == "__main__":
    main()
