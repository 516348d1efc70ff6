"""The quick form of benchmarks/false_alarms.py: an adapter that is one more null rarely passes, by probe or by axis."""

from __future__ import annotations

import pytest
from scipy import stats

from benchmarks.false_alarms import NOISES, false_alarms


@pytest.mark.parametrize("name", NOISES)
def test_the_family_wise_false_alarm_rate_is_at_most_alpha(name: str) -> None:
    runs = 60
    found = false_alarms(runs, NOISES[name])
    # More alarms than this would have a chance below 1 in 500 at a rate of 5%.
    assert found.probe <= stats.binom.ppf(0.998, runs, 0.05)
    assert found.healthy <= found.axis <= found.probe
