"""Models with a recurrent state, alone and beside attention: adapters, nulls and merges work as on any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.core.answers import Answer, CompletionScore, RollingLogprob
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Completion, NextToken, Query, Rolling
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullView, ScaledView, View
from sway_gguf.deploy import quants
from sway_gguf.deploy.merge import merge
from sway_gguf.deploy.replay import replay
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import default_spec, prepare
from tests.command_line import succeeded
from tests.recurrent_models import BUILT, lora_file, model_file
from tests.test_cli import TEXT
from tests.test_peft import folder

STORY = "One sunny Monday, Anna went to the market, and the red basket was empty, and so was she. Then "
TEXTS = ["One sunny Monday, Anna went to the market.", "Tom had a boat.", "The red basket was empty, and so was she."]
ENDINGS = ["Tom laughed.", "the dog barked at the moon.", "nobody knew why", "The"]
QUERIES: list[Query] = [*map(Rolling, TEXTS), *(Completion(STORY, ending) for ending in ENDINGS), NextToken(STORY)]
SETTINGS = EngineSettings(kv_type="f32", threads=1, parallel=1)
kinds = pytest.mark.parametrize("architecture", sorted(BUILT))


def numbers(answers: Sequence[Answer]) -> list[np.ndarray]:
    """Log-probabilities, query by query."""
    found = []
    for answer in answers:
        values = answer.logprobs if isinstance(answer, CompletionScore | RollingLogprob) else answer
        found.append(np.asarray(values, np.float64))
    return found


def answered(backend: LlamaBackend, view: View, *, alone: bool = False) -> list[np.ndarray]:
    """All queries at once, or one by one."""
    with backend.open(view) as opened:
        if alone:
            return numbers([opened.answer([query])[0] for query in QUERIES])
        return numbers(opened.answer(QUERIES))


def apart(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """The greatest difference of any number."""
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def mean_apart(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """The mean difference over all numbers."""
    return float(np.abs(np.concatenate(one) - np.concatenate(other)).mean())


@kinds
def test_views_packing_nulls_and_merges_are_right(tmp_path: Path, architecture: str) -> None:
    base = model_file(tmp_path / "base.gguf", architecture)
    lora, none = (lora_file(tmp_path / f"{size}.gguf", base, architecture, size) for size in (0.05, 0.0))
    merge(base, read_lora(lora), tmp_path / "merged.gguf", kind="F32")
    found = replay(read_base(tmp_path / "merged.gguf"), read_base(base), read_lora(lora))
    assert {one.state for one in found.tensors} == {"whole"}
    with LlamaBackend(base, lora, SETTINGS) as backend:
        assert sum(map(backend.count_tokens, QUERIES)) == backend.count_tokens_of(QUERIES), "nothing is shared"
        answers = {
            view: answered(backend, view) for view in (BASE, TUNED, ScaledView(0.0), ScaledView(0.5), NullView(1))
        }
        for view in (BASE, TUNED):
            assert apart(answers[view], answered(backend, view, alone=True)) < 1e-3
        assert apart(answers[BASE], answered(backend, BASE)) == apart(answers[BASE], answers[ScaledView(0.0)]) == 0
        assert apart(answers[BASE], answered(backend, BASE_RERUN)) < 1e-3
        for view in (TUNED, ScaledView(0.5), NullView(1)):
            assert apart(answers[BASE], answers[view]) > 0.01
        assert apart(answers[TUNED], answers[NullView(1)]) > 0.01
        with backend.as_finetuned() as view:
            alone = [view.generate(prompt, max_new_tokens=6) for prompt in TEXTS]
            assert view.generate_many(TEXTS, max_new_tokens=6) == alone
            assert all(alone)
    with LlamaBackend(base, none, SETTINGS) as backend:
        assert apart(answered(backend, TUNED), answers[BASE]) == 0, "no update is no change, to the bit"
    with LlamaBackend(tmp_path / "merged.gguf", None, SETTINGS) as backend:
        assert apart(answered(backend, BASE), answers[TUNED]) < 2e-3
    # llama.cpp ends the process where a convolution or a norm is of another type than float32.
    for kind in ("F16", "Q8_0"):
        merge(base, read_lora(lora), tmp_path / f"{kind}.gguf", kind=kind)
        with LlamaBackend(tmp_path / f"{kind}.gguf", None, SETTINGS) as backend:
            off = mean_apart(answered(backend, BASE), answers[TUNED])
        assert off < 0.1 * mean_apart(answers[BASE], answers[TUNED])


@pytest.mark.parametrize(
    ("architecture", "module"),
    [("rwkv7", "time_mix_w1"), ("rwkv6", "time_mix_decay_w2"), ("mamba2", "ssm_conv1d"), ("lfm2", "shortconv.conv")],
)
def test_what_llama_cpp_loads_and_does_not_run_is_told(tmp_path: Path, architecture: str, module: str) -> None:
    base = model_file(tmp_path / "base.gguf", architecture)
    name = f"blk.0.{module}"
    lora = lora_file(tmp_path / "lora.gguf", base, architecture, modules=(name,))
    assert read_lora(lora).skipped == (f"{name}.weight",)
    assert read_lora(lora_file(tmp_path / "run.gguf", base, architecture)).skipped == ()
    with LlamaBackend(base, lora, SETTINGS) as backend:
        assert apart(answered(backend, BASE), answered(backend, TUNED)) == 0
    said = succeeded("inspect", str(lora))
    assert f"llama.cpp skips {name}.weight: that part of the adapter has no effect" in " ".join(said.split())


def test_what_acts_in_a_merge_alone_is_told(tmp_path: Path) -> None:
    base = model_file(tmp_path / "base.gguf", "mamba2")
    lora = lora_file(tmp_path / "lora.gguf", base, "mamba2", modules=("blk.0.ssm_conv1d", "blk.0.ssm_out"))
    told = "llama.cpp loads what the adapter has for blk.0.ssm_conv1d.weight and does not run it, and a merge applies"
    said = list[str]()
    merge(base, read_lora(lora), tmp_path / "merged.gguf", kind="F32", say=said.append)
    assert [line.startswith(told) for line in said] == [True, False]
    prepared = prepare(default_spec(base, lora, data=[DEMO / "document.md"]))
    assert [line.startswith(told) for line in quants._remarks(prepared, ["F16", "Q8_0"])] == [True]
    assert list(quants._remarks(prepared, [str(base)])) == [], "nothing is merged there"
    whole = read_lora(lora_file(tmp_path / "run.gguf", base, "mamba2"))
    assert whole.only_merged == ""


def test_check_runs_on_it(tmp_path: Path) -> None:
    base = model_file(tmp_path / "base.gguf", "granitehybrid")
    lora = lora_file(tmp_path / "lora.gguf", base, "granitehybrid")
    text = succeeded("check", str(base), str(lora), *TEXT, "--nulls", "5", "--no-store")
    assert "delta_kl" in text


def test_its_peft_folders_are_refused_with_the_way_out(tmp_path: Path) -> None:
    base = read_base(model_file(tmp_path / "base.gguf", "mamba"))
    with pytest.raises(UserError, match=r"the base is 'mamba', use llama\.cpp's convert_lora_to_gguf\.py"):
        read_peft(folder(tmp_path / "p"), base)
