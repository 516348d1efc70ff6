"""Two looks at the nulls against one: how often chance passes, how many nulls that takes, and what power is left.

Draws values straight from a law, hundreds of thousands of runs at once, so that a tenth of a point shows; the product's
own path, far slower, is held to the same level by false_alarms.py. Knows tables of numbers and the two rules; neither
probes nor models.

    python -m benchmarks.looks --runs 200000
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sway_gguf.spec.model import Defaults
from sway_gguf.stats.calibration import MIN_NULLS
from sway_gguf.verdict.looks import BAR, FALL, FIRST_ITEMS, FIRST_NULLS, MOST_FIRST_NULLS

Values = NDArray[np.float64]
"""[runs, 1 + nulls, probes]: the real adapter's value first, then those of the nulls; higher is better."""
Flags = NDArray[np.bool_]

ALPHA, NULLS = Defaults().alpha, Defaults().nulls
LAWS = ("normal", "t4", "0.3", "0.6", "0.9", "1.2")
ALIKE = (0.0, 0.3, 0.6, 0.9)
PROBES = (1, 3, 6)
CHUNK = 10_000


class Passed(NamedTuple):
    """What a rule made of many runs.

    Attributes:
        probes: [runs, probes] which probes pass.
        visits: [runs] to nulls, over both looks.
    """

    probes: Flags
    visits: NDArray[np.int64]


def tail_p(values: Values) -> NDArray[np.float64]:
    """[runs, probes] of Student's t for one more draw, on nulls − 1 degrees of freedom."""
    nulls = values[:, 1:]
    count = nulls.shape[1]
    t = (values[:, 0] - nulls.mean(1)) / (nulls.std(1, ddof=1) * np.sqrt(1 + 1 / count))
    return np.asarray(stats.t.sf(t, count - 1), np.float64)


def stepped(p: NDArray[np.float64], power: int = 1) -> NDArray[np.float64]:
    """Each row from its smallest p up, times the number of probes left to a power, made monotone: Holm's for 1."""
    order = np.argsort(p, axis=1)
    left = np.arange(p.shape[1], 0, -1) ** power
    rising = np.maximum.accumulate(np.take_along_axis(p, order, 1) * left, axis=1)
    return _put_back(np.minimum(rising, 1.0), order)


def family_p(values: Values, within: Flags) -> NDArray[np.float64]:
    """Step-down maxT rank p of each row over the probes of `within`; 1 for the others."""
    centred = values - values.mean(1, keepdims=True)
    scores = np.where(within[:, None, :], centred / values.std(1, keepdims=True), -np.inf)
    order = np.argsort(-scores[:, 0], axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order[:, None, :], axis=2)
    largest = np.maximum.accumulate(ranked[:, :, ::-1], axis=2)[:, :, ::-1]
    share = (largest >= ranked[:, :1]).mean(1)
    return np.where(within, _put_back(np.maximum.accumulate(share, axis=1), order), 1.0)


def _put_back(ranked: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty_like(ranked)
    np.put_along_axis(found, order, ranked, 1)
    return found


def one_look(values: Values, within: Flags | None = None) -> Passed:
    """The rule of the last look over all nulls: beyond each, Holm on the tail p, step-down maxT on the ranks."""
    inside = np.ones(values[:, 0].shape, bool) if within is None else within
    nulls = values.shape[1] - 1
    # A probe that is out leads Holm's order and takes no part in its count.
    corrected = stepped(np.where(inside, tail_p(values), 0.0))
    beyond = (values[:, :1] > values[:, 1:]).all(1)
    passed = inside & beyond & (corrected < ALPHA) & (family_p(values, inside) <= max(ALPHA, 1 / (nulls + 1)) + 1e-12)
    return Passed(passed, np.full(len(values), nulls))


class Early(NamedTuple):
    """How the first look goes: nulls that it begins with, takes at most, its bar, and that bar's fall with each."""

    first: int = FIRST_NULLS
    most: int = MOST_FIRST_NULLS
    bar: float = BAR
    fall: float = FALL


RULE = Early()


def first_look(values: Values, early: Early) -> tuple[Flags, NDArray[np.int64]]:
    """[runs, probes] which probes it settles, and [runs] the nulls it takes: more while what is left beats them all."""
    over = np.zeros(values[:, 0].shape, bool)
    taken, on = np.full(len(values), early.first), np.ones(len(values), bool)
    for nulls in range(early.first, early.most + 1):
        seen = values[:, : nulls + 1]
        beats = (seen[:, :1] > seen[:, 1:]).all(1)
        # What is settled leads the order and keeps its place in the count.
        far = stepped(np.where(over, 0.0, tail_p(seen)), 2) < early.bar * early.fall ** (nulls - early.first)
        taken[on] = nulls
        over |= far & beats & on[:, None]
        on &= ~over.all(1) & (beats | over).all(1)
    return over, taken


def two_looks(values: Values, early: Values | None = None, rule: Early = RULE) -> Passed:
    """A look at the first nulls, which ends it where every probe is overwhelming, and one at all of them for the rest.

    Args:
        values: at the last look, on the whole panel.
        early: at the first one, on a part of it; None for the same values.
        rule: of the first look.
    """
    overwhelming, taken = first_look(values if early is None else early, rule)
    beaten = values[:, 1:] >= values[:, :1]
    # The first null that does as well, counted from 1; all of them where none does.
    until = np.where(beaten.any(1), np.maximum(beaten.argmax(1) + 1, MIN_NULLS), values.shape[1] - 1)
    last = one_look(values, ~overwhelming).probes
    return Passed(overwhelming | last, taken + np.where(overwhelming, 0, until).max(1))


def draw(law: str, alike: float, runs: int, rng: np.random.Generator, probes: int = 6, nulls: int = NULLS) -> Values:
    """Values of views that learned nothing: the real adapter is one more null.

    Args:
        law: "normal", "t4" (a view's probes have heavy tails together), or the σ of a lognormal.
        alike: correlation of a view's probes, before the law bends them.
        runs: how many.
        rng: where from.
        probes: of a run.
        nulls: beside the real adapter.
    """
    views = (runs, nulls + 1)
    bell = np.sqrt(alike) * rng.standard_normal((*views, 1))
    bell = bell + np.sqrt(1 - alike) * rng.standard_normal((*views, probes))
    if law == "normal":
        return bell
    if law == "t4":
        return np.asarray(bell / np.sqrt(rng.chisquare(4, (*views, 1)) / 4))
    return np.asarray(np.exp(float(law) * bell))


class Rates(NamedTuple):
    """Shares of runs in which some probe passes, in points; visits to nulls by two looks, on average."""

    one: float
    two: float
    added: float
    visits: float


def level(law: str, alike: float, runs: int, seed: int, rule: Early) -> dict[int, Rates]:
    """What the rules let through where nothing was learned, by the number of probes."""
    rng = np.random.default_rng(seed)
    sums = {probes: np.zeros(4) for probes in PROBES}
    for _ in range(max(1, runs // CHUNK)):
        values = draw(law, alike, min(runs, CHUNK), rng, max(PROBES))
        for probes in PROBES:
            some = values[:, :, :probes]
            once, twice = one_look(some), two_looks(some, None, rule)
            one, two = once.probes.any(1), twice.probes.any(1)
            sums[probes] += 100 * one.mean(), 100 * two.mean(), 100 * (two & ~one).mean(), twice.visits.mean()
    return {probes: Rates(*(total / max(1, runs // CHUNK))) for probes, total in sums.items()}


class Lift(NamedTuple):
    """An adapter's lift of its items, nats per token, and its nulls.

    Attributes:
        items: how many.
        spread: standard deviation of the lift from item to item.
        views: of the nulls' means.
        texts: of a null from item to item.
        mean: of the lift.
    """

    items: int
    spread: float
    views: float
    texts: float
    mean: float = 0.1


LIFTS = (Lift(32, 0.2, 0.02, 0.03), Lift(24, 0.2, 0.02, 0.03), Lift(24, 0.1, 0.02, 0.03), Lift(24, 0.05, 0.03, 0.03))
"""Nulls and spread are about those of SmolLM2's support adapter, whose replies gain 2.95 nats per token, sd 0.20."""


def power(lift: Lift, panels: Sequence[int], runs: int, seed: int) -> tuple[float, list[float]]:
    """Share of runs that pass with one look at all items, and what two looks at each panel keep of it.

    Beside it stand a probe that moved clearly and one that learned nothing. Both rules ask for an interval of all
    items above zero, by the normal law.
    """
    rng = np.random.default_rng(seed)
    views = (runs, NULLS + 1)
    each = lift.views * rng.standard_normal((*views, 1)) + lift.texts * rng.standard_normal((*views, lift.items))
    each[:, 0] += lift.mean + lift.spread * rng.standard_normal((runs, lift.items))
    clear = each[:, 0].mean(1) > 1.96 * each[:, 0].std(1, ddof=1) / np.sqrt(lift.items)
    others = rng.standard_normal((*views, 2))
    others[:, 0, 0] += 1000

    def family(panel: int) -> Values:
        return np.concatenate([each[:, :, :panel].mean(2, keepdims=True), others], axis=2)

    once = (one_look(family(lift.items)).probes[:, 0] & clear).mean()
    early = family(FIRST_ITEMS)
    kept = [(two_looks(family(panel), early).probes[:, 0] & clear).mean() / once for panel in panels]
    return float(once), [float(share) for share in kept]


def main() -> None:
    """Print the level, law by law, then the power, panel by panel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help="per law and correlation")
    parser.add_argument("--first", type=int, default=FIRST_NULLS, help="nulls that the first look begins with")
    parser.add_argument("--most", type=int, default=MOST_FIRST_NULLS, help="nulls that it takes at most")
    parser.add_argument("--bar", type=float, default=BAR, help="of the first look")
    parser.add_argument("--fall", type=float, default=FALL, help="what each further null makes of the bar")
    asked = parser.parse_args()
    rule = Early(asked.first, asked.most, asked.bar, asked.fall)
    print(f"{asked.runs} runs, {NULLS} nulls, {rule}; points of family-wise rate")
    for law, alike in product(LAWS, ALIKE):
        found = level(law, alike, asked.runs, 0, rule)
        shown = (
            f"{n} probes: {r.one:.2f} → {r.two:.2f} (+{r.added:.2f}, {r.visits:.1f} visits)" for n, r in found.items()
        )
        print(f"{law:6} alike {alike}  {'   '.join(shown)}", flush=True)
    panels = (8, 12, 16, 20, 24)
    print(f"a lift of 0.1 nats/token: passes with one look at all items; two looks whose last has {panels} items keep")
    for lift in LIFTS:
        once, kept = power(lift, panels, 4000, 0)
        print(
            f"{lift.items} items, spread {lift.spread}, nulls {lift.views} and {lift.texts}: {once:.2f}; "
            f"{' '.join(f'{share:.3f}' for share in kept)}"
        )


if __name__ == "__main__":
    main()
