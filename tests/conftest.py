"""Fixtures shared by the tests: the embedded demo model in the engine, and the published model where it lies beside."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import settings

from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.artifacts.real_model import fetched
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import finish

STORIES = Path(__file__).parents[2] / "shared" / "models" / "stories260k"

# An example that takes long on a busy machine is no fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def no_store() -> Iterator[None]:
    """Tests ask the model, and fill nobody's cache, here and in child processes; those of the store name a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWAY_GGUF_STORE", "off")
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell starts what stands in the background deaf to Ctrl-C, and so its children: tests of it would not end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def real_base() -> Path:
    """SmolLM2-135M-Instruct, for tests marked `real`; they are skipped where it cannot be had."""
    try:
        return fetched()
    except UserError as error:
        pytest.skip(f"the real model cannot be had: {error}")


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """The demo base split as llama.cpp's own tool does it: metadata in the first file."""
    count = 3
    whole = GGUFFile(DEMO / "base.f32.gguf")
    names = list(whole.tensors)
    paths = [tmp_path / f"demo-{n:05d}-of-{count:05d}.gguf" for n in range(1, count + 1)]
    for number, path in enumerate(paths):
        writer = gguf.GGUFWriter(path, "llama")
        if number == 0:
            copy_metadata(whole, writer, lambda key: key != "general.architecture")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(names))
        for name in names[number::count]:
            writer.add_tensor(name, np.array(whole.read(name)))
        finish(writer, path)
    return paths
