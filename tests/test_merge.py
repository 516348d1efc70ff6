"""Merging: the merged file is base plus update, in every type, whole or not there at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.merge import update, write_merged
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.settings import EngineSettings
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from sway_gguf.suite import merge as merging
from sway_gguf.suite.merge import merge
from tests.artifact_files import adapter_file, base_file
from tests.test_cli import BASE, HEALTHY, complaint, succeeded

TEXTS = [section.text for section in read_material(DEMO / "document.md").sections[1:7]]


@pytest.fixture
def healthy() -> LoraAdapter:
    return read_lora(DEMO / "healthy.lora.gguf")


def totals(base: Path, adapter: Path | None) -> np.ndarray:
    with LlamaBackend(base, adapter, EngineSettings(kv_type="f32")) as backend:
        door = backend.as_finetuned() if adapter else backend.as_base()
        with door as view:
            return np.array([found.mean_logprob for found in view.rolling_logprob_many(TEXTS)])


@pytest.mark.parametrize(("kind", "nats"), [("F32", 1e-5), ("F16", 5e-3), ("BF16", 5e-2), ("Q8_0", 5e-2)])
def test_a_merged_file_scores_as_the_adapter_at_run_time_does(
    tmp_path: Path, healthy: LoraAdapter, kind: str, nats: float
) -> None:
    out = tmp_path / "merged.gguf"
    merge(DEMO / "base.f32.gguf", healthy, out, kind=kind)
    assert totals(out, None) == pytest.approx(totals(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"), abs=nats)
    assert list(tmp_path.iterdir()) == [out]


def test_every_weight_is_base_plus_scaled_update(tmp_path: Path, healthy: LoraAdapter) -> None:
    write_merged(DEMO / "base.f32.gguf", healthy, 0.5, "F32", tmp_path / "m.gguf")
    before, after = GGUFFile(DEMO / "base.f32.gguf"), GGUFFile(tmp_path / "m.gguf")
    pairs = {pair.module: pair for pair in healthy.pairs}
    assert before.tensors == after.tensors
    for name in before.tensors:
        wanted = before.read(name)
        if name in pairs:
            pair = pairs[name]
            wanted = wanted + (0.5 * 16 / 8) * (pair.b.astype(np.float64) @ pair.a.astype(np.float64))
        assert after.read(name) == pytest.approx(wanted, abs=1e-6)


def test_metadata_and_tokenizer_are_kept(tmp_path: Path, healthy: LoraAdapter) -> None:
    write_merged(DEMO / "base.f32.gguf", healthy, 1.0, "F16", tmp_path / "m.gguf")
    before, after = GGUFFile(DEMO / "base.f32.gguf"), GGUFFile(tmp_path / "m.gguf")
    for key in set(before.metadata_keys()) - {"general.file_type", "general.quantization_version"}:
        assert after.get(key) == before.get(key)
        assert after.value_type(key) == before.value_type(key)
    assert {info.type for info in after.tensors.values() if len(info.shape) > 1} == {"F16"}


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q4_0", "Q6_K", "IQ4_XS"])
def test_llama_cpp_quantizes_what_was_merged(tmp_path: Path, healthy: LoraAdapter, kind: str) -> None:
    out = tmp_path / "merged.gguf"
    merge(DEMO / "base.f32.gguf", healthy, out, kind=kind)
    base = read_base(out)
    assert any(name.startswith(("Q", "IQ")) for name in base.types)
    assert base.size < read_base(DEMO / "base.f32.gguf").size / 4
    assert np.isfinite(totals(out, None)).all()


def test_a_quantized_base_can_be_merged_into(tmp_path: Path, healthy: LoraAdapter) -> None:
    merge(DEMO / "base.f32.gguf", None, tmp_path / "q8.gguf", kind="Q8_0")
    merge(tmp_path / "q8.gguf", healthy, tmp_path / "m.gguf", kind="F16")
    wanted = totals(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf")
    assert totals(tmp_path / "m.gguf", None) == pytest.approx(wanted, abs=0.05)


def test_an_adapted_embedding_is_added_in_its_own_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(32, 4)).astype(np.float32), rng.normal(size=(16, 4)).astype(np.float32)
    adapter = read_lora(adapter_file(tmp_path / "a.gguf", {"token_embd.weight": (a, b)}))
    write_merged(base_file(tmp_path / "b.gguf"), adapter, 1.0, "F32", tmp_path / "m.gguf")
    assert GGUFFile(tmp_path / "m.gguf").read("token_embd.weight") == pytest.approx(2 * a @ b.T, abs=1e-5)
    assert update(adapter, adapter.pairs[0], 0.0).shape == (32, 16)


def test_what_goes_wrong_leaves_no_file(tmp_path: Path, healthy: LoraAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "m.gguf"
    with pytest.raises(EngineError, match="importance matrix"):
        merge(DEMO / "base.f32.gguf", healthy, out, kind="IQ1_S")
    with pytest.raises(UserError, match="unknown type 'Q4_X'"):
        merge(DEMO / "base.f32.gguf", healthy, out, kind="Q4_X")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(merging, "in_child", interrupted)
    with pytest.raises(KeyboardInterrupt):
        merge(DEMO / "base.f32.gguf", healthy, out, kind="Q8_0")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found_out_first(tmp_path: Path, healthy: LoraAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="GB are needed"):
        merge(DEMO / "base.f32.gguf", healthy, tmp_path / "m.gguf", kind="F16")
    assert list(tmp_path.iterdir()) == []


def test_merge_on_the_command_line(tmp_path: Path) -> None:
    out = str(tmp_path / "m.gguf")
    done = succeeded_with_words("merge", BASE, HEALTHY, "--type", "Q4_K_M", "-o", out)
    assert "Q4_K_M" in done
    assert "--force" in complaint("merge", BASE, HEALTHY, "-o", out)
    assert "base" in succeeded("inspect", out)


def succeeded_with_words(*words: str) -> str:
    """Standard output of a command that tells on stderr what it is doing."""
    from tests.test_cli import sway

    done = sway(*words)
    assert done.returncode == 0, done.stderr
    assert "quantizing" in done.stderr
    return done.stdout
