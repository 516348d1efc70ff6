"""Adds an adapter's update into a base's weights and writes the result, one tensor in memory at a time.

Knows files and linear algebra. Writes F32, F16 or BF16; further quantization is llama.cpp's own work.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from gguf.constants import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFValueType, LlamaFileType
from gguf.gguf_writer import GGUFWriter
from gguf.quants import quant_shape_to_byte_shape

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.chat import TEMPLATE_KEY
from sway_gguf.artifacts.gguf_file import GGUFFile, TensorInfo, encoded, readable, stored_size
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair, Matrix
from sway_gguf.artifacts.shards import open_shards
from sway_gguf.core.errors import UserError

PLAIN = {
    "F32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "F16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "BF16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
}
_ONLY_F32 = re.compile(
    r"_norm\.weight$|(?<!\.weight)$|^(position_embd|token_types)\.|\.(ssm_conv1d|shortconv\.conv|ffn_gate_inp|"
    r"altup_(correct|predict)_coef|indexer\.proj|time_mix_(first|lerp|[wavg]\d|decay_w))"
)
"""Matrices and more that llama.cpp's converter leaves in float32, many since its operations read nothing else: norms,
what is no weight, places and types of tokens, routers of experts, short convolutions, and the small matrices of
recurrent layers, of gemma3n and of sparse attention's index."""
_WRITERS_OWN = {"general.architecture", "general.file_type", "general.quantization_version", "general.alignment"}


def check_readable(base: BaseModel) -> None:
    """See that all weights can be turned into floats.

    Raises:
        UserError: a type that the gguf package cannot dequantize; says what to download.
    """
    for name, info in base.tensors.items():
        if not readable(info.type):
            raise UserError(
                f"{base.path}: {name} is of type {info.type}, which cannot be turned into floats here; download "
                f"{base.float_file} and give that as the base"
            )


def write_merged(
    base: Path, adapter: LoraAdapter | None, scale: float, kind: str, path: Path, template: str | None = None
) -> None:
    """Write base + scale · update with matrices of type `kind`; vectors, and what llama.cpp wants so, stay in F32.
    Metadata and tokenizer are kept.

    Args:
        base: of any type that gguf can dequantize.
        adapter: that fits it; None writes the base alone in another type.
        scale: λ; 1 is the adapter as it is.
        kind: F32, F16 or BF16.
        path: is written in place; the caller sees to it that only a whole file gets its final name.
        template: a chat template in place of the base's own.

    Raises:
        OSError: the disk is full or cannot be written.
        UserError: a weight would not be finite, or is beyond what `kind` can hold; names the tensor.
    """
    shards = open_shards(base)
    source = shards[0]
    pairs = {pair.module: pair for pair in adapter.pairs} if adapter else {}
    owners = {name: shard for shard in shards for name in shard.tensors}
    with closing(GGUFWriter(path, source.architecture)) as writer:
        copy_metadata(source, writer, lambda key: _is_models_own(key) and (template is None or key != TEMPLATE_KEY))
        if template is not None:
            writer.add_string(TEMPLATE_KEY, template)
        writer.add_file_type(PLAIN[kind][1])
        writer.add_quantization_version(GGML_QUANT_VERSION)
        for name, owner in owners.items():
            shape = owner.tensors[name].shape
            stored = _stored(name, owner.tensors[name], kind)
            size, bytes_of_shape = stored_size(shape, stored), quant_shape_to_byte_shape(shape, stored)
            writer.add_tensor_info(name, bytes_of_shape, np.dtype(np.uint8), size, raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, owner in owners.items():
            weights = _finite(owner.read(name), f"{owner.path}: {name}")
            if name in pairs:
                assert adapter is not None
                added = update(adapter, pairs[name], scale)
                weights = _finite(weights + added, f"{adapter.path}: {name} with {scale:g} times its update")
            stored = _stored(name, owner.tensors[name], kind)
            writer.write_tensor_data(encoded(weights, stored, f"{base}: the merged {name}").view(np.uint8))


def update(adapter: LoraAdapter, pair: LoraPair, scale: float) -> Matrix:
    """λ·(alpha / r)·B @ A in the base tensor's own shape, float32; infinite where that is beyond a float."""
    with np.errstate(over="ignore", invalid="ignore"):
        product = np.matmul(pair.b, pair.a, dtype=np.float32) * np.float32(scale * adapter.scaling(pair))
    turned: Matrix = product.swapaxes(-1, -2) if pair.is_embedding else product
    return turned


def _finite(weights: Matrix, what: str) -> Matrix:
    if not (np.isfinite(weights.min()) and np.isfinite(weights.max())):
        raise UserError(f"{what} holds NaN or infinity; a model of it would be broken, so nothing is written")
    return weights


def merged_size(base: Path, kind: str) -> int:
    """Bytes that the tensors will take."""
    tensors = (item for shard in open_shards(base) for item in shard.tensors.items())
    return sum(stored_size(info.shape, _stored(name, info, kind)) for name, info in tensors)


def _stored(name: str, info: TensorInfo, kind: str) -> GGMLQuantizationType:
    plain = sum(width > 1 for width in info.shape) > 1 and not _ONLY_F32.search(name)
    return PLAIN[kind][0] if plain else GGMLQuantizationType.F32


def copy_metadata(source: GGUFFile, writer: GGUFWriter, keep: Callable[[str], bool]) -> None:
    """Write the metadata of `source` whose keys are to be kept, each under its own type."""
    for key in filter(keep, source.metadata_keys()):
        value_type = source.value_type(key)
        assert value_type is not None
        items = source.item_type(key) if value_type == GGUFValueType.ARRAY else None
        writer.add_key_value(key, source.get(key), value_type, items)


def _is_models_own(key: str) -> bool:
    return key not in _WRITERS_OWN and not key.startswith("split.")
