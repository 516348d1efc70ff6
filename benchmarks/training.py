"""Adapters trained on text in NumPy, stopped where one wants: no torch, the product's own tokens and scored places.

Knows texts, queries and Adam; how a Llama computes is llama.py's. A token more than scored is never trained on: what
the product measures of a section is what these adapters learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.llama import Array, Factors, Llama, Tokens
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.core.queries import Query
from sway_gguf.engine.llama import Model
from sway_gguf.engine.scoring import plan

RANK, ALPHA = 8, 16.0
_WARM_UP = 10
_CLIP = 1.0
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8


@contextmanager
def tokenizer_of(base: Path) -> Iterator[Model]:
    """The base's vocabulary, without its weights."""
    model = Model(base, vocabulary_only=True)
    try:
        yield model
    finally:
        model.close()


def tokens_of(queries: Sequence[Query], tokenizer: Model, width: int) -> list[Tokens]:
    """What the product feeds for each query, and which tokens it scores; texts that do not fit in `width` are cut."""
    found = []
    for query in queries:
        ask = plan(query, tokenizer, 1 << 20)
        counts = np.zeros(len(ask.tokens), bool)
        for start, stop in ask.stretches or ((ask.first_target, len(ask.tokens)),):
            counts[start:stop] = True
        counts[0] = False
        if counts[:width].any():
            found.append(Tokens(ask.tokens[:width], counts[:width].tolist()))
    return found


def trained(
    model: Llama,
    texts: Sequence[Tokens],
    *,
    steps: Sequence[int],
    rate: float = 1e-3,
    seed: int = 0,
    rank: int = RANK,
    alpha: float = ALPHA,
    modules: Sequence[str] | None = None,
) -> Iterator[tuple[int, LoraAdapter]]:
    """One training on all of `texts` at each step, by Adam with warm-up; the adapter after each of `steps`.

    Args:
        model: the base.
        texts: to learn.
        steps: after how many steps to give it, ascending.
        rate: of learning, reached after ten steps.
        seed: of A.
        rank: r.
        alpha: the scaling is alpha / r.
        modules: to adapt; all linear ones where none are given.
    """
    factors = untrained(model, modules or model.linear, rank, seed)
    adam = Adam(factors)
    for step in range(1, max(steps) + 1):
        _, slopes = model.loss(texts, factors, alpha / rank)
        adam.step(slopes, rate * min(1.0, step / _WARM_UP))
        if step in steps:
            yield step, adapter_of(model, factors, alpha)


def untrained(model: Llama, modules: Iterable[str], rank: int, seed: int) -> Factors:
    """Factors of modules as peft begins: A uniform in ±1/√d_in, B zero."""
    rng = np.random.default_rng(seed)
    factors: Factors = {}
    for name in modules:
        rows, columns = model.weights[name].shape
        a = rng.uniform(-1, 1, (rank, columns)) / np.sqrt(columns)
        factors[name] = (a.astype(np.float32), np.zeros((rows, rank), np.float32))
    return factors


class Adam:
    """Adam (Kingma & Ba 2015) on factors, in place, by slopes that are cut to a norm of 1 over all of them."""

    def __init__(self, factors: Factors) -> None:
        self._factors, self._steps = factors, 0
        self._moments = {name: [np.zeros_like(each) for each in (*pair, *pair)] for name, pair in factors.items()}

    def step(self, slopes: Factors, rate: float) -> None:
        """One step down the slopes."""
        self._steps += 1
        norm = np.sqrt(sum(float((slope * slope).sum()) for pair in slopes.values() for slope in pair))
        share = np.float32(min(1.0, _CLIP / max(norm, _TINY)))
        for name, pair in slopes.items():
            for place, slope in enumerate(pair):
                self._one(self._factors[name][place], slope * share, self._moments[name][place::2], rate)

    def _one(self, value: Array, slope: Array, moments: list[Array], rate: float) -> None:
        first, second = moments
        first += (1 - _FIRST) * (slope - first)
        second += (1 - _SECOND) * (slope * slope - second)
        ahead = first / (1 - _FIRST**self._steps)
        scale = np.sqrt(second / (1 - _SECOND**self._steps)) + _TINY
        value -= (rate * ahead / scale).astype(np.float32)


def adapter_of(model: Llama, factors: Factors, alpha: float) -> LoraAdapter:
    """Factors as an adapter in float32; a copy of them."""
    pairs = tuple(LoraPair(name, a.copy(), b.copy(), "F32", "F32") for name, (a, b) in sorted(factors.items()))
    return LoraAdapter(Path("trained.gguf"), model.base.architecture, alpha, pairs, in_file=False)


def factors_of(adapter: LoraAdapter) -> Factors:
    """An adapter as the model takes it; its scaling is alpha / r."""
    return {pair.module: (pair.a, pair.b) for pair in adapter.pairs}
