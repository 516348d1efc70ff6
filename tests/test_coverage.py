"""The quick form of benchmarks/coverage.py: its many runs at once do what the package does with one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from benchmarks import interval_caps
from benchmarks import interval_methods as methods
from benchmarks.coverage import LEVEL, cell, laws, tables
from sway_gguf.stats.interval import Interval, gap_interval, mean_interval
from sway_gguf.stats.ratio import ratio_interval

RUNS = 6


def groups(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.exponential(size=(RUNS, size)) for size in sizes]


@pytest.mark.parametrize(
    ("data", "statistic", "method", "ours"),
    [
        (groups(9), methods.gap, methods.straightened, mean_interval),
        (groups(9, 6), methods.gap, methods.straightened, gap_interval),
        (groups(9, 8, 8, 5), methods.contrast, methods.least_way, lambda own, *rest: mean_interval(own, rest)),
    ],
    ids=["mean", "gap", "contrast"],
)
def test_ours_is_what_the_package_computes(
    data: list[np.ndarray],
    statistic: methods.Statistic,
    method: Callable[..., methods.Ends],
    ours: Callable[..., Interval],
) -> None:
    low, high = method(methods.drawn(data, statistic, 10, np.random.default_rng(0)), LEVEL)
    for run in range(RUNS):
        assert ours(*(group[run].tolist() for group in data)) == pytest.approx((low[run], high[run]))


def test_ours_of_a_ratio_is_what_the_package_computes() -> None:
    below, rest = groups(12, 12)
    above, below = 0.9 * (below + 1) + 0.1 * rest, below + 1
    of = methods.ratio_drawn(above, below, 10, np.random.default_rng(0))
    low, high = methods.fieller_straightened(of, LEVEL)
    for run in range(RUNS):
        assert ratio_interval(above[run].tolist(), below[run].tolist()) == pytest.approx((low[run], high[run]))


def test_bca_and_percentile_are_those_of_scipy() -> None:
    [data] = groups(15)
    of = methods.drawn([data], methods.gap, 9999, np.random.default_rng(0))
    for name in ("BCa", "percentile"):
        low, high = methods.METHODS[name](of, LEVEL)
        for run, row in enumerate(data):
            theirs = stats.bootstrap((row,), np.mean, method=name, rng=np.random.default_rng(1)).confidence_interval
            assert (low[run], high[run]) == pytest.approx(theirs, abs=0.1 * row.std())


@pytest.mark.parametrize("law", laws())
def test_a_law_has_a_mean_of_nothing_and_a_spread_of_one(law: str) -> None:
    drawn = laws()[law](np.random.default_rng(0), (50_000, 4))
    # The widest has a kurtosis of some hundreds.
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.std() == pytest.approx(1, abs=0.06)


def test_a_cell_counts_both_ends_and_stands_in_the_tables() -> None:
    found = list(cell("mean", "exponential", 8, 400))
    [bca], [ours] = ([each for each in found if each.method == name] for name in ("BCa", "t, straightened"))
    assert bca.high > ours.high > ours.low
    text = "\n".join(tables(found))
    assert f"| exponential | {100 * found[0].low:.1f} / {100 * found[0].high:.1f} |" in text


def test_a_cap_that_shortens_the_far_end_costs_the_level_and_equal_shares_are_held() -> None:
    found = interval_caps.samples(5, 4000)
    free, capped = (interval_caps.row(found, 5, 1.0, errors) for errors in (np.inf, 5.0))
    assert capped[0] > free[0] + 0.01
    assert capped[1] < free[1]
    low, high = interval_caps.ends(found["exponential"], 5, 1.0, np.inf)
    mean, error, skew = (each[0] for each in found["exponential"])
    reach = float(stats.t.ppf(0.975, 4))
    bent = [(np.cbrt(1 + skew * (sign * reach - skew / 6)) - 1) * 3 / skew for sign in (1, -1)]
    assert (low[0], high[0]) == pytest.approx([mean - each * error for each in bent])
    plain, held = interval_caps.equal_shares(8, 1000)
    assert plain > 0.15
    assert held < 0.06
