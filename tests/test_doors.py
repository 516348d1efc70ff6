"""The protocol: one view at a time, closed views stay closed, list forms, boundary-safe tokens."""

from __future__ import annotations

import numpy as np
import pytest

from sway_gguf.core.answers import Answer
from sway_gguf.core.errors import NonFiniteError, UserError, ViewError
from sway_gguf.core.queries import Completion, NextToken, Query, Rolling
from sway_gguf.core.views import BASE, TUNED, NullDesign, NullView, ScaledView, View
from sway_gguf.engine.fake import FakeBackend, distribution, wordy_script
from sway_gguf.engine.open_view import top_of
from sway_gguf.engine.protocol import (
    Backend,
    NullBackend,
    NullCalibrationProxy,
    ScalableBackend,
    SingleView,
)
from sway_gguf.engine.scoring import completion_tokens, plan


def tuned_shift(view: View, query: Query) -> float:
    return 1.0 if view == TUNED else 0.0


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(wordy_script(tuned_shift))


def test_a_second_view_cannot_be_opened(backend: FakeBackend) -> None:
    with backend.as_base(), pytest.raises(ViewError, match="base view is still open"), backend.as_finetuned():
        pass


def test_a_view_is_dead_after_its_block(backend: FakeBackend) -> None:
    with backend.as_base() as view:
        view.rolling_logprob("a b")
    with pytest.raises(ViewError, match="after its block"):
        view.rolling_logprob("a b")
    with pytest.raises(ViewError, match="after its block"):
        view.generate("a", max_new_tokens=1)


def test_an_error_inside_a_block_still_closes_it(backend: FakeBackend) -> None:
    with pytest.raises(KeyError), backend.as_finetuned():
        raise KeyError
    with backend.as_base() as view:
        assert view.id == "base"


def test_single_calls_are_lists_of_one(backend: FakeBackend) -> None:
    with backend.as_finetuned() as view:
        assert view.logprob_of("a b", " c d") == view.logprob_of_many([("a b", " c d")])[0]
        assert view.rolling_logprob("a b c").total_logprob == view.rolling_logprob_many(["a b c"])[0].total_logprob
        assert (
            view.next_token_dist("a", top_k=3).logprobs == view.next_token_dist_many(["a"], top_k=3)[0].logprobs
        ).all()
        assert view.generate("a", max_new_tokens=4) == view.generate_many(["a"], max_new_tokens=4)[0]


def test_doors_open_the_views_they_are_named_after(backend: FakeBackend) -> None:
    doors = {
        BASE: backend.as_base(),
        TUNED: backend.as_finetuned(),
        ScaledView(0.5): backend.as_scaled_adapter(0.5),
        NullView(3, NullDesign("gaussian", 2.0, 0.1)): backend.as_null_adapter(3, init_scale=0.1, rank_scale=2.0),
    }
    for view, door in doors.items():
        with door as opened:
            assert opened.view == view


def test_the_fake_speaks_the_protocol(backend: FakeBackend) -> None:
    assert isinstance(backend, Backend)
    assert isinstance(backend, ScalableBackend)
    assert isinstance(backend, NullBackend)
    with backend.as_base() as view:
        assert isinstance(view, SingleView)


def test_the_proxy_puts_one_null_in_the_tuned_views_place(backend: FakeBackend) -> None:
    proxy = NullCalibrationProxy(backend, seed=7, init_scale=0.1, rank_scale=0.5)
    for _ in range(2):
        with proxy.as_finetuned() as view:
            assert view.view == NullView(7, NullDesign("gaussian", 0.5, 0.1))  # type: ignore[attr-defined]
    with proxy.as_base() as view:
        assert view.id == "base"
    assert not hasattr(proxy, "as_scaled_adapter")
    assert not hasattr(proxy, "as_null_adapter")


def test_preflight_names_the_view_that_is_not_finite() -> None:
    def script(view: View, query: Query) -> Answer:
        if view == TUNED:
            raise NonFiniteError(str(view), str(query))
        return distribution(1, 2)

    ok, why = FakeBackend(script).preflight_finite_check()
    assert not ok
    assert "tuned" in why


def test_top_of_a_row_by_hand() -> None:
    found = top_of(np.log(np.array([0.1, 0.6, 0.3], np.float32)), 2)
    assert found.token_ids.tolist() == [1, 2]
    assert found.tail_logprob == pytest.approx(np.log(0.1), abs=1e-5)
    assert top_of(np.log(np.array([0.1, 0.6, 0.3], np.float32)), 3).tail_logprob is None


class Letters:
    """A tokenizer of single letters in which "xy" is one token, with BOS 0."""

    bos: int | None = 0

    def tokenize(self, text: str) -> list[int]:
        return [0, *(ord(letter) for letter in text.replace("xy", "\x01"))]


def test_a_token_across_the_boundary_belongs_to_the_completion() -> None:
    joint, start = completion_tokens(Completion("ax", "yb"), Letters())
    assert joint == [0, ord("a"), 1, ord("b")]
    assert start == 2


def test_a_completion_after_nothing_is_scored_from_bos() -> None:
    assert completion_tokens(Completion("", "ab"), Letters()) == ([0, ord("a"), ord("b")], 1)


@pytest.mark.parametrize("prompt", ["", "ab"])
def test_a_completion_of_no_tokens_is_named(prompt: str) -> None:
    with pytest.raises(UserError, match="adds no token"):
        plan(Completion(prompt, ""), Letters(), 16)


def test_a_prompt_longer_than_the_context_is_refused_and_a_text_is_not() -> None:
    with pytest.raises(UserError, match="raise -c"):
        plan(NextToken("a" * 20), Letters(), 16)
    assert len(plan(Rolling("a" * 20), Letters(), 16).jobs) > 1
