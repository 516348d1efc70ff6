"""Logits to log-probabilities: against scipy, and what is not finite."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from sway_gguf.core.divergence import kl
from sway_gguf.engine.reduce import NotFiniteError, changes, log_softmax_row, log_sum_exp, target_logprobs

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


@pytest.mark.parametrize("width", [3, 5000, 70_000])
def test_changes_agree_with_divergences_of_whole_distributions(width: int) -> None:
    base = (RNG.normal(size=(5, width)) * 8).astype(np.float32)
    other = (base + RNG.normal(size=(5, width)) * 0.3 + 2.0).astype(np.float32)
    targets = [int(token) for token in RNG.integers(0, width, 5)]
    found = changes(base, other, targets)
    before, after = (log_softmax(logits.astype(np.float64), axis=1) for logits in (base, other))
    assert found.kl == pytest.approx([kl(p, q) for p, q in zip(before, after, strict=True)], abs=1e-6)
    assert found.same_top.tolist() == (before.argmax(axis=1) == after.argmax(axis=1)).tolist()
    assert found.base == pytest.approx(before[np.arange(5), targets], abs=1e-6)
    assert found.other == pytest.approx(after[np.arange(5), targets], abs=1e-6)


def test_no_change_is_exactly_none() -> None:
    logits = (RNG.normal(size=(4, 50_000)) * 8).astype(np.float32)
    found = changes(logits, logits.copy(), [1, 2, 3, 4])
    assert found.kl.tolist() == [0.0] * 4
    assert found.same_top.all()
    assert (found.base == found.other).all()


def test_tokens_ruled_out_in_both_are_no_change() -> None:
    base = np.array([[0.0, 0.0, -np.inf], [1.0, 0.0, -np.inf]], np.float32)
    other = np.array([[np.log(3.0), 0.0, -np.inf], [1.0, 0.0, -np.inf]], np.float32)
    # ½·ln(½ / ¾) + ½·ln(½ / ¼), and nothing.
    assert changes(base, other, [0, 1]).kl == pytest.approx([0.5 * np.log(2 / 3) + 0.5 * np.log(2), 0.0], abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_the_row_whose_change_is_not_finite_is_named(bad: float, side: int) -> None:
    sides = [np.zeros((3, 4), np.float32) for _ in range(2)]
    sides[side][2, 1] = bad
    with pytest.raises(NotFiniteError) as caught:
        changes(*sides, [0, 0, 0])
    assert caught.value.row == 2


def test_what_only_the_view_rules_out_makes_the_divergence_infinite() -> None:
    with pytest.raises(NotFiniteError):
        changes(np.zeros((1, 2), np.float32), np.array([[0.0, -np.inf]], np.float32), [0])
