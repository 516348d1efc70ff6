"""How long will a larger model take? Shapes of one and of seven billion weights at random, in Q4_0.

Knows the shapes and how to write quantized blocks without ever holding a weight as a float. The vocabulary and the
template are those of the real demo's model, so that the same text is as many tokens. The smaller model is checked
whole; of the larger one the plan is priced by one view, which answers a part of the questions.

    python -m benchmarks.shapes
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np

from benchmarks.lengths import resident
from benchmarks.models import base_of, base_option, random_adapter, settings_of
from benchmarks.sides import Finding, given_to_all, left_out, main
from benchmarks.whole import check
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.core.queries import Query, Rolling
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import REAL
from sway_gguf.report.numbers import about
from sway_gguf.spec.model import Spec
from sway_gguf.suite.planned import planned
from sway_gguf.suite.prepare import first_spec, prepare
from sway_gguf.suite.run import plan

_TYPE = gguf.GGMLQuantizationType.Q4_0
_BLOCK, _BYTES = gguf.GGML_QUANT_SIZES[_TYPE]
_SPREAD = 4.6
"""Standard deviation of a random 4-bit step."""
_RANK = 8


class Shape(NamedTuple):
    """A Llama's sizes."""

    hidden: int
    blocks: int
    heads: int
    kv_heads: int
    feed_forward: int
    tied: bool


_SHAPES = {
    "1 B": Shape(2048, 16, 32, 8, 8192, True),
    "7 B": Shape(4096, 32, 32, 8, 14336, False),
}
"""Those of Llama 3.2 1B and of Mistral 7B, but for the vocabulary."""
_QUICK = Shape(128, 2, 4, 2, 256, True)


def _first(base: Path, adapter: Path, options: argparse.Namespace) -> Spec:
    """What `check` runs, with these settings of the engine."""
    spec = first_spec(base, adapter, data=REAL / "dialogues.jsonl")
    return spec.model_copy(update={"engine": settings_of(options)})


def write_shape(path: Path, shape: Shape, tokenizer: Path) -> None:
    """Write a model of random blocks, one tensor in memory at a time; tokenizer and template come from another file."""
    source = GGUFFile(tokenizer)
    vocabulary = read_base(tokenizer).vocabulary
    tensors = dict(_tensors(shape, vocabulary))
    pattern = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
    with closing(gguf.GGUFWriter(path, "llama")) as writer:
        copy_metadata(source, writer, lambda key: key.startswith("tokenizer."))
        writer.add_name(path.stem)
        writer.add_vocab_size(vocabulary)
        writer.add_context_length(2048)
        writer.add_embedding_length(shape.hidden)
        writer.add_block_count(shape.blocks)
        writer.add_feed_forward_length(shape.feed_forward)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_rope_dimension_count(shape.hidden // shape.heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
        for name, size in tensors.items():
            if len(size) == 1:
                writer.add_tensor_info(name, size, np.dtype(np.float32), 4 * size[0])
            else:
                stored = gguf.quant_shape_to_byte_shape(size, _TYPE)
                writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=_TYPE)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for size in tensors.values():
            writer.write_tensor_data(np.ones(size, np.float32) if len(size) == 1 else _blocks(size, pattern))


def _tensors(shape: Shape, vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, narrow = shape.hidden, shape.hidden // shape.heads * shape.kv_heads
    yield "token_embd.weight", (vocabulary, hidden)
    yield "output_norm.weight", (hidden,)
    if not shape.tied:
        yield "output.weight", (vocabulary, hidden)
    for block in range(shape.blocks):
        for name, size in (
            ("attn_norm", (hidden,)),
            ("attn_q", (hidden, hidden)),
            ("attn_k", (narrow, hidden)),
            ("attn_v", (narrow, hidden)),
            ("attn_output", (hidden, hidden)),
            ("ffn_norm", (hidden,)),
            ("ffn_gate", (shape.feed_forward, hidden)),
            ("ffn_up", (shape.feed_forward, hidden)),
            ("ffn_down", (hidden, shape.feed_forward)),
        ):
            yield f"blk.{block}.{name}.weight", size


def _blocks(size: tuple[int, ...], pattern: np.ndarray) -> np.ndarray:
    """Q4_0: of each block a scale in half precision, then 32 steps of 4 bits."""
    count = size[0] * size[1] // _BLOCK
    blocks = np.resize(pattern, (count, _BYTES))
    scale = np.array([1 / (_SPREAD * np.sqrt(size[1]))], np.float16)
    blocks[:, :2] = scale.view(np.uint8)
    return blocks.reshape(size[0], -1)


def one_view(base: Path, adapter: Path, options: argparse.Namespace) -> dict[str, float]:
    """Tokens per second and peak MiB of answering about so many tokens of the first view's questions."""
    prepared = prepare(_first(base, adapter, options))
    first = plan(prepared).visits[0]
    asked: list[Query] = [query for group in first.groups for query in group.queries if isinstance(query, Rolling)]
    with LlamaBackend(base, adapter, settings_of(options)) as backend, backend.as_finetuned() as view:
        chosen, tokens = [], 0
        for query in asked:
            if tokens < options.tokens:
                chosen.append(query)
                tokens += backend.count_tokens(query)
        view.answer(chosen[:1])
        start = time.perf_counter()
        view.answer(chosen)
        seconds = time.perf_counter() - start
    return {"speed": tokens / seconds, "memory": resident("VmHWM"), "tokens": tokens}


def priced(name: str, base: Path, adapter: Path, options: argparse.Namespace) -> Iterator[Finding]:
    """A view measured in a process of its own, and what the plan comes to at its speed."""
    words = ["--child", str(base), "--adapter", str(adapter), "--tokens", str(128 if options.quick else options.tokens)]
    command = [sys.executable, "-m", "benchmarks.shapes", *given_to_all(options), *words]
    done = subprocess.run(command, check=True, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1])
    found = json.loads(done.stderr.splitlines()[-1])
    yield Finding(f"{name}, one view", found["speed"], "tokens/s", note=f"{found['tokens']:.0f} tokens with an adapter")
    yield Finding(f"{name}, peak memory", found["memory"], "MiB", "the file", base.stat().st_size / 2**20)
    whole = planned(prepare(_first(base, adapter, options)))
    tokens = sum(whole.tokens.values())
    note = f"{tokens:,} tokens at most: {about(tokens / found['speed'])}"
    yield Finding(f"{name}, check by plan", tokens / found["speed"], "s", note=note)


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Each shape, written, priced, and the smaller one checked."""
    if options.child:
        print(json.dumps(one_view(options.child, options.adapter, options)), file=sys.stderr)
        return
    for name in options.shapes:
        shape = _QUICK if options.quick else _SHAPES[name]
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"random-{name.replace(' ', '').lower()}.Q4_0.gguf"
            needed = shape.blocks * shape.hidden * (3 * shape.feed_forward + 3 * shape.hidden) * _BYTES // _BLOCK
            if shutil.disk_usage(scratch).free < 1.5 * needed:
                yield left_out(name, f"{scratch} has no room for {needed / 1e9:.1f} GB")
                continue
            write_shape(path, shape, base_of(options))
            adapter = random_adapter(read_base(path), _RANK, Path(scratch))
            yield from priced(name, path, adapter, options)
            if name == "1 B":
                found = check([path, adapter, "--data", REAL / "dialogues.jsonl"], options)
                note = f"{found.tokens:,.0f} tokens, {found.memory:,.0f} MiB at its peak, {about(found.seconds)}"
                yield Finding(f"{name}, check whole", found.seconds, "s", note=note)


def own_options(parser: argparse.ArgumentParser) -> None:
    """Which shapes, whose vocabulary, and what the child is told."""
    base_option(parser)
    parser.add_argument("--shapes", nargs="+", choices=_SHAPES, default=list(_SHAPES))
    parser.add_argument("--tokens", type=int, default=1500, help="of the view that is measured")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--adapter", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    main(__doc__, measured, own_options)
