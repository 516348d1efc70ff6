"""The quick form of benchmarks/false_alarms.py: an adapter that is one more null rarely passes, by probe or by axis."""

from __future__ import annotations

import pytest
from scipy import stats

from benchmarks.false_alarms import RULES, learned_nothing, small_lift, total
from benchmarks.worlds import Law

KINDS = ("delta_kl", "section_internalization", "preference_flip")


@pytest.mark.parametrize("law", ["normal", "t4", "1.2"])
def test_the_family_wise_false_alarm_rate_of_two_looks_is_at_most_alpha(law: str) -> None:
    runs = 40
    [found] = total(learned_nothing(Law(law), KINDS, [RULES[2]], 19, run) for run in range(runs))
    # More alarms than this would have a chance below 1 in 500 at a rate of 5%.
    assert found.probe <= stats.binom.ppf(0.998, runs, 0.05)
    assert found.healthy <= found.axis <= found.probe
    assert found.visits < 19 * runs, "what a null beat needs no further null"


def test_a_small_lift_that_its_items_share_is_found_with_one_look_and_with_two() -> None:
    before, after = total(small_lift(8, 0.02, list(RULES.values()), 19, run) for run in range(3))
    assert (before.sections, after.sections) == (3, 3)
