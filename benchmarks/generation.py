"""Batched generation against one prompt after the other: the same prompts, one process, both sides greedy.

Knows how to time. One stream alone is bound by memory, so the ratio is the better the more bytes a weight has: F32, F16
and Q8_0 are made and compared. The engine gives a lone token a mate, so that a reply is the same alone and in company;
the share of equal replies shows it.

    python -m benchmarks.generation
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gguf import LlamaFileType

from benchmarks.models import settings_of
from benchmarks.random_model import random_texts, write_random_model
from benchmarks.sides import Finding, Goal, in_turns, main, ratio_of
from sway_gguf.core.answers import Answer
from sway_gguf.core.queries import Generate
from sway_gguf.engine.llama_backend import LlamaBackend

_GOAL = Goal("≤", 0.25)
_TYPES = (LlamaFileType.ALL_F32, LlamaFileType.MOSTLY_F16, LlamaFileType.MOSTLY_Q8_0)
_MODEL = {"vocabulary": 50_000, "hidden": 768, "layers": 10, "heads": 12, "feed_forward": 2048}


def compare(path: Path, options: argparse.Namespace) -> Iterator[Finding]:
    """Seconds of both sides, and how many replies are the same."""
    count, length = (4, 8) if options.quick else (options.prompts, options.tokens)
    asks = [Generate(text, length) for text in random_texts(count, 8)]
    found: dict[str, list[Answer]] = {}
    with LlamaBackend(path, None, settings_of(options)) as backend, backend.as_base() as view:
        sides = {
            "together": lambda: found.update(together=view.answer(asks)),
            "alone": lambda: found.update(alone=[view.answer([ask])[0] for ask in asks]),
        }
        view.answer(asks[:2])
        times = in_turns(sides, options.repeat, warm=False)
    equal = sum(one == other for one, other in zip(found["together"], found["alone"], strict=True))
    ratio, spread = ratio_of(times["together"], times["alone"])
    ours, other = (statistics.median(times[name]) for name in sides)
    note = f"{equal} of {count} replies equal"
    yield Finding(f"{count} replies, {path.stem}", ours, "s", "one by one", other, ratio, spread, _GOAL, note)


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """On the model that was given, or on three that are made at random."""
    with tempfile.TemporaryDirectory() as scratch:
        for kind in [None] if options.base else _TYPES:
            path = options.base or Path(scratch) / f"random-109m-{kind.name.lower()}.gguf"
            if kind is not None:
                write_random_model(path, **_MODEL, file_type=kind)
            yield from compare(path, options)


def own_options(parser: argparse.ArgumentParser) -> None:
    """The model, and how much is written."""
    parser.add_argument("--base", type=Path, metavar="GGUF", help="a model to use; else three made at random")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)


if __name__ == "__main__":
    main(__doc__, measured, own_options)
