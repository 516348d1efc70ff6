"""Comparisons, replies, embeddings and fillers by the real engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.core.answers import Changes, Embedding, Generated, Tokens
from sway_gguf.core.divergence import kl
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Compare, Embed, Generate, NextToken, Rolling, Split
from sway_gguf.core.views import BASE, TUNED, NullView
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.scoring import prompt_tokens
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from tests.bert_file import WIDTH, bert_file

TEXTS = [section.text for section in read_material(DEMO / "general.txt").sections[:8]]
PROMPTS = [" ".join(text.split()[:6]) for text in TEXTS]


def test_a_comparison_is_what_asking_position_by_position_gives(demo_backend: LlamaBackend) -> None:
    text = TEXTS[0][:80]
    with demo_backend.as_finetuned() as view:
        (found,) = view.answer([Compare(text)])
        other = view.rolling_logprob(text)
    assert isinstance(found, Changes)
    with demo_backend.as_base() as view:
        base = view.rolling_logprob(text)
    assert found.base == pytest.approx(base.logprobs, abs=1e-4)
    assert found.other == pytest.approx(other.logprobs, abs=1e-4)
    rows = {}
    for name, door in (("base", BASE), ("other", TUNED)):
        with demo_backend.open(door) as view:
            (rows[name],) = view.answer([NextToken(text)])
    # The distribution behind the whole text stands for one position more: ask with one word less.
    shorter = text.rsplit(" ", 1)[0]
    with demo_backend.as_finetuned() as view:
        (after,) = view.answer([NextToken(shorter)])
    with demo_backend.as_base() as view:
        (before,) = view.answer([NextToken(shorter)])
    place = len(demo_backend.model.tokenize(shorter)) - 1
    assert found.kl[place] == pytest.approx(kl(before, after), abs=1e-4)  # type: ignore[arg-type]
    assert found.same_top[place] == (np.argmax(before) == np.argmax(after))  # type: ignore[arg-type]


def test_the_base_does_not_differ_from_itself_and_views_stay_what_they_were(demo_backend: LlamaBackend) -> None:
    with demo_backend.as_base() as view:
        (same,) = view.answer([Compare(TEXTS[0])])
    assert isinstance(same, Changes)
    assert same.kl.max() == 0
    assert same.same_top.all()
    with demo_backend.as_finetuned() as view:
        before = view.rolling_logprob(TEXTS[1]).total_logprob
        view.answer([Compare(text) for text in TEXTS])
        assert view.rolling_logprob(TEXTS[1]).total_logprob == before


@pytest.mark.parametrize("view", [BASE, TUNED, NullView(3)], ids=str)
def test_a_greedy_reply_does_not_depend_on_its_mates(demo_backend: LlamaBackend, view: object) -> None:
    asks = [Generate(prompt, 24) for prompt in PROMPTS]
    with demo_backend.open(view) as opened:  # type: ignore[arg-type]
        together = opened.answer(asks)
        alone = [opened.answer([ask])[0] for ask in asks]
    assert together == alone


def test_a_reply_tells_its_tokens(demo_backend: LlamaBackend) -> None:
    with demo_backend.as_base() as view:
        (found,) = view.answer([Generate(PROMPTS[0], 8)])
    assert isinstance(found, Generated)
    assert b"".join(map(demo_backend.model.piece, found.token_ids)).decode() == found.text
    assert len(found.token_ids) <= 8


def test_a_reply_that_the_context_cannot_hold_is_refused(demo_backend: LlamaBackend) -> None:
    with pytest.raises(UserError, match="asks for 600 more"), demo_backend.as_base() as view:
        view.answer([Generate("Anna", 600)])


def test_a_filler_has_an_exact_number_of_tokens_behind_bos(demo_backend: LlamaBackend) -> None:
    model = demo_backend.model
    plain = model.tokenize("Anna went")
    for count in (1, 7, 100):
        tokens = prompt_tokens(NextToken("Anna went", "The market was full. ", count), model)
        assert len(tokens) == len(plain) + count
        assert tokens[0] == model.bos
        assert tokens[count + 1 :] == plain[1:]
    with demo_backend.as_base() as view:
        near, far = view.answer([NextToken("Anna went"), NextToken("Anna went", "The market was full. ", 50)])
    assert not np.allclose(near, far)  # type: ignore[arg-type]


def test_split_gives_the_tokens_that_follow(demo_backend: LlamaBackend) -> None:
    with demo_backend.as_base() as view:
        (found,) = view.answer([Split("Anna went", " to the market.")])
    assert isinstance(found, Tokens)
    whole = demo_backend.model.tokenize("Anna went to the market.")
    assert list(found.ids) == whole[-len(found.ids) :]


@pytest.fixture
def embedder_backend() -> Iterator[LlamaBackend]:
    settings = EngineSettings(embedder=DEMO / "base.f32.gguf")
    with LlamaBackend(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", settings) as backend:
        yield backend


def vectors(backend: LlamaBackend, view: object, texts: list[str]) -> np.ndarray:
    with backend.open(view) as opened:  # type: ignore[arg-type]
        return np.stack([one.vector for one in opened.answer([Embed(t) for t in texts]) if isinstance(one, Embedding)])


def test_embeddings_are_the_same_in_every_view_and_of_length_one(demo_backend: LlamaBackend) -> None:
    base = vectors(demo_backend, BASE, TEXTS)
    assert (vectors(demo_backend, TUNED, TEXTS[::-1])[::-1] == base).all()
    assert np.linalg.norm(base, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert (vectors(demo_backend, BASE, ["  "]) == 0).all()


def test_embeddings_put_like_by_like(demo_backend: LlamaBackend) -> None:
    recipe, again = "How to make soup with beans: Wash two plates.", "How to make cake with plums: Cut two baskets."
    letter = "Dear Anna,\nThank you for the honey that you sent."
    one, two, three = vectors(demo_backend, BASE, [recipe, again, letter])
    assert one @ two > one @ three


def test_an_embedding_model_of_ones_own_is_loaded_from_its_file(
    embedder_backend: LlamaBackend, demo_backend: LlamaBackend
) -> None:
    found = vectors(embedder_backend, TUNED, TEXTS[:2])
    assert found == pytest.approx(vectors(demo_backend, BASE, TEXTS[:2]), abs=2e-3)


@pytest.mark.parametrize("name", ["none.gguf", "pipe.gguf"])
def test_an_embedding_model_that_cannot_be_loaded_is_told(tmp_path: Path, name: str) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.gguf")
    settings = EngineSettings(embedder=tmp_path / name)
    with (
        LlamaBackend(DEMO / "base.f32.gguf", None, settings) as backend,
        pytest.raises(UserError, match=name),
        backend.as_base() as view,
    ):
        view.answer([Embed("x")])


def test_a_comparison_runs_over_windows_too(demo_backend: LlamaBackend) -> None:
    text = "\n\n".join(TEXTS)
    with (
        LlamaBackend(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", EngineSettings(context=64)) as short,
        short.as_finetuned() as view,
    ):
        compared, rolled = view.answer([Compare(text), Rolling(text)])
    assert isinstance(compared, Changes)
    assert compared.other == pytest.approx(rolled.logprobs, abs=1e-3)  # type: ignore[union-attr]


@pytest.mark.parametrize("pooling", ["MEAN", "CLS"])
def test_a_bert_embeds_with_its_own_pooling(tmp_path: Path, pooling: str) -> None:
    path = bert_file(tmp_path / "bert.gguf", gguf.PoolingType[pooling])
    settings = EngineSettings(embedder=path)
    with LlamaBackend(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", settings) as backend:
        first, again, other = vectors(backend, TUNED, ["abc def", "abc def", "xyz"])
    assert first.shape == (WIDTH,)
    assert (first == again).all()
    assert np.linalg.norm(first) == pytest.approx(1.0, abs=1e-5)
    assert not np.allclose(first, other, atol=1e-3)
