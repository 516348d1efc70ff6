"""Writes a Llama-architecture GGUF of random weights, with a tokenizer that works, and texts for it.

Knows the GGUF layout of a Llama model and of a byte-level BPE. Does not know the engine, or what the file is for:
the weights are noise, so a number that comes out of the model says nothing but how long it took.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

import gguf
import numpy as np
from numpy.typing import NDArray

_CONTEXT = 2048
_END = "<|endoftext|>"
_TYPES = {
    gguf.LlamaFileType.ALL_F32: gguf.GGMLQuantizationType.F32,
    gguf.LlamaFileType.MOSTLY_F16: gguf.GGMLQuantizationType.F16,
    gguf.LlamaFileType.MOSTLY_Q8_0: gguf.GGMLQuantizationType.Q8_0,
}


def write_random_model(
    path: Path,
    *,
    vocabulary: int,
    hidden: int,
    layers: int,
    heads: int,
    feed_forward: int,
    tied: bool = True,
    file_type: gguf.LlamaFileType = gguf.LlamaFileType.MOSTLY_F16,
    seed: int = 0,
) -> int:
    """Write the model to `path`; returns its number of parameters. Norms are F32 whatever `file_type` is."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_shape(writer, hidden, layers, heads, feed_forward)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(file_type)
    _add_tokenizer(writer, vocabulary)
    rng = np.random.default_rng(seed)
    parameters = 0
    for name, shape in _tensors(vocabulary, hidden, layers, feed_forward, tied):
        parameters += int(np.prod(shape))
        _add_tensor(writer, name, shape, _TYPES[file_type], rng)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return parameters


def random_texts(count: int, words: int, seed: int = 0) -> list[str]:
    """`count` texts of `words` made-up words of four letters; a word is about three tokens."""
    rng = random.Random(seed)
    return [" ".join("".join(rng.choices(ascii_lowercase, k=4)) for _ in range(words)) for _ in range(count)]


def _add_shape(writer: gguf.GGUFWriter, hidden: int, layers: int, heads: int, feed_forward: int) -> None:
    writer.add_name("random")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_layer_norm_rms_eps(1e-5)


def _add_tokenizer(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    symbols = [_byte_symbol(byte) for byte in range(256)]
    merges = list(islice(_merges(), vocabulary - len(symbols) - 1))
    tokens = [_END, *symbols, *(left + right for left, right in merges)]
    if len(tokens) != vocabulary:
        raise ValueError(f"a vocabulary of {vocabulary} tokens cannot be made up; at least 257, at most 450,000")
    kinds = [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (vocabulary - 1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(True)


def _merges() -> Iterator[tuple[str, str]]:
    """Pairs of letters, then pairs of those pairs in an order that mixes the first letters."""
    pairs = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]
    yield from ((pair[0], pair[1]) for pair in pairs)
    shuffled = list(product(pairs, repeat=2))
    random.Random(0).shuffle(shuffled)
    yield from shuffled


def _byte_symbol(byte: int) -> str:
    """GPT-2's printable character for a byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(256 + sum(other not in printable for other in range(byte)))


def _tensors(
    vocabulary: int, hidden: int, layers: int, feed_forward: int, tied: bool
) -> list[tuple[str, tuple[int, ...]]]:
    square, up, down = (hidden, hidden), (feed_forward, hidden), (hidden, feed_forward)
    block = {"attn_norm": (hidden,), "attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square}
    block |= {"ffn_norm": (hidden,), "ffn_gate": up, "ffn_up": up, "ffn_down": down}
    found = [("token_embd.weight", (vocabulary, hidden)), ("output_norm.weight", (hidden,))]
    if not tied:
        found.append(("output.weight", (vocabulary, hidden)))
    return found + [(f"blk.{i}.{name}.weight", shape) for i in range(layers) for name, shape in block.items()]


def _add_tensor(
    writer: gguf.GGUFWriter,
    name: str,
    shape: tuple[int, ...],
    kind: gguf.GGMLQuantizationType,
    rng: np.random.Generator,
) -> None:
    if len(shape) == 1:
        writer.add_tensor(name, np.ones(shape, np.float32))
        return
    weights: NDArray[np.float32] = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[1]))
    writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)
