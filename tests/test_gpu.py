"""On a GPU: the CPU's answers within rounding, an adapter of zeros exactly nothing, and the same bits twice.

Run by scripts/gpu_check.sh in a build of llama.cpp that has one; on any other build they are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.doors import OpenView
from sway_gguf.engine.llama import supports_gpu
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO, general_sections

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not supports_gpu(), reason="this build of llama.cpp has no GPU")]

NATS = 0.05
"""A GPU multiplies floats in half precision or TF32; what matters is far above that."""
TEXTS = general_sections()[:8]
BASE, HEALTHY, ZERO = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", DEMO / "zero.lora.gguf"


def on(layers: int, adapter: str = "healthy") -> LlamaBackend:
    """The demo's base with an adapter, on the CPU (0) or on the GPU (-1)."""
    return LlamaBackend(BASE, {"healthy": HEALTHY, "zero": ZERO}[adapter], EngineSettings(gpu_layers=layers))


@pytest.fixture(scope="module")
def gpu() -> Iterator[LlamaBackend]:
    """The demo on the GPU."""
    with on(-1) as backend:
        yield backend


def scores(view: OpenView) -> np.ndarray:
    """Log-probabilities of all texts, end to end."""
    return np.concatenate([one.logprobs for one in view.rolling_logprob_many(TEXTS)])


def test_base_and_tuned_model_answer_as_on_the_cpu(gpu: LlamaBackend) -> None:
    with on(0) as cpu:
        for view in ("as_base", "as_finetuned"):
            with getattr(cpu, view)() as one, getattr(gpu, view)() as other:
                apart = np.abs(scores(one) - scores(other))
            assert apart.mean() < NATS / 10
            assert apart.max() < NATS


def test_an_adapter_of_zeros_changes_nothing_at_all() -> None:
    with on(-1, "zero") as backend:
        with backend.as_base() as base:
            before = scores(base)
        with backend.as_finetuned() as tuned:
            assert (scores(tuned) == before).all()


def test_the_same_question_has_the_same_bits_twice(gpu: LlamaBackend) -> None:
    with gpu.as_finetuned() as view:
        assert (scores(view) == scores(view)).all()


def test_a_null_is_loaded_onto_the_gpu_and_taken_off(gpu: LlamaBackend) -> None:
    with gpu.as_base() as base:
        before = scores(base)
    with gpu.as_null_adapter(1, design="rotation") as null:
        assert np.abs(scores(null) - before).max() > NATS
    with gpu.as_base() as base:
        assert (scores(base) == before).all()


def test_a_greedy_reply_is_that_of_the_cpu_for_a_while(gpu: LlamaBackend) -> None:
    with on(0) as cpu, cpu.as_finetuned() as one, gpu.as_finetuned() as other:
        assert one.generate("Anna", max_new_tokens=4) == other.generate("Anna", max_new_tokens=4)
