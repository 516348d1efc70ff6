"""GGUF headers: what is read from them, and one line for every way in which a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.core.errors import UserError
from tests.artifact_files import SHAPES, VOCABULARY, adapter_file, base_file, finish


def test_the_header_tells_shapes_types_and_metadata(tmp_path: Path) -> None:
    file = GGUFFile(base_file(tmp_path / "base.gguf"))
    assert {name: info.shape for name, info in file.tensors.items()} == SHAPES
    assert {info.type for info in file.tensors.values()} == {"F32"}
    assert (file.kind, file.architecture, file.get("general.name")) == ("model", "llama", "tiny")
    assert file.get("no.such.key") is None


def test_a_base_is_described_by_its_header(tmp_path: Path) -> None:
    base = read_base(base_file(tmp_path / "base.gguf"))
    weights = sum(int(np.prod(shape)) for shape in SHAPES.values())
    assert (base.parameters, base.size, base.types) == (weights, 4 * weights, {"F32": len(SHAPES)})
    assert (base.vocabulary, base.context_length, base.name) == (VOCABULARY, 64, "tiny")


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_a_tensor_is_read_back_in_its_own_shape(tmp_path: Path, kind: str) -> None:
    wanted = np.linspace(-1, 1, 4 * 64, dtype=np.float32).reshape(4, 64)
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
    quantization = gguf.GGMLQuantizationType[kind]
    writer.add_tensor("t", gguf.quants.quantize(wanted, quantization), raw_dtype=quantization)
    found = GGUFFile(finish(writer, tmp_path / "t.gguf")).read("t")
    assert (found.shape, found.dtype) == ((4, 64), np.float32)
    assert found == pytest.approx(wanted, abs={"F32": 0, "F16": 5e-4, "BF16": 4e-3, "Q8_0": 5e-3}[kind])


def test_weights_are_not_read_with_the_header(tmp_path: Path) -> None:
    path = base_file(tmp_path / "base.gguf")
    damaged = bytearray(path.read_bytes())
    damaged[-64:] = b"\xff" * 64
    path.write_bytes(damaged)
    assert read_base(path).parameters > 0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"hello, world", "not a GGUF file"),
        (b"GGU", "not a GGUF file"),
        (b"GGUF\x03", "cut short"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 40, "cut short or damaged"),
    ],
)
def test_what_is_no_gguf_is_told_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as found:
        GGUFFile(path)
    assert str(path) in str(found.value)
    assert "\n" not in str(found.value)


def test_a_directory_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a directory"):
        GGUFFile(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        GGUFFile(tmp_path / "none.gguf")


def test_a_file_cut_anywhere_is_refused_and_never_crashes(tmp_path: Path) -> None:
    whole = adapter_file(tmp_path / "a.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in range(0, len(whole) - 32, 37):
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"empty|not a GGUF|cut short"):
            GGUFFile(cut)


def test_an_adapter_is_no_base_and_a_vocabulary_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="swap"):
        read_base(adapter_file(tmp_path / "a.gguf"))
    with pytest.raises(UserError, match="no tensors"):
        read_base(base_file(tmp_path / "v.gguf", {}))
