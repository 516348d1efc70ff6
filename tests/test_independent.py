"""The quick form of benchmarks/independent.py: our statistics are those of SciPy, statsmodels, and plain loops."""

from __future__ import annotations

import pytest

from benchmarks.independent import COMPARISONS, Comparison, greatest


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda each: each.ours)
def test_our_numbers_are_those_of_others(comparison: Comparison) -> None:
    if "statsmodels" in comparison.theirs:
        pytest.importorskip("statsmodels")
    assert greatest(comparison, 4) <= comparison.close
