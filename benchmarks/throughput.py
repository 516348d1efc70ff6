"""Packed scoring against a bare llama.cpp decode loop: the same tokens, one process, turn by turn.

Knows how a competent user drives llama.cpp by hand, and how to time. Does not know how the engine packs, and says
nothing of answers: the bare side reads every wanted logit's pointer and reduces nothing.

The bare side may use two layouts, whole texts packed up to n_batch and one text per call, with its batches filled
before the clock starts; the ratio is against the faster one. Our side tokenizes, packs, decodes and reduces to
log-probabilities within its time.

    python benchmarks/throughput.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from random_model import random_texts, write_random_model

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.context import KV_TYPES
from sway_gguf.engine.library import llama_cpp
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packing import stream_length

_GOAL = 0.9
_MODEL = {"vocabulary": 50_000, "hidden": 768, "layers": 10, "heads": 12, "feed_forward": 2048}


class Bare:
    """llama.cpp alone: whole texts, `per_call` of them a call, logits at every position.

    Args:
        model: a loaded llama_model.
        texts: tokens to feed, per text.
        per_call: texts a call.
        settings: threads, n_batch, n_ubatch and KV type are taken from here.
    """

    def __init__(self, model: object, texts: Sequence[Sequence[int]], per_call: int, settings: EngineSettings) -> None:
        self._calls = [_batch(texts[start : start + per_call]) for start in range(0, len(texts), per_call)]
        length = stream_length(max(len(text) for text in texts))
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = per_call * length, per_call, False
        params.n_batch, params.n_ubatch = settings.batch, settings.ubatch
        params.n_threads = params.n_threads_batch = settings.threads
        params.type_k = params.type_v = KV_TYPES[settings.kv_type]
        params.flash_attn_type = int(settings.flash_attention)
        params.no_perf = True
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise MemoryError(f"llama.cpp cannot make a context of {per_call} × {length} tokens")

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


def _batch(texts: Sequence[Sequence[int]]) -> llama_cpp.llama_batch:
    batch = llama_cpp.llama_batch_init(sum(map(len, texts)), 0, 1)
    row = 0
    for stream, tokens in enumerate(texts):
        for position, token in enumerate(tokens):
            batch.token[row], batch.pos[row], batch.logits[row] = token, position, 1
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, stream
            row += 1
    batch.n_tokens = row
    return batch


def seconds(work: Callable[[], object]) -> float:
    """Time of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds per side and round. One round warms up, uncounted; every other round runs backwards."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            took = seconds(sides[name])
            if turn:
                times[name].append(took)
    return times


def compare(path: Path, options: argparse.Namespace) -> None:
    """Run both sides on the model at `path` and print what came out."""
    settings = EngineSettings(threads=options.threads, kv_type=options.kv_type)
    texts = random_texts(options.texts, options.words)
    with LlamaBackend(path, None, settings) as backend:
        settings = backend.settings
        fed = [backend.model.tokenize(text)[:-1] for text in texts]
        _describe(backend, fed, settings)
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), _model_params(settings))
        packed = max(1, min(settings.streams, settings.batch // max(map(len, fed))))
        bare = {
            f"bare, {n} text{'s' * (n > 1)} a call": Bare(model, fed, n, settings) for n in dict.fromkeys((packed, 1))
        }
        with backend.as_base() as view:
            sides: dict[str, Callable[[], object]] = {"ours": lambda: view.rolling_logprob_many(texts)}
            times = measure(sides | {name: one.run for name, one in bare.items()}, options.rounds)
        for one in bare.values():
            one.close()
        llama_cpp.llama_model_free(model)
    report(times, sum(map(len, fed)))


def _model_params(settings: EngineSettings) -> llama_cpp.llama_model_params:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = settings.gpu_layers
    return params


def _describe(backend: LlamaBackend, fed: Sequence[Sequence[int]], settings: EngineSettings) -> None:
    base = backend.base
    print(f"model        {base.parameters / 1e6:.1f} M parameters, vocabulary {base.vocabulary}, {base.types}")
    print(f"texts        {len(fed)} of {min(map(len, fed))}–{max(map(len, fed))} tokens, {sum(map(len, fed))} in all")
    print(f"settings     {backend.layout()}")
    print(f"machine      {os.cpu_count()} logical processors, llama-cpp-python {llama_cpp.__version__}")


def report(times: dict[str, list[float]], tokens: int) -> None:
    """Print tokens per second of each side, and ours over the faster bare one, round by round."""
    print(f"{'tokens/s':<26}{'median':>9}{'min':>9}{'max':>9}")
    for name, took in times.items():
        speeds = [tokens / second for second in took]
        print(f"{name:<26}{statistics.median(speeds):9.1f}{min(speeds):9.1f}{max(speeds):9.1f}")
    best = min((name for name in times if name != "ours"), key=lambda name: statistics.median(times[name]))
    ratios = [bare / ours for ours, bare in zip(times["ours"], times[best], strict=True)]
    ratio = statistics.median(times[best]) / statistics.median(times["ours"])
    print(f"ours / {best}: {ratio:.3f} of medians; per round {min(ratios):.3f}–{max(ratios):.3f}")
    print(f"goal ≥ {_GOAL}: {'reached' if ratio >= _GOAL else 'missed'}")


def main() -> None:
    """Read the options, make the model if none was given, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a GGUF to use; made at random when absent")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the random model here and leave it")
    parser.add_argument("--threads", type=int, default=0, help="as the engine's -t; 0 is its default")
    parser.add_argument("--texts", type=int, default=48)
    parser.add_argument("--words", type=int, default=39, help="words per text, about 3.25 tokens each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kv-type", default="f16", choices=sorted(KV_TYPES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = options.model or (options.keep or Path(scratch)) / "random-109m-f16.gguf"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_random_model(path, **_MODEL)
        compare(path, options)


if __name__ == "__main__":
    main()
