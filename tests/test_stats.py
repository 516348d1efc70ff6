"""Statistics against hand derivation, against scipy, and by coverage under simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sway_gguf.stats.binomial import majority_p, more_often_p, proportion_interval
from sway_gguf.stats.calibration import calibrate, smallest_rank_p
from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.family import family_rank_p
from sway_gguf.stats.holm import holm
from sway_gguf.stats.interval import MIN_ITEMS, gap_interval, mean_interval

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


def test_an_interval_of_skewed_items_by_hand() -> None:
    # Deviations −1, −1, −1, −1, 4: variance 20/4, error √(5/5) = 1, third cumulant 60·5/(4·3) = 25, skewness 25/5² = 1.
    # So g(T) = ((1 + T/3)³ − 1) + 1/6, and T = 3·(∛(1 + g − 1/6) − 1) at g = ±t of 4 degrees.
    t = stats.t.ppf(0.975, 4)
    assert mean_interval([0.0, 0.0, 0.0, 0.0, 5.0]) == pytest.approx(
        (1 - 3 * (math.cbrt(5 / 6 + t) - 1), 1 - 3 * (math.cbrt(5 / 6 - t) - 1))
    )


def test_without_skewness_it_is_that_of_student_and_of_welch() -> None:
    one, other = [1.0, 2.0, 3.0, 4.0, 5.0], [-3.0, -1.0, 0.0, 0.0, 1.0, 3.0]
    assert mean_interval(one) == pytest.approx(tuple(stats.ttest_1samp(one, 0).confidence_interval()))
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert gap_interval(one, other) == pytest.approx((welch.low, welch.high))


@given(st.lists(st.floats(-100, 100), min_size=5, max_size=12), st.floats(-10, 10), st.floats(0.1, 10))
def test_an_interval_holds_its_mean_and_goes_along_with_the_unit(
    items: list[float], shift: float, scale: float
) -> None:
    found = mean_interval(items)
    turned, moved = mean_interval([-x for x in items]), mean_interval([scale * x + shift for x in items])
    assert found is not None
    assert turned is not None
    assert moved is not None
    assert found.low - 1e-9 <= np.mean(items) <= found.high + 1e-9
    assert turned == pytest.approx((-found.high, -found.low), abs=1e-6)
    assert moved == pytest.approx((scale * found.low + shift, scale * found.high + shift), rel=1e-6, abs=1e-4)


def test_it_tends_to_what_the_bootstrap_finds() -> None:
    items = np.random.default_rng(4).exponential(size=400)
    drawn = stats.bootstrap((items,), np.mean, method="BCa", rng=np.random.default_rng(0)).confidence_interval
    found = mean_interval(items.tolist())
    assert found is not None
    assert found == pytest.approx((drawn.low, drawn.high), abs=0.2 * items.std() / 20)


@pytest.mark.parametrize(
    ("draw", "least", "most"),
    [("normal", 0.017, 0.034), ("exponential", 0.0, 0.055), ("standard_t", 0.017, 0.044)],
)
def test_either_end_misses_the_truth_about_as_often_as_it_says(draw: str, least: float, most: float) -> None:
    """Twelve items, 2,000 runs, in which 2.5% have a standard error of 0.35; BCa's worse ends miss by 4.6 to 8.8%."""
    rng, runs = np.random.default_rng(11), 2000
    table = rng.standard_t(4, (runs, 12)) if draw == "standard_t" else getattr(rng, draw)(size=(runs, 12))
    truth = 1.0 if draw == "exponential" else 0.0
    found = [mean_interval(row.tolist()) for row in table]
    wrong = (sum(each.low > truth for each in found if each), sum(each.high < truth for each in found if each))
    assert least <= min(wrong) / runs <= max(wrong) / runs <= most


def test_what_is_gained_beyond_controls_is_sure_where_it_is_beyond_each_of_them() -> None:
    items = [2.0, 2.4, 2.1, 2.9, 2.3]
    groups = [-0.1, 0.1, 0.0, 0.2, -0.4], [0.1, 0.5, 0.4, 0.2, 0.9], [0.5] * 5
    ways = [mean_interval(items), *(gap_interval(items, group) for group in groups)]
    found = mean_interval(items, groups)
    assert found is not None
    assert found.low == min(way.low for way in ways if way)


def test_the_upper_end_pays_for_groups_that_may_have_gained_most_as_well() -> None:
    items, gained = [2.0, 2.4, 2.1, 2.9, 2.3], [0.9, 1.1, 1.0, 1.2, 0.9]
    alone, far, near = (mean_interval(items, groups) for groups in ([gained], [gained, [0.0] * 5], [gained, gained]))
    plain, shared = gap_interval(items, gained), gap_interval(items, gained, confidence=0.975)
    assert alone is not None
    assert far is not None
    assert near is not None
    assert plain is not None
    assert shared is not None
    assert alone.high == far.high == plain.high
    assert near.high == pytest.approx(shared.high)


def test_what_controls_lost_is_not_taken_off() -> None:
    items, fallen = [0.4, 0.5, 0.6, 0.5, 0.5], [-2.0, -3.0, -2.5, -2.5, -2.5]
    assert contrast(items, [fallen]) == contrast(items) == pytest.approx(0.5)
    # Of several groups the one that gained most: 0.5 − 0.3
    assert contrast(items, [fallen, [0.1, 0.1], [0.2, 0.4]]) == pytest.approx(0.2)
    assert mean_interval(items, [fallen]) == mean_interval(items, [[-9.0] * 5])


def test_a_group_of_too_few_controls_gives_no_interval() -> None:
    assert mean_interval([0.5, 0.6] * 5, [[0.1] * 6, [0.1] * (MIN_ITEMS - 1)]) is None


@pytest.mark.parametrize("count", range(MIN_ITEMS))
def test_too_few_items_give_no_interval(count: int) -> None:
    assert mean_interval([0.5] * count) is None


def test_equal_items_give_a_point() -> None:
    assert mean_interval([0.25] * 6) == (0.25, 0.25)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_what_is_said_of_proportions_is_what_scipy_says(counts: tuple[int, int, int]) -> None:
    one, other, trials = counts
    for confidence in (0.95, 0.99):
        theirs = stats.binomtest(one, trials).proportion_ci(confidence, method="exact")
        assert proportion_interval(one, trials, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    theirs = stats.fisher_exact([[one, trials - one], [other, trials - other]], alternative="greater")
    assert more_often_p(one, other, trials) == pytest.approx(theirs.pvalue, rel=1e-6)


def test_a_majority_is_sure_where_fair_coins_hardly_make_it() -> None:
    """Of eight coins one way gives eight heads, eight give seven; scipy's exact test says the same."""
    assert majority_p(8, 8) == 1 / 256
    assert majority_p(7, 8) == 9 / 256
    assert majority_p(0, 8) == 1.0
    assert majority_p(1200, 2000) == pytest.approx(stats.binomtest(1200, 2000, 0.5, "greater").pvalue)


@pytest.mark.parametrize(("successes", "trials"), [(8, 7), (-1, 7), (0, -1), (1, 0)])
def test_more_than_all_or_less_than_none_is_no_proportion(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} of {trials}"):
        proportion_interval(successes, trials)


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
