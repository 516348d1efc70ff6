"""Statistics against hand derivation, against scipy, and by coverage under simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sway_gguf.stats.binomial import proportion_interval
from sway_gguf.stats.bootstrap import MIN_ITEMS, mean_interval
from sway_gguf.stats.calibration import calibrate, smallest_rank_p
from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.family import family_rank_p
from sway_gguf.stats.holm import holm

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_calibration_of_four_nulls_by_hand() -> None:
    # mean 2, sd √((1+0+0+1)/3), t = (5 − 2) / (sd·√(1 + 1/4)) on 3 degrees of freedom
    found = calibrate(5.0, [1.0, 2.0, 2.0, 3.0])
    assert found is not None
    sd = math.sqrt(2 / 3)
    assert found.mean == 2
    assert found.sd == pytest.approx(sd)
    assert found.z == pytest.approx(3 / sd)
    assert found.rank_p == pytest.approx(1 / 5)
    assert found.tail_p == pytest.approx(stats.t.sf(3 / (sd * math.sqrt(1.25)), 3))
    assert found.beats_all


def test_a_tie_with_a_null_does_not_beat_it() -> None:
    found = calibrate(3.0, [1.0, 2.0, 3.0, 0.5, 0.2])
    assert found is not None
    assert not found.beats_all
    assert found.rank_p == pytest.approx(2 / 6)


def test_directions_mirror_each_other() -> None:
    nulls = [0.3, -1.2, 0.8, 0.1, 0.5, -0.4]
    higher, lower = calibrate(1.5, nulls, "higher"), calibrate(-1.5, [-y for y in nulls], "lower")
    both = calibrate(1.5, nulls, "two-sided")
    assert higher is not None
    assert lower is not None
    assert both is not None
    assert (higher.rank_p, higher.tail_p) == pytest.approx((lower.rank_p, lower.tail_p))
    assert both.tail_p == pytest.approx(2 * higher.tail_p)


def test_nulls_without_spread_give_no_z_and_no_small_p() -> None:
    found = calibrate(1.0, [0.0] * 19)
    assert found is not None
    assert found.z is None
    assert found.tail_p == found.rank_p == pytest.approx(1 / 20)


def test_fewer_than_two_nulls_calibrate_nothing() -> None:
    assert calibrate(1.0, [0.5]) is None


@pytest.mark.parametrize(("value", "nulls"), [(math.nan, [1.0, 2.0]), (1.0, [1.0, math.inf])])
def test_numbers_that_are_not_finite_are_refused(value: float, nulls: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        calibrate(value, nulls)


def test_the_tail_p_is_uniform_for_exchangeable_normal_nulls() -> None:
    rng = np.random.default_rng(5)
    found = [calibrate(draw[0], draw[1:].tolist()) for draw in rng.normal(size=(2000, 20))]
    tails = [one.tail_p for one in found if one]
    ranks = [one.rank_p for one in found if one]
    assert stats.kstest(tails, "uniform").pvalue > 0.01
    assert np.mean(np.array(ranks) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_nineteen_nulls_reach_a_rank_p_of_a_twentieth() -> None:
    assert smallest_rank_p(19) == pytest.approx(0.05)


def test_holm_by_hand() -> None:
    # sorted 0.01·3, 0.03·2, 0.04·1 → 0.03, 0.06, max(0.06, 0.04)
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


@given(p_lists)
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


@given(p_lists)
def test_holm_is_never_stricter_than_bonferroni(p_values: list[float]) -> None:
    assert all(q <= min(1.0, len(p_values) * p) + 1e-12 for p, q in zip(p_values, holm(p_values), strict=True))


def test_bootstrap_covers_the_mean_of_skewed_items() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(200):
        found = mean_interval(rng.exponential(size=24).tolist(), seed=trial, resamples=600)
        assert found is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.98


def test_bootstrap_of_two_groups_is_about_their_difference() -> None:
    rng = np.random.default_rng(3)
    items, controls = rng.normal(2, 1, 40).tolist(), rng.normal(0.5, 1, 40).tolist()
    found = mean_interval(items, [controls], seed=1)
    alone = mean_interval(items, seed=1)
    assert found is not None
    assert alone is not None
    assert found.low < np.mean(items) - np.mean(controls) < found.high
    assert found.high - found.low > alone.high - alone.low


def test_what_controls_lost_is_not_taken_off() -> None:
    items, fallen = [0.4, 0.5, 0.6, 0.5, 0.5], [-2.0, -3.0, -2.5, -2.5, -2.5]
    assert contrast(items, [fallen]) == contrast(items) == pytest.approx(0.5)
    # Of several groups the one that gained most: 0.5 − 0.3
    assert contrast(items, [fallen, [0.1, 0.1], [0.2, 0.4]]) == pytest.approx(0.2)
    assert mean_interval(items, [fallen], seed=1) == mean_interval(items, [[-9.0] * 5], seed=1)


def test_a_group_of_too_few_controls_gives_no_interval() -> None:
    assert mean_interval([0.5, 0.6] * 5, [[0.1] * 6, [0.1] * (MIN_ITEMS - 1)], seed=0) is None


def test_bootstrap_is_seeded() -> None:
    items = [0.1, 0.5, 0.2, 0.9, 0.4, 0.3]
    assert mean_interval(items, seed=4) == mean_interval(items, seed=4)
    assert mean_interval(items, seed=4) != mean_interval(items, seed=5)


@pytest.mark.parametrize("count", range(MIN_ITEMS))
def test_too_few_items_give_no_interval(count: int) -> None:
    assert mean_interval([0.5] * count, seed=0) is None


def test_equal_items_give_a_point() -> None:
    assert mean_interval([0.25] * 6, seed=0) == (0.25, 0.25)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (3, 10), (10, 10)])
def test_proportion_interval_is_clopper_pearson(successes: int, trials: int) -> None:
    found = proportion_interval(successes, trials)
    low = stats.beta.ppf(0.025, successes, trials - successes + 1) if successes else 0.0
    high = stats.beta.ppf(0.975, successes + 1, trials - successes) if successes < trials else 1.0
    assert found == pytest.approx((low, high))


def test_a_proportion_of_nothing_has_no_interval() -> None:
    assert proportion_interval(0, 0) is None


def test_family_rank_p_by_hand() -> None:
    # Two probes, four views. Standardized by row, the real view leads the first row; in the second, null 3 does
    # better than it, so the second probe's p is 2 of 4.
    assert family_rank_p([[9.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.5, 2.0]]) == pytest.approx([0.25, 0.5])


def test_a_null_that_stands_out_in_another_probe_counts_against_both() -> None:
    # Each probe alone would give 1/4; null 1 is the outlier of the second row, further out than the real view is
    # in the first, and the real view's second value is no outlier at all.
    found = family_rank_p([[2.0, 0.0, 1.0, 0.5], [0.0, 90.0, 0.1, 0.2]])
    assert found[0] == pytest.approx(0.5)


@pytest.mark.parametrize("draw", ["normal", "lognormal", "cauchy"])
def test_family_rank_p_keeps_its_level_whatever_the_distribution(draw: str) -> None:
    rng = np.random.default_rng(9)
    sample = {
        "normal": rng.normal,
        "lognormal": lambda size: rng.lognormal(0, 1.5, size),
        "cauchy": rng.standard_cauchy,
    }[draw]
    alarms = 0
    for _ in range(1000):
        common = sample(size=(1, 20))
        table = sample(size=(4, 20)) + common
        alarms += min(family_rank_p(table.tolist())) <= 0.05
    # Exactly 5 in 100 in expectation; three standard errors are 2.1.
    assert alarms / 1000 == pytest.approx(0.05, abs=0.021)


def test_rows_of_different_lengths_have_no_family() -> None:
    with pytest.raises(ValueError, match="every view"):
        family_rank_p([[1.0, 2.0], [1.0]])
    assert family_rank_p([]) == []
