"""Packed scoring against llama.cpp alone: a bare decode loop on the same tokens, and llama-bench of the same source.

Knows how a competent user drives llama.cpp by hand, and how to time. Does not know how the engine packs, and says
nothing of answers: the bare side asks for the same logits, reads one of each call and reduces nothing.

The bare side may use two layouts, whole texts packed up to n_batch and one text per call, with its batches filled
before the clock starts; the ratio is against the faster one. Our side tokenizes, packs, decodes and reduces to
log-probabilities within its time. llama-bench asks for the logits of a prompt's last token alone, so what all logits
cost is in that ratio.

    python -m benchmarks.throughput
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.models import base_of, base_option, of_type, random_adapter, settings_of
from benchmarks.random_model import random_texts
from benchmarks.sides import Finding, Goal, Times, faster, in_turns, left_out, main, shares
from scripts.build_llama_tools import CannotBuildError, build
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.context import KV_TYPES
from sway_gguf.engine.library import llama_cpp
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packing import stream_length

BARE, BENCH, COST = Goal("≥", 0.97), Goal("≥", 0.85), Goal("≤", 0.12)
_RANK = 8


class Bare:
    """llama.cpp alone on a model of its own: whole texts, `per_call` of them a call, logits at every position.

    Args:
        model: a loaded llama_model.
        adapter: a loaded LoRA, or None.
        texts: tokens to feed, per text.
        per_call: texts a call.
        settings: n_batch, n_ubatch, KV type and flash attention are taken from here.
        threads: to use.
    """

    def __init__(
        self,
        model: Any,
        adapter: Any | None,
        texts: Sequence[Sequence[int]],
        per_call: int,
        settings: EngineSettings,
        threads: int,
    ) -> None:
        self._calls = [_batch(texts[start : start + per_call]) for start in range(0, len(texts), per_call)]
        length = stream_length(max(len(text) for text in texts))
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = per_call * length, per_call, False
        params.n_batch, params.n_ubatch = settings.batch, settings.ubatch
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = KV_TYPES[settings.kv_type]
        params.flash_attn_type = int(settings.flash_attention)
        params.no_perf = True
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise MemoryError(f"llama.cpp cannot make a context of {per_call} × {length} tokens")
        if adapter is not None:
            handles, scales = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter), (llama_cpp.ctypes.c_float * 1)(1.0)
            llama_cpp.llama_set_adapters_lora(self._context, handles, 1, scales)

    def run(self) -> None:
        """Decode every call and reach for its logits."""
        memory = llama_cpp.llama_get_memory(self._context)
        for batch in self._calls:
            llama_cpp.llama_memory_clear(memory, False)
            if llama_cpp.llama_decode(self._context, batch):
                raise RuntimeError("llama_decode failed")
            logits = llama_cpp.llama_get_logits(self._context)
            assert logits[0] == logits[0]

    def close(self) -> None:
        """Release the context and the batches."""
        llama_cpp.llama_free(self._context)
        for batch in self._calls:
            llama_cpp.llama_batch_free(batch)


def _batch(texts: Sequence[Sequence[int]]) -> Any:
    batch = llama_cpp.llama_batch_init(sum(map(len, texts)), 0, 1)
    row = 0
    for stream, tokens in enumerate(texts):
        for position, token in enumerate(tokens):
            batch.token[row], batch.pos[row], batch.logits[row] = token, position, 1
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, stream
            row += 1
    batch.n_tokens = row
    return batch


def usual_threads(options: argparse.Namespace) -> int:
    """What a user of llama.cpp gives: every core, of which two logical processors are one where there are many."""
    logical = os.cpu_count() or 1
    return options.threads or (logical // 2 if logical > 4 else logical)


def timed(path: Path, adapter: Path | None, options: argparse.Namespace) -> tuple[Times, int]:
    """Seconds of ours and of both bare layouts, and the tokens of a round."""
    settings = settings_of(options)
    texts = random_texts(4 if options.quick else options.texts, options.words)
    with ExitStack() as stack:
        backend = stack.enter_context(LlamaBackend(path, adapter, settings))
        fed = [backend.model.tokenize(text)[:-1] for text in texts]
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = settings.gpu_layers
        model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        stack.callback(llama_cpp.llama_model_free, model)
        lora = llama_cpp.llama_adapter_lora_init(model, os.fsencode(adapter)) if adapter else None
        packed = max(1, min(settings.streams, settings.batch // max(map(len, fed))))
        sides: dict[str, Callable[[], object]] = {}
        view = stack.enter_context(backend.as_finetuned() if adapter else backend.as_base())
        sides["ours"] = lambda: view.rolling_logprob_many(texts)
        for count in dict.fromkeys((packed, 1)):
            bare = Bare(model, lora, fed, count, settings, usual_threads(options))
            stack.callback(bare.close)
            sides[f"a bare loop, {count} text{'s' * (count > 1)} a call:"] = bare.run
        return in_turns(sides, options.repeat), sum(map(len, fed))


def against_bare(what: str, times: Times, tokens: int) -> Finding:
    """Ours against the faster layout of the bare loop."""
    best = min((name for name in times if name != "ours"), key=lambda name: statistics.median(times[name]))
    return faster(what, times["ours"], times[best], tokens, best, BARE)


def llama_bench(tool: Path, path: Path, options: argparse.Namespace) -> list[float]:
    """Tokens per second of reading 512 tokens, round by round."""
    words = ["-m", path, "-p", 512, "-n", 0, "-t", usual_threads(options), "-ngl", options.gpu_layers % 1000]
    words += ["-r", options.repeat, "-o", "json"]
    done = subprocess.run([str(tool), *map(str, words)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    (row,) = json.loads(done.stdout)
    return [float(speed) for speed in row["samples_ts"]]


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Base and adapter against the bare loop, base against llama-bench, adapter against base; in each type."""
    try:
        bench, why = build() / "llama-bench", ""
    except CannotBuildError as error:
        bench, why = None, str(error)
    with tempfile.TemporaryDirectory() as scratch:
        base = base_of(options)
        adapter = options.adapter or random_adapter(read_base(base), _RANK, Path(scratch))
        for kind in options.types:
            path = of_type(base, kind, Path(scratch))
            before = llama_bench(bench, path, options) if bench else []
            plain, tokens = timed(path, None, options)
            after = llama_bench(bench, path, options) if bench else []
            adapted, _ = timed(path, adapter, options)
            yield against_bare(f"{kind}, base", plain, tokens)
            yield against_bare(f"{kind}, adapter of rank {_RANK} on all linear modules", adapted, tokens)
            speed = tokens / statistics.median(plain["ours"])
            if bench:
                other = statistics.median(before + after)
                yield shares(f"{kind}, base", speed, other, "tokens/s", "llama-bench pp512", BENCH)
            else:
                yield left_out(f"{kind}, against llama-bench pp512", why)
            slower = 1 - tokens / statistics.median(adapted["ours"]) / speed
            yield Finding(f"{kind}, the adapter's own cost", slower, goal=COST, note="share of the base's speed")


def own_options(parser: argparse.ArgumentParser) -> None:
    """Which model, adapter and types."""
    base_option(parser)
    parser.add_argument("--adapter", type=Path, help=f"in place of a random one of rank {_RANK}")
    parser.add_argument("--types", nargs="+", default=["Q4_1", "F16", "Q8_0"], help="types of the weights")
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--words", type=int, default=50, help="made-up words per text, about two tokens each")


if __name__ == "__main__":
    main(__doc__, measured, own_options)
