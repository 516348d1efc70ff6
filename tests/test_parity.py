"""The engine against transformers + peft, by numbers recorded in float32: the demo model, and the published one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sway_gguf.core.divergence import js, kl
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from tests.conftest import STORIES

NATS = 1e-4
MODELS = {
    "demo": (DEMO, "base.f32.gguf", "healthy.lora.gguf"),
    "stories260k": (STORIES, "stories260K.f32.gguf", "zog.f32.lora.gguf"),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest) -> Iterator[tuple[LlamaBackend, dict[str, Any]]]:
    folder, base, adapter = MODELS[request.param]
    if not folder.is_dir():
        pytest.skip("the published model does not lie beside this checkout")
    reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    with LlamaBackend(Path(folder / base), Path(folder / adapter), EngineSettings(kv_type="f32")) as backend:
        yield backend, reference


@pytest.mark.parametrize(("view", "side"), [(BASE, "base"), (TUNED, "finetuned")], ids=["base", "tuned"])
def test_log_probabilities_agree(case: tuple[LlamaBackend, dict[str, Any]], view: View, side: str) -> None:
    backend, reference = case
    with backend.open(view) as opened:
        texts = opened.rolling_logprob_many(reference["texts"])
        pairs = opened.logprob_of_many([(prompt, completion) for prompt, completion in reference["pairs"]])
        tops = opened.next_token_dist_many(reference["next_prompts"], top_k=10)
    for found, expected in zip(texts, reference[side]["rolling"], strict=True):
        assert found.token_ids.tolist() == expected["token_ids"]
        assert found.logprobs == pytest.approx(np.array(expected["logprobs"]), abs=NATS)
    for score, expected in zip(pairs, reference[side]["completion"], strict=True):
        assert score == pytest.approx(expected["logprob"], abs=NATS * expected["n_completion_tokens"])
    for top, expected in zip(tops, reference[side]["next"], strict=True):
        assert top.token_ids.tolist() == expected["top_ids"]
        assert top.logprobs == pytest.approx(np.array(expected["top_logprobs"]), abs=NATS)


@pytest.mark.parametrize(("view", "side"), [(BASE, "base"), (TUNED, "finetuned")], ids=["base", "tuned"])
def test_greedy_continuations_agree_exactly(case: tuple[LlamaBackend, dict[str, Any]], view: View, side: str) -> None:
    backend, reference = case
    with backend.open(view) as opened:
        texts = opened.generate_many(reference["next_prompts"], max_new_tokens=24)
    model = backend.model
    expected = [b"".join(map(model.piece, _until_end(backend, ids))) for ids in reference[side]["greedy"]]
    assert texts == [text.decode("utf-8", "replace") for text in expected]


def _until_end(backend: LlamaBackend, ids: list[int]) -> list[int]:
    """The reference goes on past the end of a text; generation stops there."""
    end = next((place for place, token in enumerate(ids) if backend.model.ends_text(token)), len(ids))
    return ids[:end]


def test_divergences_agree(case: tuple[LlamaBackend, dict[str, Any]]) -> None:
    backend, reference = case
    rows = {}
    for view in (BASE, TUNED):
        with backend.open(view) as opened:
            vocabulary = backend.model.vocabulary
            rows[view] = [
                _row(dist) for dist in opened.next_token_dist_many(reference["next_prompts"], top_k=vocabulary)
            ]
    for base, tuned, expected in zip(rows[BASE], rows[TUNED], reference["divergence"], strict=True):
        assert kl(tuned, base) == pytest.approx(expected["kl_ft_base"], abs=NATS)
        assert kl(base, tuned) == pytest.approx(expected["kl_base_ft"], abs=NATS)
        assert js(base, tuned) == pytest.approx(expected["js"], abs=NATS)


def _row(dist: Any) -> np.ndarray:
    row = np.empty(dist.vocab_size, np.float32)
    row[dist.token_ids] = dist.logprobs
    return row
