"""A real instruct model against transformers + peft: text, tokens, log-probabilities and replies, recorded in float32.

The reference was made from the very weights that the quantized GGUF stands for, so a GGUF that holds them as floats has
to agree; what the quantized file itself differs by is the rounding of llama.cpp's own kernels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.chat import chat_renderer
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.core.answers import RollingLogprob
from sway_gguf.core.dialogue import Dialogue, Turn
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Rolling
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.deploy.merge import merge
from sway_gguf.engine.llama_backend import LlamaBackend

pytestmark = pytest.mark.real

SMOLLM2 = Path(__file__).parents[2] / "shared" / "models" / "smollm2"
NATS = 1e-4
MEDIAN_NATS = 0.1
"""On the quantized file; measured: 0.05 for the base, 0.03 tuned."""
VIEWS = pytest.mark.parametrize(("view", "side"), [(BASE, "base"), (TUNED, "tuned")], ids=["base", "tuned"])


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """What transformers + peft gave."""
    if not SMOLLM2.is_dir():
        pytest.skip("the reference does not lie beside this checkout")
    found: dict[str, Any] = json.loads((SMOLLM2 / "reference.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def adapter(real_base: Path, reference: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PEFT folder as a GGUF in F32; llama.cpp's own converter writes F16, which costs 1e-2 nats."""
    path = tmp_path_factory.mktemp("adapter") / "adapter.gguf"
    write_lora(read_peft(SMOLLM2 / "support-peft", read_base(real_base)), path)
    return path


@pytest.fixture(scope="module")
def floats(real_base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaBackend]:
    """The weights that the quantized file stands for, as F32."""
    path = tmp_path_factory.mktemp("floats") / "base.gguf"
    merge(real_base, None, path, kind="F32")
    with LlamaBackend(path, adapter, EngineSettings(kv_type="f32")) as backend:
        yield backend
    path.unlink()


def rendered(base: Path, messages: Sequence[dict[str, str]], *, opens: bool) -> str:
    """The messages through the base's own template."""
    render = chat_renderer(base)
    assert render is not None
    return render(Dialogue(tuple(Turn(each["role"], each["content"]) for each in messages)), opens=opens)


def errors(backend: LlamaBackend, reference: dict[str, Any], view: View, side: str) -> np.ndarray:
    """Differences from the reference of all log-probabilities of all dialogues, nats."""
    texts = [dialogue["rendered"] for dialogue in reference["dialogues"]]
    with backend.open(view) as opened:
        found = opened.rolling_logprob_many(texts)
    wanted = [dialogue[f"{side}_logprobs"] for dialogue in reference["dialogues"]]
    return np.concatenate([one.logprobs - np.array(other) for one, other in zip(found, wanted, strict=True)])


def test_dialogues_are_rendered_as_transformers_renders_them(real_base: Path, reference: dict[str, Any]) -> None:
    assert len(reference["dialogues"]) == 14
    for dialogue in reference["dialogues"]:
        messages = dialogue["messages"]
        assert rendered(real_base, messages, opens=False) == dialogue["rendered"]
        assert rendered(real_base, messages[:-1], opens=True) == dialogue["prompt"]


def test_text_becomes_the_same_tokens(floats: LlamaBackend, reference: dict[str, Any]) -> None:
    for dialogue in reference["dialogues"]:
        assert floats.model.tokenize(dialogue["rendered"]) == dialogue["token_ids"]
        assert floats.model.tokenize(dialogue["prompt"]) == dialogue["token_ids"][: dialogue["prompt_tokens"]]


@VIEWS
def test_log_probabilities_agree(floats: LlamaBackend, reference: dict[str, Any], view: View, side: str) -> None:
    assert np.abs(errors(floats, reference, view, side)).max() < NATS


@VIEWS
def test_they_agree_where_texts_that_begin_alike_are_read_together(
    floats: LlamaBackend, reference: dict[str, Any], view: View, side: str
) -> None:
    dialogues = reference["dialogues"][:4]
    queries = [Rolling(dialogue["rendered"] + more) for dialogue in dialogues for more in ("", "user", "Ahoy there")]
    assert floats.count_tokens_of(queries) < 0.4 * sum(map(floats.count_tokens, queries))
    with floats.open(view) as opened:
        found = opened.answer(queries)
    for place, answer in enumerate(found):
        wanted = np.array(dialogues[place // 3][f"{side}_logprobs"])
        assert isinstance(answer, RollingLogprob)
        assert np.abs(answer.logprobs[: len(wanted)] - wanted).max() < NATS


@VIEWS
def test_greedy_replies_agree(floats: LlamaBackend, reference: dict[str, Any], view: View, side: str) -> None:
    for case in [case for case in reference["greedy"] if case["view"] == side]:
        with floats.open(view) as opened:
            text = opened.generate(case["prompt"], max_new_tokens=len(case["reply_ids"]))
        ids = [token for token in case["reply_ids"] if not floats.model.ends_text(token)]
        assert text.encode() == b"".join(map(floats.model.piece, ids))


@VIEWS
def test_the_quantized_file_differs_by_its_kernels_rounding_alone(
    real_base: Path, adapter: Path, reference: dict[str, Any], view: View, side: str
) -> None:
    with LlamaBackend(real_base, adapter, EngineSettings(kv_type="f32")) as backend:
        found = errors(backend, reference, view, side)
    assert np.median(np.abs(found)) < MEDIAN_NATS
