"""Our statistics against those of SciPy and statsmodels, and against plain loops where neither has them.

Every comparison draws its own numbers and gives the greatest difference. What SciPy computes for us anyway (the
binomial interval, Fisher's test) is held against statsmodels or the formula. Knows statistics; no probes and no models.

    pip install statsmodels && python -m benchmarks.independent --draws 200
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from sway_gguf.stats.binomial import more_often_p, proportion_interval
from sway_gguf.stats.calibration import calibrate
from sway_gguf.stats.clusters import specificity
from sway_gguf.stats.decay import fit_decay
from sway_gguf.stats.family import family_rank_p
from sway_gguf.stats.holm import holm
from sway_gguf.stats.interval import gap_interval, mean_interval
from sway_gguf.stats.noise import noise_limit
from sway_gguf.stats.paired import paired_change
from sway_gguf.stats.simultaneous import lower_bounds

Rng = np.random.Generator
Differences = Iterator[float]


class Comparison(NamedTuple):
    """What of ours is held against what of whose; `close` is how far they may lie apart."""

    ours: str
    theirs: str
    differences: Callable[[Rng], Differences]
    close: float


def _holm(rng: Rng) -> Differences:
    from statsmodels.stats.multitest import multipletests

    p = rng.random(rng.integers(1, 9)) ** rng.integers(1, 6)
    p[rng.random(p.size) < 0.2] = p[0]
    yield from np.abs(multipletests(p, method="holm")[1] - holm(p.tolist()))


def _tail(rng: Rng) -> Differences:
    """A value among its nulls is an outlier of a regression on nothing but a constant."""
    from statsmodels.regression.linear_model import OLS

    nulls, value = rng.lognormal(0, 0.8, rng.integers(5, 30)), float(rng.normal(2, 2))
    found = calibrate(value, nulls.tolist())
    t = OLS(np.append(nulls, value), np.ones(nulls.size + 1)).fit().get_influence().resid_studentized_external[-1]
    assert found is not None
    yield abs(found.tail_p - stats.t.sf(t, nulls.size - 1))


def _rank(rng: Rng) -> Differences:
    values = np.round(rng.normal(size=rng.integers(6, 21)), 1)
    found = calibrate(float(values[0]), values[1:].tolist())
    assert found is not None
    yield abs(found.rank_p - (1 - float(stats.percentileofscore(values, values[0], kind="strict")) / 100))


def _max_t(rng: Rng) -> Differences:
    """Algorithm 2.8 of Westfall & Young (1993), view by view and probe by probe."""
    probes, views = int(rng.integers(1, 6)), int(rng.integers(6, 21))
    table = np.round(rng.lognormal(0, 1, (probes, views)) + rng.normal(size=views), 1)
    scores = [[(x - row.mean()) / row.std() for x in row] for row in table]
    order = sorted(range(probes), key=lambda k: -scores[k][0])
    least, by_hand = 0.0, [0.0] * probes
    for place, k in enumerate(order):
        as_far = 0
        for view in range(views):
            as_far += max(scores[other][view] for other in order[place:]) >= scores[k][0]
        least = max(least, as_far / views)
        by_hand[k] = least
    yield from np.abs(np.subtract(by_hand, family_rank_p(table.tolist())))


def _proportion(rng: Rng) -> Differences:
    from statsmodels.stats.proportion import proportion_confint

    trials = int(rng.integers(1, 400))
    count = int(rng.integers(0, trials + 1))
    yield from np.abs(np.subtract(proportion_interval(count, trials), proportion_confint(count, trials, method="beta")))


def _fisher(rng: Rng) -> Differences:
    """The hypergeometric tail, summed up in whole numbers."""
    trials = int(rng.integers(1, 60))
    one, other = (int(rng.integers(0, trials + 1)) for _ in range(2))
    both = one + other
    ways = (math.comb(trials, k) * math.comb(trials, both - k) for k in range(one, min(trials, both) + 1))
    yield abs(more_often_p(one, other, trials) - sum(ways) / math.comb(2 * trials, both))


def _swaps(rng: Rng) -> Differences:
    count = int(rng.integers(2, 11))
    old, new = rng.normal(size=count), rng.normal(0.5, 1, count)
    every = stats.permutation_test(
        (new, old), lambda a, b: np.abs((a - b).mean()), permutation_type="samples", alternative="greater"
    )
    yield abs(paired_change([old.tolist()], [new.tolist()], seed=0).p - float(every.pvalue))


def _mcnemar(rng: Rng) -> Differences:
    """Of pairs of yes and no the swaps are McNemar's exact test."""
    from statsmodels.stats.contingency_tables import mcnemar

    old, new = rng.integers(0, 2, (2, rng.integers(3, 13)))
    table = [[int(((old == a) & (new == b)).sum()) for b in (0, 1)] for a in (0, 1)]
    yield abs(paired_change([old.tolist()], [new.tolist()], seed=0).p - float(mcnemar(table, exact=True).pvalue))


def _signs(rng: Rng) -> Differences:
    """Of changes of one size the swaps are the sign test."""
    from statsmodels.stats.descriptivestats import sign_test

    change = rng.choice((-1.0, 1.0), rng.integers(3, 13))
    ours = paired_change([np.zeros(change.size).tolist()], [change.tolist()], seed=0).p
    yield abs(ours - float(sign_test(change, 0.0)[1]))


def _bound(rng: Rng) -> Differences:
    """Several means at once, each resample written out and studentized by itself."""
    rows, seed = rng.exponential(size=(int(rng.integers(1, 4)), int(rng.integers(6, 9)))), int(rng.integers(1000))
    count = rows.shape[1]
    largest = []
    for counts in np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), 4095):
        picked = np.repeat(rows, counts, axis=1)
        # One and the same item all over comes up once in thousands: beyond any quantile that is asked for.
        spread = picked.std(axis=1, ddof=1) if counts.max() < count else np.full(len(rows), 1e-9)
        largest.append(float(((picked.mean(axis=1) - rows.mean(axis=1)) * math.sqrt(count) / spread).max()))
    reach = sorted(largest)[math.ceil(0.95 * (len(largest) - 1))]
    ours = lower_bounds(list(rows), seed=seed)
    assert ours is not None
    yield from np.abs(ours - rows.mean(axis=1) + reach * rows.std(axis=1, ddof=1) / math.sqrt(count))


def _straightened(rng: Rng) -> Differences:
    """The ends are where Hall's cubic of the studentized mean meets Student's t, by SciPy's skewness and root."""
    items = rng.lognormal(0, 0.8, rng.integers(5, 40))
    count, error = items.size, float(stats.sem(items))
    skew, reach = float(stats.skew(items, bias=False)) / math.sqrt(count), float(stats.t.ppf(0.975, count - 1))

    def standing(truth: float) -> float:
        t = (items.mean() - truth) / error
        return float(t + skew * (t * t / 3 + 1 / 6) + skew * skew * t**3 / 27)

    low, high = items.mean() - 40 * error, items.mean() + 40 * error
    ends = [brentq(lambda truth, end=end: standing(truth) - end, low, high) for end in (reach, -reach)]
    yield from np.abs(np.subtract(ends, mean_interval(items.tolist())))


def _welch(rng: Rng) -> Differences:
    """Items that lie alike on both sides have no skewness: Welch's interval."""
    one, other = rng.normal(size=rng.integers(3, 9)), rng.normal(0, 3, rng.integers(3, 9))
    one, other = np.concatenate([one, -one]), np.concatenate([other, -other]) + 1.0
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    yield from np.abs(np.subtract(theirs, gap_interval(one.tolist(), other.tolist())))


def _bca(rng: Rng) -> Differences:
    """In standard errors: both are right to the order 1/n, and 400 items leave little between them."""
    items = rng.exponential(size=400)
    theirs = stats.bootstrap((items,), np.mean, method="BCa", n_resamples=4999, rng=rng).confidence_interval
    yield from np.abs(np.subtract(theirs, mean_interval(items.tolist()))) / float(stats.sem(items))


def _standard_error(rng: Rng) -> Differences:
    from statsmodels.stats.weightstats import DescrStatsW

    items = rng.normal(size=rng.integers(2, 30))
    yield abs(noise_limit(0.3, items.tolist()) - (0.3 + 2 * float(DescrStatsW(items).std_mean)))


def _half_life(rng: Rng) -> Differences:
    from statsmodels.regression.linear_model import OLS

    x = np.sort(rng.uniform(0, 500, 6))
    table = np.exp(-x / 100 + rng.normal(0, 0.1, (8, 6)))
    slope = OLS(np.log(table.mean(axis=0)), np.column_stack([np.ones(6), x])).fit().params[1]
    yield abs(fit_decay(x, table).slope - float(slope)) * 100


def _explained(rng: Rng) -> Differences:
    """The share of the variance between groups is that of a regression on the groups."""
    from statsmodels.regression.linear_model import OLS

    labels, values = np.sort(rng.permutation(np.arange(24) % 4)), rng.normal(size=24)
    whole = OLS(values, (labels[:, None] == np.arange(4)).astype(float)).fit(hasconst=True)
    yield abs(specificity(values, labels) - float(whole.rsquared))


COMPARISONS = (
    Comparison("Holm's correction", "statsmodels, multipletests", _holm, 1e-12),
    Comparison("tail p", "statsmodels, externally studentized residual", _tail, 1e-10),
    Comparison("rank p", "SciPy, percentileofscore", _rank, 1e-12),
    Comparison("family-wise rank p (step-down maxT)", "Westfall & Young's algorithm in loops", _max_t, 1e-12),
    Comparison("interval of a proportion", "statsmodels, proportion_confint", _proportion, 1e-6),
    Comparison("p of more replies that run on", "hypergeometric sum in whole numbers", _fisher, 1e-10),
    Comparison("p of a change (swapped pairs)", "SciPy, permutation_test", _swaps, 1e-12),
    Comparison("p of a change of yes and no", "statsmodels, McNemar's exact test", _mcnemar, 1e-12),
    Comparison("p of changes of one size", "statsmodels, sign_test", _signs, 1e-12),
    Comparison("lower bounds of several means at once", "every resample written out", _bound, 1e-10),
    Comparison("interval of a mean", "SciPy, skew and brentq", _straightened, 1e-9),
    Comparison("interval of a gap, items without skewness", "SciPy, ttest_ind by Welch", _welch, 1e-10),
    Comparison("interval of 400 items, in standard errors", "SciPy, bootstrap by BCa", _bca, 0.3),
    Comparison("noise floor of a mean", "statsmodels, DescrStatsW", _standard_error, 1e-12),
    Comparison("slope of a half-life, per 100 tokens", "statsmodels, OLS", _half_life, 1e-10),
    Comparison("share of variance between clusters", "statsmodels, OLS", _explained, 1e-12),
)


def greatest(comparison: Comparison, draws: int) -> float:
    """The greatest difference over so many draws."""
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        # statsmodels warns of what does not touch these numbers.
        warnings.simplefilter("ignore")
        return max(difference for _ in range(draws) for difference in comparison.differences(rng))


def main() -> None:
    """Print a row for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    asked = parser.parse_args()
    print("| ours | against | draws | greatest difference |\n|---|---|---|---|")
    for each in COMPARISONS:
        found = greatest(each, asked.draws)
        print(f"| {each.ours} | {each.theirs} | {asked.draws} | {found:.1e} |", flush=True)


if __name__ == "__main__":
    main()
