"""What is done with logits once they are there, as a share of evaluating them: log-sum-exp, and KL between two views.

Knows how to time. The evaluation is a whole answer of the engine on a random model of the shape that goes with a
vocabulary: that of the real demo's with 50,000 tokens, of a half-billion model with 150,000. The reduction is timed
alone on as many rows of that width. One thread reduces, so where views run side by side its share is smaller still.

    python -m benchmarks.reduction
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gguf import LlamaFileType

from benchmarks.models import random_adapter, settings_of
from benchmarks.random_model import random_texts, write_random_model
from benchmarks.sides import Finding, Goal, in_turns, main, shares
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.queries import Compare, Query, Rolling
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.reduce import changes, target_logprobs

_GOAL = Goal("<", 0.05)
_SHAPES = {
    50_000: {"hidden": 576, "layers": 30, "heads": 9, "feed_forward": 1536},
    150_000: {"hidden": 896, "layers": 24, "heads": 14, "feed_forward": 4864},
}
_RANK, _WORDS = 8, 40


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Both reductions at each vocabulary."""
    texts = random_texts(2 if options.quick else options.texts, _WORDS)
    for vocabulary in options.vocabularies:
        shape = _SHAPES[vocabulary] | ({"layers": 2} if options.quick else {})
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "random.gguf"
            write_random_model(path, vocabulary=vocabulary, **shape, file_type=LlamaFileType.MOSTLY_Q8_0)
            adapter = random_adapter(read_base(path), _RANK, Path(scratch))
            with LlamaBackend(path, adapter, settings_of(options)) as backend:
                yield from of_one(backend, vocabulary, texts, options)


def of_one(backend: LlamaBackend, vocabulary: int, texts: list[str], options: argparse.Namespace) -> Iterator[Finding]:
    """Microseconds per position of evaluating and of reducing."""
    scored: list[Query] = [Rolling(text) for text in texts]
    compared: list[Query] = [Compare(text) for text in texts]
    positions = sum(backend.count_tokens(query) for query in scored)
    rows = backend.limits().outputs
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((rows, vocabulary), np.float32) * 4 for _ in range(2))
    targets = [int(token) for token in rng.integers(vocabulary, size=rows)]
    with backend.as_finetuned() as view:
        sides = {
            "scores": lambda: view.answer(scored),
            "log-sum-exp": lambda: target_logprobs(one, targets),
            "comparison": lambda: view.answer(compared),
            "KL": lambda: changes(one, other, targets),
        }
        times = {name: statistics.median(took) * 1e6 for name, took in in_turns(sides, options.repeat).items()}
    for part, whole in (("log-sum-exp", "scores"), ("KL", "comparison")):
        what = f"{part}, vocabulary {vocabulary:,}"
        yield shares(what, times[part] / rows, times[whole] / positions, "µs/position", f"all of {whole}", _GOAL)


def own_options(parser: argparse.ArgumentParser) -> None:
    """Vocabularies and texts."""
    parser.add_argument("--vocabularies", nargs="+", type=int, choices=_SHAPES, default=list(_SHAPES))
    parser.add_argument("--texts", type=int, default=8)


if __name__ == "__main__":
    main(__doc__, measured, own_options)
