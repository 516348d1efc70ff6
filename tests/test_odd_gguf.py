"""GGUF files that are wrong in one place, by a list and by seed: each is read, or refused in one line."""

from __future__ import annotations

import math
import os
import random
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGUFValueType as Kind

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.facts import adapter_facts
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import check_finite, mismatches, read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.merge import write_merged
from sway_gguf.artifacts.null import null_adapter
from sway_gguf.artifacts.shards import open_shards
from sway_gguf.core.errors import UserError
from tests.artifact_files import ADAPTED, adapter_file, base_file, finish, usual_metadata
from tests.command_line import spoken

BASE_KEYS = [
    "general.architecture",
    "general.type",
    "general.name",
    "general.license",
    "general.alignment",
    "split.count",
    "llama.context_length",
    "llama.block_count",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
]
LORA_KEYS = [
    "general.architecture",
    "general.type",
    "general.alignment",
    "adapter.type",
    "adapter.lora.alpha",
    "general.base_model.0.name",
]
ODD_VALUES: list[tuple[Any, Kind, Kind | None]] = [
    *((value, Kind.UINT32, None) for value in (0, 1, 3, 7, 32, 2**31, 2**32 - 1)),
    *((value, Kind.INT32, None) for value in (-1, -(2**31))),
    (2**64 - 1, Kind.UINT64, None),
    (255, Kind.UINT8, None),
    (True, Kind.BOOL, None),
    *((value, Kind.FLOAT32, None) for value in (0.0, -1.0, math.nan, math.inf, -math.inf, 1e-45, 3e38)),
    (math.inf, Kind.FLOAT64, None),
    *((value, Kind.STRING, None) for value in ("", "llama", "adapter", "[red]x[/blue]", "\0", b"\xff\xfe", "x" * 9999)),
    ([1, 2], Kind.ARRAY, Kind.UINT32),
    ([-1], Kind.ARRAY, Kind.INT32),
    ([math.inf], Kind.ARRAY, Kind.FLOAT32),
    ([b"\xff"], Kind.ARRAY, Kind.STRING),
    (["a", "b"], Kind.ARRAY, Kind.STRING),
]


def read_whole(path: Path, base: Path, out: Path) -> None:
    """Everything that commands do with a file before llama.cpp sees it."""
    if "adapter" in path.name:
        adapter = read_lora(path)
        mismatches(adapter, read_base(base))
        check_finite(adapter, "so")
        adapter_facts(adapter)
        check_finite(drawn := null_adapter(adapter, 1), "so")
        write_lora(drawn, out)
        if not mismatches(adapter, read_base(base)):
            write_merged(base, adapter, 1.0, "F16", out)
    else:
        read_base(path)
        write_merged(path, None, 1.0, "F16", out)


def complaint(path: Path, base: Path, out: Path) -> str:
    """What is said of a file in one line, or "" where it can be used. Anything but a UserError fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read_whole(path, base, out)
        except UserError as error:
            said = str(error)
            assert said.count("\n") == 0, said
            assert str(path) in said or path.stem in said or str(base) in said, said
            return said
    return ""


def with_value(path: Path, key: str, odd: tuple[Any, Kind, Kind | None]) -> Path:
    """The usual file of its name with one value of its metadata changed."""
    writer = gguf.GGUFWriter(path, "llama")
    if "adapter" in path.name:
        usual_metadata(writer)
    for held in writer.kv_data:
        held.pop(key, None)
    writer.add_key_value(key, *odd)
    if "adapter" in path.name:
        for name in ADAPTED[:1]:
            writer.add_tensor(f"{name}.lora_a", np.ones((4, 16), np.float32))
            writer.add_tensor(f"{name}.lora_b", np.ones((16, 4), np.float32))
    else:
        writer.add_tensor("token_embd.weight", np.zeros((32, 16), np.float32))
    return finish(writer, path)


@pytest.mark.parametrize("key", BASE_KEYS)
def test_an_odd_value_in_a_base_is_read_or_named(tmp_path: Path, key: str) -> None:
    said = [complaint(with_value(tmp_path / "base.gguf", key, odd), tmp_path, tmp_path / "o") for odd in ODD_VALUES]
    assert any(said)
    assert key in "".join(said) or key == "split.count"


@pytest.mark.parametrize("key", LORA_KEYS)
def test_an_odd_value_in_an_adapter_is_read_or_named(tmp_path: Path, key: str) -> None:
    base = base_file(tmp_path / "b.gguf")
    said = [complaint(with_value(tmp_path / "adapter.gguf", key, odd), base, tmp_path / "o") for odd in ODD_VALUES]
    assert key in "".join(said)


def mutations(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Copies with a few bytes flipped, overwritten by extremes, cut out, doubled or cut off."""
    rng = random.Random(seed)
    extremes = [b"\xff" * 8, b"\0" * 8, struct.pack("<Q", 2**63), struct.pack("<d", math.nan), struct.pack("<I", 9)]
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            place, how = rng.randrange(len(changed) or 1), rng.randrange(5)
            if how == 0 and changed:
                changed[place] ^= 1 << rng.randrange(8)
            elif how == 1:
                extreme = rng.choice(extremes)
                changed[place : place + len(extreme)] = extreme
            elif how == 2:
                del changed[place : place + rng.randrange(1, 40)]
            elif how == 3:
                changed[place:place] = changed[place : place + rng.randrange(1, 40)]
            else:
                changed = changed[: max(1, place)]
        yield bytes(changed)


@pytest.mark.parametrize("name", ["base.gguf", "adapter.gguf"])
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    base = base_file(tmp_path / "b.gguf")
    path = adapter_file(tmp_path / name) if "adapter" in name else base_file(tmp_path / name)
    # The header, where damage is of most kinds, and a little of the weights.
    data = path.read_bytes()
    head, rest = data[:1200], data[1200:]
    refused = 0
    for changed in mutations(head, 7, 700):
        path.write_bytes(changed + rest)
        refused += bool(complaint(path, base, tmp_path / "o"))
    assert refused > 300


@pytest.mark.parametrize("kind", list(gguf.GGMLQuantizationType), ids=lambda kind: kind.name)
def test_factors_of_any_type_are_read_or_refused(tmp_path: Path, kind: gguf.GGMLQuantizationType) -> None:
    """Types that no float can be made of, and rows that are no whole number of blocks."""
    base = base_file(tmp_path / "b.gguf")
    for columns in (8, 32, 256):
        writer = gguf.GGUFWriter(tmp_path / "adapter.gguf", "llama")
        usual_metadata(writer)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        for side, rows in (("a", 16), ("b", 16)):
            nbytes = rows * columns * size // block
            writer.add_tensor_info(f"x.weight.lora_{side}", (rows, columns), np.dtype(np.float32), nbytes, kind)
            writer.tensors[-1][f"x.weight.lora_{side}"].tensor = np.full(nbytes, 0x7F, np.uint8)
        path = tmp_path / "adapter.gguf"
        finish(writer, path)
        complaint(path, base, tmp_path / "o")


def twice(data: bytes, where: str) -> bytes:
    """A file whose first key, or first tensor, stands in its header twice."""
    version, tensors, fields = struct.unpack_from("<IQQ", data, 4)
    counts = (tensors, fields + 1) if where == "key" else (tensors + 1, fields)
    header = data[:4] + struct.pack("<IQQ", version, *counts)
    if where == "key":
        length = struct.unpack_from("<Q", data, 24)[0]
        text = struct.unpack_from("<Q", data, 24 + 8 + length + 4)[0]
        return header + data[24 : 24 + 8 + length + 4 + 8 + text] + data[24:]
    names = (b"token_embd.weight", b"blk.0.attn_q.weight.lora_a")
    name = next(data.index(name) for name in names if name in data)
    length = struct.unpack_from("<Q", data, name - 8)[0]
    row = data[name - 8 : name + length + 4 + 2 * 8 + 4 + 8]
    return header + data[24 : name - 8] + row + data[name - 8 :]


@pytest.mark.parametrize("where", ["key", "tensor"])
@pytest.mark.parametrize(("make", "read"), [(base_file, read_base), (adapter_file, read_lora)])
def test_what_stands_in_a_file_twice_is_named(
    tmp_path: Path, where: str, make: Callable[[Path], Path], read: Callable[[Path], Any]
) -> None:
    path = make(tmp_path / "x.gguf")
    path.write_bytes(twice(path.read_bytes(), where))
    with pytest.raises(UserError, match=f"the {where} '.*' stands in it twice"):
        read(path)


def test_blocks_that_no_tensor_could_fill_are_refused(tmp_path: Path) -> None:
    path = with_value(tmp_path / "base.gguf", "llama.block_count", (2**31, Kind.UINT32, None))
    with pytest.raises(UserError, match="2147483648 blocks, but 1 tensors"):
        read_base(path)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    for number in range(2):
        writer = gguf.GGUFWriter(path := tmp_path / f"m-{number + 1:05d}-of-00002.gguf", "llama")
        writer.add_uint16("split.count", 2)
        writer.add_uint16("split.no", number)
        writer.add_tensor("token_embd.weight", np.zeros((32, 16), np.float32))
        finish(writer, path)
    with pytest.raises(UserError, match=r"token_embd.weight stands in more than one shard"):
        open_shards(tmp_path / "m-00001-of-00002.gguf")


def test_metadata_is_given_under_the_type_that_is_counted_on(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(path := tmp_path / "x.gguf", "llama")
    writer.add_uint32("n", 7)
    writer.add_float32("x", 7.0)
    writer.add_array("heads", [4, 2])
    file = GGUFFile(finish(writer, path))
    assert (file.whole("n"), file.whole("heads"), file.whole("none")) == (7, 4, 0)
    assert (file.text("general.architecture"), file.text("none")) == ("llama", "")
    with pytest.raises(UserError, match="x is float32, where a whole number is wanted"):
        file.whole("x")
    with pytest.raises(UserError, match="heads is an array of int32, where a text is wanted"):
        file.text("heads")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are Unix's")
@pytest.mark.parametrize("what", ["a pipe", "a device", "a directory"])
def test_what_has_no_end_is_not_opened(tmp_path: Path, what: str) -> None:
    path = {"a pipe": tmp_path / "p", "a device": Path("/dev/zero"), "a directory": tmp_path}[what]
    if what == "a pipe":
        os.mkfifo(path)
    base = base_file(tmp_path / "b.gguf")
    for words in (["inspect", path], ["check", base, path], ["check", path, base], ["merge", path, base, "-o", "o"]):
        done = spoken(*map(str, words))
        assert done.returncode == 2
        folder = ("this is a directory", "no adapter_config.json in it; give a LoRA GGUF")
        wanted = folder if what == "a directory" else ("no regular file but a pipe or a device",)
        assert done.stderr.startswith(tuple(f"sway-gguf: {path}: {each}" for each in wanted))
        assert done.stderr.count("\n") == 1


def test_what_others_keep_models_in_is_called_that_with_the_way_to_a_gguf(tmp_path: Path) -> None:
    adapter, model = tmp_path / "adapter", tmp_path / "model"
    for folder, name in ((adapter, "adapter_config.json"), (model, "config.json")):
        folder.mkdir()
        (folder / name).write_text("{}")
        (folder / "w.safetensors").write_text("x")
    lora = tmp_path / "a.gguf"
    lora.write_text("x")
    for path, said in {
        adapter: "the folder of an adapter, where a GGUF file is wanted",
        adapter / "w.safetensors": f"weights of an adapter alone; give the folder, {adapter}",
        model: "a model as transformers keeps it; make a GGUF of its folder",
        model / "w.safetensors": "a model as transformers keeps it",
        Path(f"{lora}:0.5"): f"no such file; an adapter at a scale is given by --lora-scaled {lora}:0.5",
        lora: "not a GGUF file",
        Path(f"{lora}:x"): "cannot be read",
    }.items():
        with pytest.raises(UserError) as caught:
            GGUFFile(path)
        assert str(caught.value).startswith(f"{path}: {said}")


def test_names_that_no_file_can_have_are_told(tmp_path: Path) -> None:
    for name in ("x" * 300, "a\0b", str(tmp_path / "none" / "x.gguf")):
        with pytest.raises(UserError, match="cannot be read"):
            GGUFFile(Path(name))


def test_a_factor_that_float16_cannot_hold_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    adapter = read_lora(adapter_file(tmp_path / "a.gguf"))
    pairs = tuple(replace(pair, b=pair.b * np.float32(1e6), b_type="F16") for pair in adapter.pairs)
    with pytest.raises(UserError, match=r"blk\.0\.attn_q\.weight\.lora_b holds .*e\+06, beyond what F16 can store"):
        write_lora(replace(adapter, pairs=pairs), tmp_path / "out.gguf")
    for alpha in (1e39, 1e-60):
        with pytest.raises(UserError, match="beyond the float32"):
            write_lora(replace(adapter, alpha=alpha), tmp_path / "out.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gguf"]
