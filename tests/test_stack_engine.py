"""Sets of adapters in the engine: what llama.cpp makes of them, on the demo, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.null import null_of
from sway_gguf.artifacts.stack import Member, Stack
from sway_gguf.core.answers import Answer, CompletionScore, RollingLogprob
from sway_gguf.core.engine_settings import EngineSettings, Workers
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.queries import Completion, NextToken, Query, Rolling
from sway_gguf.core.views import BASE, TUNED, MemberView, NullDesign, NullView, PartView, ScaledView, View
from sway_gguf.engine.again import Again
from sway_gguf.engine.crew import Crew
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import spoiled
from tests.test_kept import Kept, bits

BASE_FILE = DEMO / "base.f32.gguf"
HEALTHY, RANDOM = (read_lora(DEMO / f"{name}.lora.gguf") for name in ("healthy", "random"))
QUERIES: list[Query] = [
    Rolling("The heron stands in the shallow water and waits for a fish."),
    Completion("A nest of", " sticks high in a tree"),
    NextToken("Every year"),
]
EXACT = EngineSettings(kv_type="f32")
CREW = Crew(Workers(1, 1), Workers(2, 1))
ROUNDING = 2e-4
"""Nats, of a float32 model whose updates are added in another order."""


def asked(stack: LoraAdapter | Stack, view: View = TUNED, store: Kept | None = None) -> list[Answer]:
    with LlamaBackend(BASE_FILE, stack, EXACT, store) as backend, backend.open(view) as opened:
        return opened.answer(QUERIES)


def numbers(answers: list[Answer]) -> np.ndarray:
    text, reply, row = answers
    assert isinstance(text, RollingLogprob)
    assert isinstance(reply, CompletionScore)
    assert isinstance(row, np.ndarray)
    return np.concatenate([text.logprobs, [reply.logprob], row]).astype(np.float64)


def apart(one: list[Answer], other: list[Answer]) -> float:
    return float(np.abs(numbers(one) - numbers(other)).max())


def a_set(*members: tuple[LoraAdapter, float]) -> Stack:
    return Stack(tuple(Member(*each) for each in members))


def test_a_set_does_what_the_one_adapter_of_the_same_update_does() -> None:
    both = a_set((HEALTHY, 0.8), (RANDOM, -0.5))
    found = asked(both)
    assert apart(found, asked(both.as_one())) < ROUNDING
    assert apart(found, asked(HEALTHY)) > 100 * ROUNDING


def test_two_halves_are_the_adapter_and_opposites_are_the_base() -> None:
    whole = asked(HEALTHY)
    assert apart(asked(a_set((HEALTHY, 0.5), (HEALTHY, 0.5))), whole) < ROUNDING
    assert apart(asked(a_set((HEALTHY, 1.0), (HEALTHY, -1.0))), asked(HEALTHY, BASE)) < ROUNDING
    assert apart(whole, asked(HEALTHY, BASE)) > 100 * ROUNDING


def test_a_scale_goes_on_top_of_each_ones_own_and_one_alone_is_the_adapter_by_itself() -> None:
    both = a_set((HEALTHY, 1.0), (RANDOM, 0.5))
    assert bits(asked(both, ScaledView(0.5))) == bits(asked(a_set((HEALTHY, 0.5), (RANDOM, 0.25))))
    assert bits(asked(both, ScaledView(0.0))) == bits(asked(both, BASE)) == bits(asked(HEALTHY, BASE))
    assert bits(asked(both, MemberView(0))) == bits(asked(HEALTHY))
    assert bits(asked(both, MemberView(1))) == bits(asked(RANDOM, ScaledView(0.5)))
    assert bits(asked(a_set((HEALTHY, 0.5)))) == bits(asked(HEALTHY, ScaledView(0.5)))
    three = a_set((HEALTHY, 1.0), (HEALTHY, 2.0), (RANDOM, 0.5))
    assert bits(asked(three, PartView((0, 2)))) == bits(asked(both))


def test_a_set_of_one_draws_the_nulls_of_its_adapter_and_every_view_leaves_the_next_one_alone() -> None:
    views = [NullView(1), TUNED, MemberView(1), NullView(2), BASE, MemberView(0), TUNED]
    both = a_set((HEALTHY, 1.0), (RANDOM, 0.5))
    with LlamaBackend(BASE_FILE, both, EXACT) as backend:
        for view in views:
            with backend.open(view) as opened:
                assert bits(opened.answer(QUERIES)) == bits(asked(both, view)), str(view)
        assert backend.swap(HEALTHY)
        with backend.open(NullView(1)) as opened:
            assert bits(opened.answer(QUERIES)) == bits(asked(a_set((HEALTHY, 1.0)), NullView(1)))


def test_what_is_kept_of_a_set_is_found_for_the_same_set_alone() -> None:
    store, both = Kept(), a_set((HEALTHY, 1.0), (RANDOM, 0.5))
    cold = {view: bits(asked(both, view, store)) for view in (TUNED, MemberView(1), NullView(1))}
    kept = store.puts
    assert {view: bits(asked(both, view, store)) for view in cold} == cold
    asked(a_set((RANDOM, 0.5)), TUNED, store)
    asked(a_set((HEALTHY, -2.0), (RANDOM, 0.5)), MemberView(1), store)
    assert store.puts == kept, "an adapter is known whatever else is in the set"
    for other in (a_set((RANDOM, 0.5), (HEALTHY, 1.0)), a_set((HEALTHY, 1.0), (RANDOM, 1.0)), HEALTHY):
        before = store.puts
        asked(other, TUNED, store)
        assert store.puts > before


def test_what_was_kept_of_a_set_is_computed_again_from_its_request() -> None:
    store, both = Kept(), a_set((HEALTHY, 1.0), (RANDOM, 0.5))
    for view in (TUNED, MemberView(1), NullView(1)):
        asked(both, view, store)
    with Again([BASE_FILE, HEALTHY.path, RANDOM.path], lambda digest: ()) as again:
        assert {again(request) == value for request, value in store.items()} == {True}
    with Again([BASE_FILE, HEALTHY.path], lambda digest: ()) as again:
        assert {again(request) for request in store if b" + " in request} == {None}


def test_a_null_is_refused_where_one_of_the_set_is_not_finite() -> None:
    with pytest.raises(NonFiniteError, match="not finite"):
        asked(a_set((HEALTHY, 1.0), (replace(spoiled(RANDOM, 0), in_file=False), 1.0)), NullView(1))


def test_twins_answer_a_set_to_the_bit(tmp_path: Path) -> None:
    both = a_set((HEALTHY, 1.0), (RANDOM, 0.5))
    with LlamaBackend(read_base(BASE_FILE), both, EXACT) as backend, backend.twin(CREW) as twin:
        for view in (TUNED, MemberView(0)):
            with twin.open(view) as opened:
                assert bits(opened.answer(QUERIES)) == bits(asked(both, view))
    joined = tmp_path / "one.gguf"
    write_lora(both.as_one(), joined)
    assert apart(asked(read_lora(joined)), asked(both)) < ROUNDING


def test_what_is_held_runs_beside_the_nulls_of_the_others() -> None:
    """As the set of it and of the null by itself, to the bit; and what is kept is found for the same alone."""
    store, view = Kept(), NullView(1, NullDesign("rotation"))
    beside = Stack((Member(HEALTHY, 0.8, held=True), Member(RANDOM, 0.5)))
    null = null_of(Stack((Member(RANDOM, 0.5),)), 1)
    found = asked(beside, view, store)
    assert bits(found) == bits(asked(a_set((HEALTHY, 0.8), (replace(null.adapter, in_file=False), null.scale))))
    kept = store.puts
    assert bits(asked(beside, view, store)) == bits(found)
    assert store.puts == kept
    for other in (a_set((HEALTHY, 0.8), (RANDOM, 0.5)), Stack((Member(HEALTHY, 0.8), Member(RANDOM, 0.5, held=True)))):
        before = store.puts
        assert bits(asked(other, view, store)) != bits(found)
        assert store.puts > before
    tuned, kept = bits(asked(beside, TUNED, store)), store.puts
    assert bits(asked(a_set((HEALTHY, 0.8), (RANDOM, 0.5)), TUNED, store)) == tuned
    assert store.puts == kept, "what runs as it is is the same set"
    with Again([BASE_FILE, HEALTHY.path, RANDOM.path], lambda digest: ()) as again:
        assert {again(request) == value for request, value in store.items()} == {True}
