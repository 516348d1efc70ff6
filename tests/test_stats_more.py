"""Half-lives and clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sway_gguf.stats.clusters import clusters, specificity
from sway_gguf.stats.decay import fit_decay
from sway_gguf.stats.noise import noise_limit

X = np.array([0.0, 100.0, 200.0, 400.0])


def test_an_exact_decay_gives_its_half_life() -> None:
    table = np.outer([1.0, 2.0, 3.0], 0.5 ** (X / 150))
    found = fit_decay(X, table)
    assert found.half_life == pytest.approx(150)
    assert found.interval == (pytest.approx(150), pytest.approx(150))
    assert found.slope == pytest.approx(-math.log(2) / 150)


@pytest.mark.parametrize("factor", [1.0, 1.2], ids=["level", "growing"])
def test_a_curve_that_does_not_shrink_has_no_half_life(factor: float) -> None:
    found = fit_decay(X, np.outer([1.0, 2.0, 3.0], factor ** (X / 100)))
    assert found.half_life is None
    assert found.interval[1] is None


def test_a_slope_within_the_scatter_of_items_may_be_none() -> None:
    table = np.random.default_rng(0).lognormal(0, 1, (6, 4))
    assert fit_decay(X, table).interval[1] is None


def test_two_items_that_fade_are_not_called_lasting() -> None:
    """Their agreement shows no scatter, so the fit is all that there is."""
    found = fit_decay(X, np.outer([1.0, 1.1], 0.5 ** (X / 150)))
    assert found.half_life == pytest.approx(150)
    assert found.interval == (0.0, None)


def test_the_interval_holds_the_half_life() -> None:
    rng = np.random.default_rng(1)
    table = 0.5 ** (X / 150) * rng.lognormal(0, 0.1, (30, 4))
    found = fit_decay(X, table)
    assert found.half_life is not None
    assert found.interval[1] is not None
    assert found.interval[0] < found.half_life < found.interval[1]
    assert found.interval[0] < 150 < found.interval[1]


def test_a_half_life_needs_positive_means_and_two_places() -> None:
    with pytest.raises(ValueError, match="positive"):
        fit_decay(X, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="two places"):
        fit_decay(X[:1], np.ones((3, 1)))


def test_clusters_find_clouds_and_do_not_depend_on_luck() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(center, 0.1, (10, 3)) for center in (0, 5, 10)])
    for seed in range(5):
        assert clusters(vectors, 3, seed=seed).tolist() == [0] * 10 + [1] * 10 + [2] * 10


def test_fewer_vectors_than_clusters_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 clusters"):
        clusters(np.zeros((2, 2)), 3, seed=0)


def test_specificity_is_eta_squared_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    # means 1 and 3 about 2: between 4; within 2·(½² + ½²) = 1
    assert specificity(np.array([0.5, 1.5, 2.5, 3.5]), labels) == pytest.approx(4 / 5)
    assert specificity(np.ones(4), labels) == 0.0


def test_the_limit_of_noise_is_the_mean_and_two_standard_errors() -> None:
    # Items ±1: mean 0, variance 4/3, so SE = √(4/3/4) = 0.577; controls 0 and 2 add 2/2 = 1.
    assert noise_limit(0.0, [1.0, -1.0, 1.0, -1.0]) == pytest.approx(2 * (1 / 3) ** 0.5)
    assert noise_limit(-0.5, [1.0, -1.0, 1.0, -1.0], [0.0, 2.0]) == pytest.approx(0.5 + 2 * (1 / 3 + 1) ** 0.5)
    assert noise_limit(-0.25, [0.25]) == 0.25
    assert noise_limit(0.0, []) == 0.0
