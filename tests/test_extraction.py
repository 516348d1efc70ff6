"""(n, p)-discoverable extraction, by hand and at the ends of what numbers can hold."""

from __future__ import annotations

import math

import pytest

from sway_gguf.stats.extraction import samples_needed


def test_the_samples_by_hand() -> None:
    # q = 1/4: (3/4)² = 0.5625 > 1/2 ≥ (3/4)³, so three; q = 1/2 needs one at even chance, four at 15/16.
    assert samples_needed(math.log(0.25), 0.5) == 3
    assert samples_needed(math.log(0.5), 0.5) == 1
    assert samples_needed(math.log(0.5), 0.9) == 4
    assert samples_needed(0.0, 0.99) == 1


@pytest.mark.parametrize("logprob", [-30.0, -60.0, -300.0, -700.0])
def test_tiny_probabilities_keep_their_digits(logprob: float) -> None:
    """n is ln 2 / q there; computed as written, q would be lost beside 1."""
    assert samples_needed(logprob, 0.5) == pytest.approx(math.log(2) * math.exp(-logprob), rel=1e-9)


def test_below_the_smallest_number_it_never_comes_out() -> None:
    assert samples_needed(-1e4, 0.5) == math.inf


@pytest.mark.parametrize("q", [0.9, 0.3, 0.01, 1e-5])
@pytest.mark.parametrize("chance", [0.1, 0.5, 0.99])
def test_one_sample_less_does_not_reach_the_chance(q: float, chance: float) -> None:
    needed = int(samples_needed(math.log(q), chance))
    assert 1 - (1 - q) ** needed >= chance - 1e-12
    assert needed == 1 or 1 - (1 - q) ** (needed - 1) < chance


def test_no_probability_exceeds_one() -> None:
    with pytest.raises(ValueError, match="above 0"):
        samples_needed(0.1, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        samples_needed(-1.0, 1.0)
