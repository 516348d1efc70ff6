"""Items that are all equal: exact where nothing is rounded, and open to what was not seen where they are shares."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.result import Verdict
from sway_gguf.core.rules import AboveTolerance
from sway_gguf.stats.binomial import proportion_interval
from sway_gguf.stats.detectable import detectable, more_items
from sway_gguf.stats.interval import gap_interval, mean_interval
from sway_gguf.stats.unseen import Room, farthest, needed
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.reading import Reading

SHARE, CHANGE = (0.0, 1.0), (-1.0, 1.0)


def test_none_in_five_leaves_open_what_clopper_and_pearson_leave() -> None:
    # (1 − s)⁵ = 0.025
    assert farthest([Room(1.0, 5)], 0.025) == pytest.approx(1 - 0.025**0.2)
    assert proportion_interval(0, 5) == pytest.approx((0.0, 1 - 0.025**0.2))
    assert farthest([Room(0.5, 5)], 0.025) == pytest.approx(0.5 * (1 - 0.025**0.2))
    assert farthest([], 0.025) == farthest([Room(0.0, 5)], 0.025) == 0.0


def test_of_two_groups_no_shares_that_are_left_move_the_sum_further() -> None:
    groups = [Room(1.0, 8), Room(2.0, 20)]
    grid = [number / 10_000 for number in range(10_000)]
    best = 0.0
    for one in grid:
        other = 1 - (0.025 / (1 - one) ** 8) ** (1 / 20)
        best = max(best, one + 2 * max(0.0, other) if other >= 0 else 0.0)
    assert farthest(groups, 0.025) == pytest.approx(best, abs=1e-6)
    # of two that are alike, both have the same share: (1 − s)¹⁶ = 0.025
    assert farthest([Room(1.0, 8)] * 2, 0.025) == pytest.approx(2 * (1 - 0.025 ** (1 / 16)))
    # where the second could move it by little, all is in the first
    assert farthest([Room(1.0, 8), Room(0.1, 8)], 0.025) == pytest.approx(1 - 0.025 ** (1 / 8))


def test_so_many_equal_items_leave_open_no_more_than_asked() -> None:
    count = needed(1.0, 0.1, 0.025)
    assert count == 36
    assert farthest([Room(1.0, count)], 0.025) <= 0.1 < farthest([Room(1.0, count - 1)], 0.025)
    assert needed(0.1, 0.2, 0.025) == 1


def test_equal_shares_are_no_point_and_equal_numbers_are() -> None:
    assert mean_interval([0.0] * 5) == (0.0, 0.0)
    assert mean_interval([0.0] * 5, within=SHARE) == pytest.approx((0.0, 1 - 0.025**0.2))
    assert mean_interval([0.3] * 5, within=CHANGE) == pytest.approx((0.3 - 1.3 * 0.5218238, 0.3 + 0.7 * 0.5218238))
    # thirds that were taken off each other
    assert mean_interval([2 / 3 - 1 / 3, 1 - 2 / 3, 1 / 3, 1 / 3, 1 / 3], within=CHANGE).low < -0.3  # type: ignore[union-attr]


def test_no_end_lies_beyond_what_an_item_can_be() -> None:
    items = [0.0] * 4 + [1.0]
    free, held = mean_interval(items), mean_interval(items, within=SHARE)
    assert free is not None
    assert free.low < 0 < 1 < free.high
    assert held == SHARE


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("count", [5, 8, 12, 40])
def test_equal_items_hide_more_than_they_leave_open_in_one_sample_of_forty(share: float, count: int) -> None:
    found = mean_interval([0.0] * count, within=SHARE)
    assert found is not None
    alike = (1 - share) ** count
    assert found.high >= share or alike <= 0.025


def test_beside_a_group_that_scatters_the_chance_to_miss_is_shared() -> None:
    """Five equal items, less eight others: Welch's t of the others, and what the five leave open, 1.25% each."""
    others = [-0.3, 0.3, -0.1, 0.1, -0.2, 0.2, 0.0, 0.0]
    found = gap_interval([0.0] * 5, others, within=CHANGE)
    error = math.sqrt(sum(value**2 for value in others) / 7 / 8)
    reach = float(stats.t.ppf(1 - 0.0125, 7)) * error + 1 - 0.0125**0.2
    assert found == pytest.approx((-reach, reach))
    assert gap_interval([0.0] * 8, [0.0] * 8, within=CHANGE) == pytest.approx((-0.4118144, 0.4118144))


def test_calls_that_all_come_out_as_before_are_too_few_to_rule_damage_out() -> None:
    def judged(count: int) -> tuple[Verdict, str]:
        items = tuple(Item(str(n), 0.0) for n in range(count))
        tuned = Measurement(0.0, items, within=CHANGE)
        (found,) = judge([Reading("p", "p", "collateral", "score", AboveTolerance(-0.1), tuned, (), None)], alpha=0.05)
        return found.verdict, found.toll.text if found.toll else ""

    verdict, told = judged(8)
    assert verdict == Verdict.WARN
    assert told == "these 8 items would have shown a loss of 0.37 score or more, 28 more would show 0.1"
    assert judged(36) == (Verdict.PASS, "")


def test_what_equal_numbers_would_have_shown_is_not_told() -> None:
    assert detectable([0.0] * 8) == 0.0
    assert detectable([0.0] * 8, CHANGE) == pytest.approx(1 - 0.025 ** (1 / 8))
    assert more_items([0.0] * 8, 0.1, CHANGE) == 28
    assert more_items([0.0] * 40, 0.1, CHANGE) == 0


def test_rounding_is_no_scatter() -> None:
    rounded = [0.0] * 7 + [1 / 3 - (1 - 2 / 3)]
    assert rounded[-1] != 0.0
    assert mean_interval(rounded, within=(-1.0, 1.0)) == pytest.approx(mean_interval([0.0] * 8, within=(-1.0, 1.0)))
