"""Fixtures shared by the tests: the embedded demo model in the engine, and the published model where it lies beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.settings import EngineSettings
from sway_gguf.material.packaged import DEMO

STORIES = Path(__file__).parents[2] / "shared" / "models" / "stories260k"


@pytest.fixture(scope="session")
def demo_backend() -> Iterator[LlamaBackend]:
    """The demo base with its healthy adapter and a float32 KV cache, as the reference numbers have it."""
    with LlamaBackend(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", EngineSettings(kv_type="f32")) as backend:
        yield backend


@pytest.fixture
def stories() -> Path:
    """The folder of the published model; skips the test where it is absent."""
    if not STORIES.is_dir():
        pytest.skip("the published model does not lie beside this checkout")
    return STORIES
