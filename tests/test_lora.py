"""LoRA files: the numbers in them, and everything that llama.cpp would abort on, skip or misread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair, fits, mismatches, read_lora, unrunnable
from sway_gguf.artifacts.lora_write import lora_in_memory, write_lora
from sway_gguf.core.errors import UserError
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import default_spec, prepare
from tests.artifact_files import ADAPTED, EMBED, SHAPES, VOCABULARY, adapter_file, base_file, factors, usual_metadata


def test_factors_ranks_and_scaling_are_read(tmp_path: Path) -> None:
    given = factors(rank=4)
    adapter = read_lora(adapter_file(tmp_path / "a.gguf", given))
    assert [pair.module for pair in adapter.pairs] == sorted(ADAPTED)
    assert (adapter.alpha, adapter.ranks, adapter.scaling(adapter.pairs[0])) == (8.0, (4,), 2.0)
    for pair in adapter.pairs:
        assert (pair.a == given[pair.module][0]).all()
        assert (pair.b == given[pair.module][1]).all()
        assert pair.shape == SHAPES[pair.module]


def test_the_update_norm_is_that_of_the_product(tmp_path: Path) -> None:
    adapter = read_lora(adapter_file(tmp_path / "a.gguf"))
    for pair in adapter.pairs:
        assert adapter.update_norm(pair) == pytest.approx(np.linalg.norm(2.0 * pair.b @ pair.a), rel=1e-5)


def test_an_adapted_embedding_is_turned_to_the_common_convention(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stored_a, b = rng.normal(size=(VOCABULARY, 4)), rng.normal(size=(EMBED, 4))
    pairs = {"token_embd.weight": (stored_a.astype(np.float32), b.astype(np.float32))}
    pair = read_lora(adapter_file(tmp_path / "a.gguf", pairs)).pairs[0]
    assert (pair.a.shape, pair.rank, pair.is_embedding) == ((4, VOCABULARY), 4, True)


def test_a_written_adapter_reads_back_the_same(tmp_path: Path) -> None:
    adapter = read_lora(adapter_file(tmp_path / "a.gguf"))
    write_lora(adapter, tmp_path / "b.gguf")
    again = read_lora(tmp_path / "b.gguf")
    assert replace(again, path=adapter.path, pairs=()) == replace(adapter, pairs=())
    for one, other in zip(adapter.pairs, again.pairs, strict=True):
        assert (one.a == other.a).all()
        assert (one.b == other.b).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]


def test_half_precision_stays_half_precision(tmp_path: Path) -> None:
    pairs = {m: (a.astype(np.float16), b.astype(np.float16)) for m, (a, b) in factors().items()}
    adapter = read_lora(adapter_file(tmp_path / "a.gguf", pairs))
    write_lora(adapter, tmp_path / "b.gguf")
    assert {pair.a_type for pair in read_lora(tmp_path / "b.gguf").pairs} == {"F16"}


def test_an_adapter_in_memory_has_the_bytes_of_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    adapter = read_lora(adapter_file(tmp_path / "a.gguf"))
    write_lora(adapter, tmp_path / "b.gguf")
    with lora_in_memory(adapter) as path:
        assert path.read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert not path.exists()


def test_where_there_is_no_memfd_a_temporary_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    adapter = read_lora(adapter_file(tmp_path / "a.gguf"))
    with lora_in_memory(adapter) as path:
        assert read_lora(path).ranks == (4,)
    assert not path.exists()


Metadata = Callable[[gguf.GGUFWriter], None]


def keys(alpha: float | None = 8.0, kind: str = "lora", general: object = "adapter") -> Metadata:
    """Metadata that is wrong in what is given."""

    def write(writer: gguf.GGUFWriter) -> None:
        if isinstance(general, str):
            writer.add_type(general)
        else:
            writer.add_uint32("general.type", general)
        writer.add_string("adapter.type", kind)
        if alpha is not None:
            writer.add_float32("adapter.lora.alpha", alpha)

    return write


def whole_alpha(writer: gguf.GGUFWriter) -> None:
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_uint32("adapter.lora.alpha", 8)


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        (keys(general=7), "general.type is uint32, where a text is wanted"),
        (keys(general="model"), "swap the two files"),
        (keys(kind="dora"), "only 'lora' can be run"),
        (keys(alpha=None), "no adapter.lora.alpha: llama.cpp would run it with no scaling"),
        (keys(alpha=0.0), "is 0: llama.cpp would run it with no scaling"),
        (keys(alpha=math.nan), "is nan"),
        (whole_alpha, "is not a float32, llama.cpp would abort"),
    ],
)
def test_wrong_metadata_is_caught_before_llama_cpp_sees_it(tmp_path: Path, metadata: Metadata, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_lora(adapter_file(tmp_path / "a.gguf", metadata=metadata))


def test_wrong_tensors_are_caught(tmp_path: Path) -> None:
    matrix = np.zeros((4, 16), np.float32)
    cases = {
        "one factor of the pair is missing for blk.0.attn_k.weight": {"blk.0.attn_k.weight.lora_a": matrix},
        "no LoRA factors": {"blk.0.attn_k.weight": matrix},
        "do not multiply": {"x.weight.lora_a": matrix, "x.weight.lora_b": np.zeros((16, 5), np.float32)},
    }
    for complaint, extra in cases.items():
        with pytest.raises(UserError, match=complaint):
            read_lora(adapter_file(tmp_path / "a.gguf", extra=extra))
    with pytest.raises(UserError, match="nothing to test"):
        read_lora(adapter_file(tmp_path / "a.gguf", {}, metadata=usual_metadata))


def test_tensors_that_llama_cpp_skips_in_silence_are_named(tmp_path: Path) -> None:
    adapter = read_lora(adapter_file(tmp_path / "a.gguf", extra={"blk.0.attn_norm.weight": np.ones(16, np.float32)}))
    assert adapter.skipped == ("blk.0.attn_norm.weight",)


def test_an_adapter_that_fits_has_no_mismatch(tmp_path: Path) -> None:
    adapter, base = read_lora(adapter_file(tmp_path / "a.gguf")), read_base(base_file(tmp_path / "base.gguf"))
    assert mismatches(adapter, base) == []
    fits(adapter, base)


def test_an_adapted_embedding_fits_its_turned_shape(tmp_path: Path) -> None:
    pairs = {"token_embd.weight": (np.zeros((VOCABULARY, 4), np.float32), np.zeros((EMBED, 4), np.float32))}
    adapter, base = read_lora(adapter_file(tmp_path / "a.gguf", pairs)), read_base(base_file(tmp_path / "base.gguf"))
    assert mismatches(adapter, base) == []


def test_every_mismatch_is_collected_and_raised_once(tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in SHAPES.items() if name != "blk.0.attn_q.weight"}
    shapes["blk.0.ffn_up.weight"] = (48, 16)
    base = read_base(base_file(tmp_path / "base.gguf", shapes, architecture="qwen2"))
    adapter = read_lora(adapter_file(tmp_path / "a.gguf"))
    assert mismatches(adapter, base) == [
        "the adapter is for architecture 'llama', the base is 'qwen2'",
        "blk.0.attn_q.weight is not in the base",
        "blk.0.ffn_up.weight is 24×16 in the adapter and 48×16 in the base",
    ]
    with pytest.raises(UserError, match=r"\(3 mismatches\).*Give the base"):
        fits(adapter, base)


def test_the_published_adapter_reads_as_its_readme_says(stories: Path) -> None:
    adapter = read_lora(stories / "zog.f32.lora.gguf")
    fits(adapter, read_base(stories / "stories260K.f32.gguf"))
    assert (len(adapter.pairs), adapter.ranks) == (35, (8,))


def test_an_adapter_of_another_base_is_told_in_a_line_that_can_be_read(tmp_path: Path) -> None:
    """Hundreds of tensors do not fit then, and all say the same."""
    small, large = base_file(tmp_path / "base.gguf"), read_lora(DEMO / "healthy.lora.gguf")
    with pytest.raises(UserError) as caught:
        fits(large, read_base(small))
    assert "(21 mismatches)" in str(caught.value)
    assert str(caught.value).count(" is ") == 3
    assert "others, which inspect lists" in str(caught.value)


def test_an_embedding_that_is_the_output_layer_too_is_refused_before_llama_cpp_ends_over_it(tmp_path: Path) -> None:
    """It loads, and the first batch ended with "GGML_ASSERT(ggml_can_mul_mat(a, b)) failed"."""
    base = read_base(DEMO / "base.f32.gguf")
    rows, columns = base.tensors["token_embd.weight"].shape
    pair = LoraPair("token_embd.weight", np.zeros((2, rows)), np.zeros((columns, 2)), "F32", "F32")
    write_lora(LoraAdapter(tmp_path / "e.gguf", "llama", 4.0, (pair,)), tmp_path / "e.gguf")
    with pytest.raises(UserError, match=r"e\.gguf adapts token_embd\.weight, .* output layer too, .*; merge it"):
        prepare(default_spec(DEMO / "base.f32.gguf", tmp_path / "e.gguf"))
    own = base_file(tmp_path / "own.gguf", {**SHAPES, "output.weight": (VOCABULARY, EMBED)})
    pairs = {"token_embd.weight": (np.zeros((VOCABULARY, 4), np.float32), np.zeros((EMBED, 4), np.float32))}
    adapter = read_lora(adapter_file(tmp_path / "a.gguf", pairs))
    assert not unrunnable(adapter, read_base(own))
    assert unrunnable(adapter, read_base(base_file(tmp_path / "tied.gguf")))
