"""How often does an adapter that learned nothing pass, and how often one that learned a little?

Simulated runs through the product's own path: schedule, panel, looks, probes, measurements, judge, axes, diagnosis.
First the real adapter is one more null, and the family-wise rates are those of runs in which nulls let some probe
through, in which signal or direction is answered with yes, and that are called healthy. A probe may fall short of its
own further conditions, so the first counts every rejection by the nulls. Then the adapter lifts its material by 0.1
nats per token. One look is all nulls on all items; two are what a run does by itself. Knows the simulated worlds; no
model is loaded. benchmarks/looks.py draws values straight from a law, and far more of them.

    python -m benchmarks.false_alarms --runs 2000 --processes 2 --json alarms.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks.worlds import Effect, Law, World, texts_of
from sway_gguf.core.result import Diagnosis, ProbeResult, Verdict
from sway_gguf.engine.fake import FakeBackend
from sway_gguf.probes.registry import build_probes
from sway_gguf.spec.model import Defaults
from sway_gguf.stats.binomial import proportion_interval
from sway_gguf.suite.decisions import decisions_of
from sway_gguf.suite.measure import measure
from sway_gguf.suite.schedule import Nulls, schedule
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.looks import FIRST_ITEMS, FIRST_NULLS, bar_of

DEFAULTS = Defaults()
KINDS = ("delta_kl", "section_internalization", "preference_flip", "content", "paraphrase_invariance")
ITEMS = 10
LAWS = ("normal", "t4", "0.3", "0.6", "0.9", "1.2")
ALIKE = (0.5,)
LIFTED = 24
SPREADS = (0.05, 0.1, 0.2)
PIECE = 100


class Rule(NamedTuple):
    """How nulls are asked: items of the panel (None for all), nulls of the first look (None for a single look)."""

    panel: int | None
    first: int | None


RULES = {1: Rule(None, None), 2: Rule(DEFAULTS.panel, FIRST_NULLS)}
"""By the number of looks."""


class Outcome(NamedTuple):
    """What one run let through, or how many of several runs did.

    Attributes:
        probe: nulls alone let some probe through, whatever else it needs.
        axis: signal or direction is answered with yes.
        healthy: the diagnosis.
        sections: section_internalization passes.
        visits: to nulls, over both looks.
    """

    probe: int
    axis: int
    healthy: int
    sections: int
    visits: int


def outcomes(world: World, kinds: Sequence[str], rules: Sequence[Rule]) -> list[Outcome]:
    """One run of a world, rule by rule."""
    probes = build_probes([{"name": kind, "kind": kind} for kind in ("applied", *kinds)], world.sources)
    seeds = tuple(range(1, world.nulls + 1))
    found = []
    for rule in rules:
        plan = schedule(probes, Nulls(seeds, panel=rule.panel, first=rule.first, part=FIRST_ITEMS))
        decisions = decisions_of(rule.first, alpha=DEFAULTS.alpha)
        readings = measure(FakeBackend(world), probes, plan, decisions=decisions).readings
        results = judge(readings, alpha=DEFAULTS.alpha, first=rule.first)
        axes = axes_of(results)
        claimed = any(axis.verdict == Verdict.PASS for axis in axes if axis.axis in ("signal", "direction"))
        sections = [r for r in results if r.kind == "section_internalization" and r.verdict == Verdict.PASS]
        visits = max(len(r.early) for r in readings) + max(len(r.nulls) for r in readings)
        healthy = diagnose(axes, results)[0] == Diagnosis.HEALTHY
        found.append(
            Outcome(any(let_through(each, world.nulls) for each in results), claimed, healthy, len(sections), visits)
        )
    return found


def let_through(result: ProbeResult, planned: int) -> bool:
    """Whether the nulls reject: as the rule asks, without the further conditions on the interval and the floor.

    At the first look that is beyond its bar, and else beyond all that were planned: what ended before, because its
    items leave it open, was not rejected.
    """
    null = result.null
    if null is None or null.value is None or null.holm_p is None or null.family_p is None:
        return False
    if null.early:
        return null.holm_p < bar_of(len(null.values))
    beyond = len(null.values) == planned and null.value > max(null.values)
    return beyond and null.holm_p < DEFAULTS.alpha and null.family_p <= max(DEFAULTS.alpha, 1 / (len(null.values) + 1))


def learned_nothing(law: Law, kinds: Sequence[str], rules: Sequence[Rule], nulls: int, run: int) -> list[Outcome]:
    """A run whose adapter is drawn like its nulls."""
    return outcomes(World(run, law, texts_of(ITEMS), nulls), kinds, rules)


def small_lift(items: int, spread: float, rules: Sequence[Rule], nulls: int, run: int) -> list[Outcome]:
    """A run whose adapter moves next tokens clearly and its sections by 0.1 nats per token, by `spread` from one to
    the next. The nulls are SmolLM2's: their means stand 0.02 apart, and 0.03 more on every text.
    """
    effects = {"prompts": Effect(2.0), "sections": Effect(0.1, spread)}
    world = World(run, Law(views=0.02, texts=0.03), texts_of(items), nulls, effects)
    return outcomes(world, ("delta_kl", "section_internalization", "content"), rules)


def total(runs: Iterable[Sequence[Outcome]]) -> list[Outcome]:
    """Sums field by field, rule by rule."""
    return [Outcome(*map(sum, zip(*of_rule, strict=True))) for of_rule in zip(*runs, strict=True)]


def main() -> None:
    """Print a line per law and number of looks, then the power."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--nulls", type=int, default=DEFAULTS.nulls)
    parser.add_argument("--looks", type=int, nargs="+", default=list(RULES), choices=list(RULES))
    parser.add_argument("--laws", nargs="*", default=LAWS, help="normal, t4, or the σ of a lognormal")
    parser.add_argument("--alike", type=float, nargs="*", default=ALIKE, help="correlation of a view's effects")
    parser.add_argument("--spreads", type=float, nargs="*", default=SPREADS, help="of a small lift, item by item")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"append every {PIECE} runs; what it holds is kept")
    asked = parser.parse_args()
    rules = [RULES[looks] for looks in asked.looks]
    print(f"{asked.runs} runs, {asked.nulls} nulls, {len(KINDS)} probes that nulls decide, alpha {DEFAULTS.alpha}")
    with ProcessPoolExecutor(asked.processes) as pool:
        pieces = Pieces(pool, asked.runs, asked.json)
        for law, alike in product(asked.laws, asked.alike):
            one = partial(learned_nothing, Law(law, alike=alike), KINDS, rules, asked.nulls)
            name = f"{law:6} alike {alike}"
            found = pieces.total(f"{name}, {asked.nulls} nulls, looks {asked.looks}", one)
            for looks, outcome in zip(asked.looks, found, strict=True):
                print(f"{name}  looks {looks}  {'  '.join(_rates(outcome, asked.runs))}", flush=True)
        for spread in asked.spreads:
            one = partial(small_lift, LIFTED, spread, list(RULES.values()), asked.nulls)
            found = pieces.total(f"lift {LIFTED} items, spread {spread}, {asked.nulls} nulls", one)
            before, after = (outcome.sections for outcome in found)
            passed = (
                f"passes {before / asked.runs:.3f} and {after / asked.runs:.3f}, ratio {after / max(1, before):.3f}"
            )
            print(f"a lift of 0.1, {LIFTED} items that differ by {spread}: {passed}", flush=True)


class Pieces:
    """Runs some at a time, and keeps what they found in a file, so that a long study may be stopped and go on."""

    def __init__(self, pool: Executor, runs: int, path: Path | None) -> None:
        """In a pool; so many runs of each sort; a file of JSON lines, or nothing kept."""
        self._pool, self._runs, self._path = pool, runs, path
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        self._kept = {(name, start, stop): found for name, start, stop, found in map(json.loads, lines)}

    def total(self, name: str, one: Callable[[int], list[Outcome]]) -> list[Outcome]:
        """The sum over all runs, rule by rule."""
        found = []
        for start in range(0, self._runs, PIECE):
            stop = min(start + PIECE, self._runs)
            kept = self._kept.get((name, start, stop))
            if kept is None:
                kept = total(self._pool.map(one, range(start, stop), chunksize=5))
                if self._path:
                    with self._path.open("a", encoding="utf-8") as file:
                        print(json.dumps([name, start, stop, kept]), file=file)
            found.append([Outcome(*each) for each in kept])
        return total(found)


def _rates(found: Outcome, runs: int) -> Iterator[str]:
    for what in ("probe", "axis", "healthy"):
        count = getattr(found, what)
        interval = proportion_interval(count, runs)
        assert interval is not None
        yield f"{what} {count / runs:.3f} ({interval.low:.3f}…{interval.high:.3f})"
    yield f"visits {found.visits / runs:.1f}"


if __name__ == "__main__":
    main()
