"""How often does an adapter that learned nothing pass? Simulated runs in which it is one more null.

Goes through the product's own path: probes, measurements, calibration, Holm, axes, diagnosis. Knows the fake
backend; no model is loaded. Prints three family-wise rates with their exact 95% intervals, for several shapes of
noise: of runs in which nulls let some probe through, in which signal or direction is answered with yes, and that are
called healthy. A probe may fall short of its own further conditions, so the first counts every rejection by the nulls.

    python benchmarks/false_alarms.py --runs 300
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sway_gguf.core.queries import NextToken, Query, Rolling
from sway_gguf.core.result import Diagnosis, ProbeResult, Verdict
from sway_gguf.core.sections import Preference, Section
from sway_gguf.core.views import NullView, ScaledView, View
from sway_gguf.engine.fake import FakeBackend, Script, wordy_script
from sway_gguf.probes.base import Sources
from sway_gguf.probes.registry import build_probes
from sway_gguf.stats.binomial import proportion_interval
from sway_gguf.suite.measure import measure
from sway_gguf.suite.schedule import Nulls, schedule
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import judge

ALPHA = 0.05
CALIBRATED = ("delta_kl", "section_internalization", "preference_flip")
Draw = Callable[[np.random.Generator], float]

NOISES: dict[str, Draw] = {
    "normal": lambda rng: float(rng.normal()),
    "heavy tails (t, 4 degrees)": lambda rng: float(rng.standard_t(4)),
    "skewed (lognormal)": lambda rng: float(rng.lognormal(0.0, 0.6)),
}


class Outcome(NamedTuple):
    """What one run let through.

    Attributes:
        probe: nulls alone let some probe through, whatever else it needs.
        axis: signal or direction is answered with yes.
        healthy: the diagnosis.
    """

    probe: bool
    axis: bool
    healthy: bool


def outcome(run: int, noise: Draw, nulls: int = 19, shared: float = 0.5) -> Outcome:
    """One run whose adapter is drawn like its nulls.

    Args:
        run: its number; every random draw depends on it.
        noise: one draw of a view's effect on one item.
        nulls: to compare with.
        shared: part of the effect that all items of a view share, which makes items and probes dependent.
    """
    sources = Sources(
        sections=tuple(Section(f"s{n}", f"run {run} section {n} tells of something") for n in range(8)),
        preferences=tuple(Preference(f"run {run} question {n}", " yes", " no") for n in range(8)),
        general=tuple(f"run {run} general text {n} is here" for n in range(6)),
        prompts=tuple(f"run {run} prompt {n}" for n in range(8)),
    )
    probes = build_probes([{"name": kind, "kind": kind} for kind in ("applied", *CALIBRATED)], sources)
    plan = schedule(probes, Nulls(tuple(range(1, nulls + 1))))
    readings = measure(FakeBackend(_script(run, noise, shared)), probes, plan).readings
    results = judge(readings, alpha=ALPHA, seed=run)
    axes = axes_of(results)
    claimed = any(axis.verdict == Verdict.PASS for axis in axes if axis.axis in ("signal", "direction"))
    return Outcome(any(map(_let_through, results)), claimed, diagnose(axes, results)[0] == Diagnosis.HEALTHY)


def _let_through(result: ProbeResult) -> bool:
    null = result.null
    if null is None or null.holm_p is None or null.family_p is None:
        return False
    beats_all = result.value is not None and result.value > max(null.values)
    return beats_all and null.holm_p < ALPHA and null.family_p <= max(ALPHA, 1 / (len(null.values) + 1))


def _script(run: int, noise: Draw, shared: float) -> Script:
    def shift(view: View, query: Query) -> float:
        name = _drawn_as(view)
        if not name:
            return 0.0
        own, common = _rng(run, name, _key(query)), _rng(run, name, "all")
        return 0.3 * ((1 - shared) * noise(own) + shared * noise(common))

    return wordy_script(shift)


def _drawn_as(view: View) -> str:
    if isinstance(view, NullView):
        return f"null {view.seed}"
    return "real" if isinstance(view, ScaledView) else ""


def _key(query: Query) -> str:
    if isinstance(query, NextToken):
        return query.prompt
    return query.text if isinstance(query, Rolling) else f"{query.prompt}{query.completion}"


def _rng(run: int, name: str, key: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{run}\0{name}\0{key}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def false_alarms(runs: int, noise: Draw, nulls: int = 19) -> Outcome:
    """How many of `runs` let something through, field by field."""
    found = [outcome(run, noise, nulls) for run in range(runs)]
    return Outcome(*(sum(field) for field in zip(*found, strict=True)))


def main() -> None:
    """Print one line per shape of noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--nulls", type=int, default=19)
    options = parser.parse_args()
    print(f"{options.runs} runs, {options.nulls} nulls, {len(CALIBRATED)} calibrated probes, alpha {ALPHA}")
    for name, noise in NOISES.items():
        alarms = false_alarms(options.runs, noise, options.nulls)
        shown = (f"{what} {_rate(count, options.runs)}" for what, count in alarms._asdict().items())
        print(f"{name:28} {'   '.join(shown)}")


def _rate(count: int, runs: int) -> str:
    interval = proportion_interval(count, runs)
    assert interval is not None
    return f"{count / runs:.3f} ({interval.low:.3f}…{interval.high:.3f})"


if __name__ == "__main__":
    main()
