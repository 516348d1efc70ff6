"""Our bootstrap intervals are those of SciPy, which are the reference, also where BCa has no ends."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sway_gguf.stats.bootstrap import Interval, bootstrapped
from sway_gguf.stats.contrast import contrast

Numbers = NDArray[np.float64]


def mean(group: Numbers, axis: int = -1) -> Numbers:
    return np.asarray(group.mean(axis=axis))


def less_controls(*groups: Numbers, axis: int = -1) -> Numbers:
    return contrast(groups[0], groups[1:], axis)


def ratio(one: Numbers, other: Numbers, axis: int = -1) -> Numbers:
    return np.asarray(one.mean(axis=axis) / other.mean(axis=axis))


def by_scipy(
    groups: tuple[Numbers, ...], statistic: Callable[..., Numbers], seed: int, paired: bool, method: Any = "BCa"
) -> Interval:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            groups, statistic, paired=paired, n_resamples=500, method=method, vectorized=True,
            rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    return Interval(float(found.low), float(found.high))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("statistic", "sizes", "paired"),
    [(mean, (5,), False), (mean, (32,), False), (less_controls, (12, 7, 20), False), (ratio, (9, 9), True)],
)
def test_an_interval_is_scipys(
    statistic: Callable[..., Numbers], sizes: tuple[int, ...], paired: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    groups = tuple(rng.lognormal(0.2 * place, 0.8, size) for place, size in enumerate(sizes))
    found = bootstrapped(groups, statistic, seed=seed, confidence=0.95, resamples=500, paired=paired)
    assert found == pytest.approx(by_scipy(groups, statistic, seed, paired), rel=1e-12)


def test_where_bca_has_no_ends_the_interval_is_the_percentiles() -> None:
    groups = (np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), np.array([9.0, 9.0, 8.0, 9.0, 9.0]))

    def constant(*drawn: Numbers, axis: int = -1) -> Numbers:
        return np.asarray(np.minimum(drawn[0].max(axis=axis), drawn[1].min(axis=axis)))

    assert not all(map(np.isfinite, by_scipy(groups, constant, 3, False)))
    found = bootstrapped(groups, constant, seed=3, confidence=0.95, resamples=500)
    assert found == by_scipy(groups, constant, 3, False, "percentile")
