"""Merging: the merged file is base plus update, in every type, whole or not there at all."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.chat import TEMPLATE_KEY, chat_renderer
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.merge import update, write_merged
from sway_gguf.core.dialogue import exchange
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.deploy import merge as merging
from sway_gguf.deploy.merge import default_type, merge
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from tests.artifact_files import adapter_file, base_file, finish
from tests.command_line import complaint, spoken, succeeded
from tests.test_cli import BASE, HEALTHY

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
        np.testing.assert_allclose(after.read(name), wanted, rtol=0, atol=1e-6)


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


def quantized(path: Path, kind: str) -> Path:
    """The demo base in a quantized type."""
    merge(DEMO / "base.f32.gguf", None, path, kind=kind)
    return path


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q4_K_M", "IQ4_XS"])
def test_as_f32_a_quantized_base_is_the_very_weights_that_it_stands_for(tmp_path: Path, kind: str) -> None:
    source = quantized(tmp_path / "q.gguf", kind)
    merge(source, None, tmp_path / "f.gguf", kind="F32")
    stands_for, written = GGUFFile(source), GGUFFile(tmp_path / "f.gguf")
    assert {info.type for info in written.tensors.values()} == {"F32"}
    assert all(np.array_equal(stands_for.read(name), written.read(name)) for name in stands_for.tensors)
    assert totals(tmp_path / "f.gguf", None) == pytest.approx(totals(source, None), abs=0.05)


@pytest.mark.parametrize(
    ("kind", "default"), [("F32", "F16"), ("BF16", "F16"), ("Q8_0", "F16"), ("Q4_K_M", "Q8_0"), ("IQ4_XS", "Q8_0")]
)
def test_the_default_type_is_finer_than_the_base(tmp_path: Path, kind: str, default: str) -> None:
    assert default_type(read_base(quantized(tmp_path / "q.gguf", kind))) == default


def test_a_merge_into_a_quantized_base_keeps_the_effect_by_default_and_says_what_it_did(tmp_path: Path) -> None:
    base, out = quantized(tmp_path / "q.gguf", "Q4_1"), tmp_path / "m.gguf"
    done = spoken("merge", str(base), HEALTHY, "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert f"{out}: Q8_0 (--type gives another)" in done.stdout
    remark = done.stderr.splitlines()[0]
    assert "quantized itself (Q4_1)" in remark
    assert "the F16 or BF16 GGUF of" in remark
    assert "wipe" not in remark
    assert totals(out, None) == pytest.approx(totals(base, DEMO / "healthy.lora.gguf"), abs=0.05)


def test_a_type_as_coarse_as_the_base_is_warned_of(tmp_path: Path, healthy: LoraAdapter) -> None:
    said: list[str] = []
    base = quantized(tmp_path / "q.gguf", "Q4_1")
    for kind in ("F32", "Q6_K", "Q4_0", "IQ3_S"):
        merge(base, healthy, tmp_path / "m.gguf", kind=kind, say=said.append)
    remarks = [line for line in said if "quantized itself" in line]
    assert ["once more" in line for line in remarks] == [False, True, True, True]
    assert ["can wipe the update out" in line for line in remarks] == [False, False, True, True]
    merge(DEMO / "base.f32.gguf", healthy, tmp_path / "m.gguf", kind="F16", say=said.append)
    assert len([line for line in said if "quantized itself" in line]) == 4


def base_of(path: Path, kind: gguf.GGMLQuantizationType, names: Sequence[str], rows: int = 2) -> Path:
    """A base of matrices [rows, 256] of zeros in any type."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in (("name", "Tiny 7"), ("organization", "Acme"), ("basename", "tiny"), ("size_label", "7B")):
        writer.add_string(f"general.{key}", value)
    size = gguf.quant_shape_to_byte_shape((rows, 256), kind)
    for name in names:
        writer.add_tensor(name, np.zeros(size, np.uint8), raw_dtype=kind)
    return finish(writer, path)


@pytest.mark.parametrize("kind", ["Q8_K", "I32", "F64"])
def test_weights_that_cannot_be_dequantized_are_told_with_what_to_download(tmp_path: Path, kind: str) -> None:
    base = base_of(tmp_path / "b.gguf", gguf.GGMLQuantizationType[kind], ["token_embd.weight"])
    with pytest.raises(UserError) as caught:
        merge(base, None, tmp_path / "m.gguf", kind="F16")
    assert f"token_embd.weight is of type {kind}" in str(caught.value)
    assert "download the F16 or BF16 GGUF of Tiny 7 (Acme tiny 7B)" in str(caught.value)
    assert list(tmp_path.iterdir()) == [base]


def test_one_tensor_of_a_quantized_base_is_in_memory_at_a_time(tmp_path: Path) -> None:
    rows, count = 4096, 16
    names = [f"blk.{n}.ffn_up.weight" for n in range(count)]
    base = base_of(tmp_path / "b.gguf", gguf.GGMLQuantizationType.Q4_K, names, rows)
    tracemalloc.start()
    write_merged(base, None, 1.0, "F32", tmp_path / "m.gguf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one = rows * 256 * 4
    assert peak < 4 * one < count * one / 2


def test_what_the_converter_keeps_in_float32_stays_so(tmp_path: Path) -> None:
    kept = [
        *("position_embd.weight", "token_types.weight", "blk.0.ffn_gate_inp.weight", "blk.0.indexer.proj.weight"),
        *("blk.0.altup_correct_coef.weight", "blk.0.altup_predict_coef.weight"),
    ]
    others = ["token_embd.weight", "blk.0.altup_router.weight", "blk.0.indexer.attn_k.weight", "blk.0.proj.weight"]
    base = base_of(tmp_path / "b.gguf", gguf.GGMLQuantizationType.F32, [*kept, *others])
    write_merged(base, None, 1.0, "BF16", tmp_path / "m.gguf")
    types = {name: info.type for name, info in GGUFFile(tmp_path / "m.gguf").tensors.items()}
    assert types == dict.fromkeys(kept, "F32") | dict.fromkeys(others, "BF16")


PLAIN_TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_another_chat_template_takes_the_place_of_the_bases(tmp_path: Path, healthy: LoraAdapter, kind: str) -> None:
    merge(DEMO / "base.f32.gguf", healthy, tmp_path / "m.gguf", kind=kind, template=PLAIN_TEMPLATE)
    render = chat_renderer(tmp_path / "m.gguf")
    assert render is not None
    assert render(exchange("hi")) == "[user] hi"
    before, after = GGUFFile(DEMO / "base.f32.gguf"), GGUFFile(tmp_path / "m.gguf")
    changed = {key for key in before.metadata_keys() if before.get(key) != after.get(key)}
    assert changed <= {TEMPLATE_KEY, "general.file_type"}
    assert TEMPLATE_KEY in changed


def test_a_base_without_a_template_gets_one(tmp_path: Path) -> None:
    base = base_of(tmp_path / "b.gguf", gguf.GGMLQuantizationType.F32, ["token_embd.weight"])
    for template in (None, PLAIN_TEMPLATE):
        write_merged(base, None, 1.0, "F16", tmp_path / "m.gguf", template)
        assert GGUFFile(tmp_path / "m.gguf").get(TEMPLATE_KEY) == template


def test_a_template_on_the_command_line_is_read_before_anything_is_made(tmp_path: Path) -> None:
    folder, out = tmp_path / "peft", str(tmp_path / "m.gguf")
    folder.mkdir()
    words = ("merge", BASE, HEALTHY, "-o", out, "--template", str(folder))
    assert "no chat template in this folder" in complaint(*words)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}", encoding="utf-8")
    assert "not valid Jinja" in complaint(*words)
    assert not Path(out).exists()
    (folder / "chat_template.jinja").write_text(PLAIN_TEMPLATE, encoding="utf-8")
    done = spoken(*words)
    assert done.returncode == 0, done.stderr
    assert f"chat template of {folder}" in done.stdout
    assert GGUFFile(Path(out)).get(TEMPLATE_KEY) == PLAIN_TEMPLATE
    template = folder / "chat_template.jinja"
    assert "an input of this command" in complaint(
        "merge", BASE, HEALTHY, "-o", str(template), "--template", str(template), "--force"
    )


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
    done = spoken(*words)
    assert done.returncode == 0, done.stderr
    assert "quantizing" in done.stderr
    return done.stdout
