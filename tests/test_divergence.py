"""Divergences against values derived by hand, and the properties that define them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sway_gguf.core.divergence import LN2, js, js_distance, kl
from sway_gguf.engine.fake import distribution

weights = arrays(np.float64, 6, elements=st.floats(1e-3, 1.0))


def test_kl_of_a_fair_and_a_loaded_coin() -> None:
    # ½·ln(½ / ¾) + ½·ln(½ / ¼) = ½·ln(4/3)
    assert kl(distribution(1, 1), distribution(3, 1)) == pytest.approx(0.5 * math.log(4 / 3), abs=1e-7)


def test_js_of_disjoint_certainties_is_its_upper_bound() -> None:
    sure, other = np.array([0.0, -np.inf], np.float32), np.array([-np.inf, 0.0], np.float32)
    assert js(sure, other) == pytest.approx(LN2, abs=1e-7)


def test_kl_is_infinite_where_q_misses_what_p_has() -> None:
    with pytest.raises(ValueError, match="infinite"):
        kl(np.log(np.array([0.5, 0.5], np.float32)), np.array([0.0, -np.inf], np.float32))


def test_distributions_of_different_vocabularies_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shapes"):
        kl(distribution(1, 1), distribution(1, 1, 1))


@given(weights, weights)
def test_divergences_are_bounded_and_js_is_symmetric(a: np.ndarray, b: np.ndarray) -> None:
    p, q = distribution(*a), distribution(*b)
    assert kl(p, q) >= 0
    assert 0 <= js(p, q) <= LN2
    assert js(p, q) == pytest.approx(js(q, p), abs=1e-12)


@given(weights)
def test_nothing_diverges_from_itself(a: np.ndarray) -> None:
    p = distribution(*a)
    assert kl(p, p) == 0
    assert js(p, p) == pytest.approx(0, abs=1e-9)


@given(weights, weights, weights)
def test_js_distance_obeys_the_triangle_inequality(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    p, q, r = distribution(*a), distribution(*b), distribution(*c)
    assert js_distance(p, r) <= js_distance(p, q) + js_distance(q, r) + 1e-6


def test_js_distance_is_linear_in_a_small_perturbation() -> None:
    base = np.array([0.3, 0.2, 0.5])

    def moved(size: float) -> float:
        logits = np.log(base) + size * np.array([1.0, -0.5, 0.2])
        return js_distance(distribution(*base), distribution(*np.exp(logits)))

    assert moved(0.02) / moved(0.01) == pytest.approx(2, rel=0.02)
