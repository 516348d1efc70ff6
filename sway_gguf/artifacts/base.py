"""What a base GGUF says of itself. Knows model metadata; loads no weights and no engine."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sway_gguf.artifacts.gguf_file import GGUFFile, TensorInfo
from sway_gguf.artifacts.shards import open_shards
from sway_gguf.core.errors import UserError

_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model's header.

    Attributes:
        path: the file, or the first shard.
        architecture: such as "llama" or "qwen2".
        name: general.name, or the file's stem.
        context_length: tokens the model was trained on.
        vocabulary: number of tokens.
        tensors: the tensor table by name.
        types: how many tensors there are of each ggml type, most frequent first.
        size: bytes of all tensors.
        parameters: number of weights.
        license: general.license, or "".
        shards: all files, the first among them.
        blocks, heads, kv_heads, head_width, experts: of the transformer; 0 where the header does not say.
        origin: general.organization, basename and size_label, as far as the header has them.
    """

    path: Path
    architecture: str
    name: str
    context_length: int
    vocabulary: int
    tensors: dict[str, TensorInfo]
    types: dict[str, int]
    size: int
    parameters: int
    license: str
    shards: tuple[Path, ...] = ()
    blocks: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_width: int = 0
    experts: int = 0
    origin: str = ""

    @property
    def quantized(self) -> str:
        """The most frequent type that is not of floats, such as "Q4_1"; "" where there is none."""
        return next((kind for kind in self.types if kind not in _FLOATS), "")

    @property
    def float_file(self) -> str:
        """What to look for where its weights as floats are wanted, as its header calls it."""
        return f"the F16 or BF16 GGUF of {self.name}" + (f" ({self.origin})" if self.origin else "")


def read_base(path: Path) -> BaseModel:
    """Read a base's header.

    Raises:
        UserError: not readable, not a model, or a value of its metadata is of another type than llama.cpp's.
    """
    shards = open_shards(path)
    file = shards[0]
    if file.kind == "adapter" or any(name.endswith((".lora_a", ".lora_b")) for name in file.tensors):
        raise UserError(
            f"{path}: this is a LoRA adapter, but a base model is wanted here; swap the two files, or check the path"
        )
    if file.kind != "model":
        raise UserError(f"{path}: general.type is {file.kind!r}; a base model is wanted here")
    if not file.architecture:
        raise UserError(f"{path}: no general.architecture in its metadata; convert the model again")
    tensors = {name: tensor for shard in shards for name, tensor in shard.tensors.items()}
    if not tensors:
        raise UserError(f"{path}: the file holds no tensors (a vocabulary only?); give the whole model")
    blocks = file.whole(f"{file.architecture}.block_count")
    if blocks > len(tensors):
        raise UserError(f"{path}: {blocks} blocks, but {len(tensors)} tensors; the header is damaged, convert it again")
    heads = file.whole(f"{file.architecture}.attention.head_count")
    told = (file.get(f"general.{key}") for key in ("organization", "basename", "size_label"))
    return BaseModel(
        path=path,
        architecture=file.architecture,
        name=file.text("general.name") or path.stem,
        context_length=file.whole(f"{file.architecture}.context_length"),
        vocabulary=_vocabulary(file, tensors),
        tensors=tensors,
        types=dict(Counter(tensor.type for tensor in tensors.values()).most_common()),
        size=sum(tensor.size for tensor in tensors.values()),
        parameters=sum(math.prod(tensor.shape) for tensor in tensors.values()),
        license=file.text("general.license"),
        shards=tuple(shard.path for shard in shards),
        blocks=blocks,
        heads=heads,
        kv_heads=file.whole(f"{file.architecture}.attention.head_count_kv") or heads,
        head_width=file.whole(f"{file.architecture}.attention.key_length")
        or file.whole(f"{file.architecture}.embedding_length") // max(1, heads),
        experts=file.whole(f"{file.architecture}.expert_count"),
        origin=" ".join(word for word in told if word and isinstance(word, str)),
    )


def _vocabulary(file: GGUFFile, tensors: dict[str, TensorInfo]) -> int:
    embedding = tensors.get("token_embd.weight")
    if embedding is not None and embedding.shape:
        return embedding.shape[0]
    return file.array_length("tokenizer.ggml.tokens") or 0
