"""Batched generation against one prompt after the other: the same prompts, one process, both sides greedy.

Knows how to time. One stream alone is bound by memory, so the ratio is the better the more bytes a weight has: F32, F16
and Q8_0 are made and compared. The engine gives a lone token a mate, so that a reply is the same alone and in company;
the share of equal replies shows it.

    python benchmarks/generation.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from gguf import LlamaFileType

from benchmarks.random_model import random_texts, write_random_model
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Generate
from sway_gguf.engine.llama_backend import LlamaBackend

_GOAL = 0.25
_TYPES = (LlamaFileType.ALL_F32, LlamaFileType.MOSTLY_F16, LlamaFileType.MOSTLY_Q8_0)
_MODEL = {"vocabulary": 50_000, "hidden": 768, "layers": 10, "heads": 12, "feed_forward": 2048}


def compare(path: Path, options: argparse.Namespace) -> None:
    """Run both sides and print what came out."""
    asks = [Generate(text, options.tokens) for text in random_texts(options.prompts, 8)]
    with (
        LlamaBackend(path, None, EngineSettings(threads=options.threads)) as backend,
        backend.as_base() as view,
    ):
        view.answer(asks[:2])
        start = time.perf_counter()
        together = view.answer(asks)
        middle = time.perf_counter()
        alone = [view.answer([ask])[0] for ask in asks]
        end = time.perf_counter()
        threads = backend.settings.threads
    made = sum(len(reply.token_ids) for reply in alone)
    equal = sum(one == other for one, other in zip(together, alone, strict=True))
    ratio = (middle - start) / (end - middle)
    print(f"{options.prompts} prompts of {options.tokens} tokens, {made} made, {threads} threads")
    print(f"batched      {middle - start:7.1f} s  {made / (middle - start):7.1f} tokens/s")
    print(f"one by one   {end - middle:7.1f} s  {made / (end - middle):7.1f} tokens/s")
    print(f"equal replies {equal} of {len(asks)}")
    print(f"batched / one by one: {ratio:.3f}")
    print(f"goal ≤ {_GOAL}: {'reached' if ratio <= _GOAL else 'missed'}")


def main() -> None:
    """Read the options, make the model if none was given, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a GGUF to use; three are made at random when absent")
    parser.add_argument("--threads", type=int, default=0, help="as the engine's -t; 0 is its default")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=96)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for kind in [None] if options.model else _TYPES:
            path = options.model or Path(scratch) / f"random-109m-{kind.name}.gguf"
            if kind:
                write_random_model(path, **_MODEL, file_type=kind)
            print(f"== {path.name}")
            compare(path, options)


if __name__ == "__main__":
    main()
