"""Bases in several files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.merge import write_merged
from sway_gguf.core.errors import UserError
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO


def test_a_split_base_is_one_model(shards: list[Path], tmp_path: Path) -> None:
    whole, split = read_base(DEMO / "base.f32.gguf"), read_base(shards[0])
    assert (split.parameters, split.types, split.vocabulary) == (whole.parameters, whole.types, whole.vocabulary)
    totals = []
    for path in (DEMO / "base.f32.gguf", shards[0]):
        with LlamaBackend(path, DEMO / "healthy.lora.gguf") as backend, backend.as_finetuned() as view:
            totals.append(view.rolling_logprob("Quill wears a coat of feathers.").total_logprob)
    assert totals[0] == totals[1]
    write_merged(shards[0], None, 1.0, "F32", tmp_path / "joined.gguf")
    joined = GGUFFile(tmp_path / "joined.gguf")
    assert not any(key.startswith("split.") for key in joined.metadata_keys())
    original = GGUFFile(DEMO / "base.f32.gguf")
    assert all((joined.read(name) == original.read(name)).all() for name in original.tensors)


def test_shards_that_are_not_all_there_or_not_of_one_model_are_told(shards: list[Path]) -> None:
    with pytest.raises(UserError, match="shard 2 of 3; give the first one, demo-00001-of-00003"):
        read_base(shards[1])
    third = shards[2].read_bytes()
    shards[2].unlink()
    with pytest.raises(UserError, match=r"demo-00003-of-00003\.gguf is missing"):
        read_base(shards[0])
    shards[2].write_bytes(shards[1].read_bytes())
    with pytest.raises(UserError, match="not shard 3 of 3"):
        read_base(shards[0])
    shards[2].write_bytes(third)
    renamed = shards[0].rename(shards[0].with_name("other.gguf"))
    with pytest.raises(UserError, match="rename them back"):
        read_base(renamed)
