"""Logits to log-probabilities: against scipy, and what is not finite."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from sway_gguf.engine.reduce import NotFiniteError, log_softmax_row, log_sum_exp, target_logprobs

RNG = np.random.default_rng(0)


def test_reductions_agree_with_scipy_in_float64() -> None:
    logits = (RNG.normal(size=(7, 5000)) * 8).astype(np.float32)
    wide = logits.astype(np.float64)
    targets = RNG.integers(0, 5000, 7)
    assert log_sum_exp(logits) == pytest.approx(logsumexp(wide, axis=1), abs=1e-6)
    assert target_logprobs(logits, targets) == pytest.approx(log_softmax(wide, axis=1)[np.arange(7), targets], abs=1e-6)
    assert log_softmax_row(logits[0]) == pytest.approx(log_softmax(wide[0]), rel=1e-6)


def test_large_logits_do_not_overflow() -> None:
    assert log_sum_exp(np.array([[3e38, 3e38]], np.float32))[0] == pytest.approx(3e38)


def test_a_token_ruled_out_elsewhere_does_not_matter() -> None:
    logits = np.array([[0.0, 0.0, -np.inf]], np.float32)
    assert target_logprobs(logits, [1])[0] == pytest.approx(-np.log(2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_row_that_is_not_finite_is_named(bad: float) -> None:
    logits = np.zeros((3, 4), np.float32)
    logits[2, 1] = bad
    with pytest.raises(NotFiniteError) as caught:
        target_logprobs(logits, [0, 0, 0])
    assert caught.value.row == 2
    with pytest.raises(NotFiniteError):
        log_softmax_row(logits[2])
