"""Writes a LoRA adapter as a GGUF file, or hands it over without touching the disk.

The bytes depend on the adapter alone. A number that its type cannot hold is an error, never an infinity in the file.
Does not know whether an adapter is real or null.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from gguf.gguf_writer import GGUFWriter

from sway_gguf.artifacts.gguf_file import encoded, storable
from sway_gguf.artifacts.lora import ALPHA_KEY, LoraAdapter, LoraPair, Matrix
from sway_gguf.artifacts.whole import whole
from sway_gguf.core.errors import UserError


def write_lora(adapter: LoraAdapter, path: Path) -> None:
    """Write `adapter` to `path`, replacing what is there. The file appears whole or not at all.

    Raises:
        OSError: the folder cannot be written.
        UserError: alpha or a factor is beyond what its type can hold.
    """
    with whole(path) as partial:
        _write(adapter, partial)


@contextmanager
def lora_in_memory(adapter: LoraAdapter) -> Iterator[Path]:
    """A path under which llama.cpp can open `adapter` while the block lasts.

    An anonymous memory file where the system has one (Linux); a temporary file, removed on exit, elsewhere.

    Raises:
        UserError: as `write_lora`.
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory(prefix="sway-gguf-") as folder:
            path = Path(folder) / "adapter.gguf"
            _write(adapter, path)
            yield path
        return
    descriptor = os.memfd_create("sway-gguf-adapter")
    try:
        path = Path(f"/proc/self/fd/{descriptor}")
        _write(adapter, path)
        yield path
    finally:
        os.close(descriptor)


def _write(adapter: LoraAdapter, path: Path) -> None:
    writer = GGUFWriter(None, adapter.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32(ALPHA_KEY, _stored_alpha(adapter))
    if adapter.base_name:
        writer.add_string("general.base_model.0.name", adapter.base_name)
    for pair in adapter.pairs:
        _add(writer, adapter, pair.module + ".lora_a", _stored_a(pair), pair.a_type)
        _add(writer, adapter, pair.module + ".lora_b", pair.b, pair.b_type)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _stored_alpha(adapter: LoraAdapter) -> float:
    with np.errstate(over="ignore"):
        stored = float(np.float32(adapter.alpha))
    if not math.isfinite(stored) or stored == 0:
        raise UserError(f"{adapter.path}: an alpha of {adapter.alpha:g} is beyond the float32 that GGUF stores it in")
    return stored


def _stored_a(pair: LoraPair) -> Matrix:
    return pair.a.swapaxes(-1, -2) if pair.is_embedding else pair.a


def _add(writer: GGUFWriter, adapter: LoraAdapter, name: str, factor: Matrix, type_name: str) -> None:
    kind = storable(type_name)
    given = np.ascontiguousarray(factor, dtype=np.float32)
    writer.add_tensor(name, encoded(given, kind, f"{adapter.path}: {name}"), raw_dtype=kind)
