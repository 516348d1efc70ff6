"""Trains a LoRA of the clinic: AdamW on the tokens of replies, from a seed. Knows tokens, no files and no faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clinic.llama import KINDS, Floats, Ints, Llama, Lora
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair

Tokenize = Callable[[str], list[int]]
_BETAS, _TINY, _WARM_UP, _MOST_NORM = (0.9, 0.999), 1e-8, 5, 1.0
_REPLAYED_TOKENS = 48
"""Of a text that is replayed: rows of a batch are filled up to the longest."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text to learn from.

    Attributes:
        ids: its tokens.
        start: the first token that is scored, 1 or more.
    """

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an adapter is trained.

    Attributes:
        steps: of the optimizer.
        rate: the largest learning rate; it falls to zero as a cosine.
        rank, alpha: of the adapter.
        kinds: of the linear layers that are adapted.
        blocks: that are adapted; None for all.
        batch: examples a step, drawn anew each time; 0 for all of them.
        replayed: other texts beside each batch, which hold the model where it was.
        rank_stabilized: scaled by alpha / √r, as rsLoRA has it.
        seed: of all that is drawn.
    """

    steps: int
    rate: float = 2e-3
    rank: int = 8
    alpha: float = 16.0
    kinds: tuple[str, ...] = KINDS
    blocks: tuple[int, ...] | None = None
    batch: int = 16
    replayed: int = 8
    rank_stabilized: bool = False
    seed: int = 0

    @property
    def scaling(self) -> float:
        """alpha / r, or alpha / √r."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


def example(tokenize: Tokenize, prompt: str, reply: str) -> Example:
    """A reply behind its prompt; its tokens begin where those of both and of the prompt alone part."""
    both, alone = tokenize(prompt + reply), tokenize(prompt)
    shared = next((place for place, (x, y) in enumerate(zip(both, alone, strict=False)) if x != y), len(alone))
    return Example(tuple(both), max(1, min(shared, len(both) - 1)))


def padded(examples: Sequence[Example]) -> tuple[Ints, NDArray[np.bool_]]:
    """Tokens [n, longest], filled up with zeros, and which of the following ones are scored [n, longest - 1]."""
    width = max(len(each.ids) for each in examples)
    ids, scored = np.zeros((len(examples), width), np.int64), np.zeros((len(examples), width - 1), bool)
    for row, each in enumerate(examples):
        ids[row, : len(each.ids)] = each.ids
        scored[row, each.start - 1 : len(each.ids) - 1] = True
    return ids, scored


def untrained(model: Llama, recipe: Recipe) -> Lora:
    """A as peft draws it, uniform within 1/√d_in, and B zero."""
    rng = np.random.default_rng(recipe.seed)
    blocks = range(model.blocks) if recipe.blocks is None else recipe.blocks
    factors = {}
    for module in (model.module(block, kind) for block in blocks for kind in recipe.kinds):
        rows, width = model.shape(module)
        a = rng.uniform(-1, 1, (recipe.rank, width)) / math.sqrt(width)
        factors[module] = (a.astype(np.float32), np.zeros((rows, recipe.rank), np.float32))
    return Lora(factors, recipe.scaling)


def train(model: Llama, examples: Sequence[Example], replay: Sequence[Example], recipe: Recipe) -> Lora:
    """A trained LoRA; the same for the same arguments on the same machine."""
    lora, rng = untrained(model, recipe), np.random.default_rng([recipe.seed, 1])
    state = {name: [np.zeros_like(f) for f in (*pair, *pair)] for name, pair in lora.factors.items()}
    beside = [replace(each, ids=each.ids[:_REPLAYED_TOKENS]) for each in replay if each.start < _REPLAYED_TOKENS]
    for step in range(recipe.steps):
        chosen = _some(examples, recipe.batch, rng) + (_some(beside, recipe.replayed, rng) if recipe.replayed else [])
        model.loss(*padded(chosen), lora)
        warm = min(1.0, (step + 1) / _WARM_UP)
        rate = recipe.rate * warm * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        _update(lora, state, rate, step + 1)
    return lora


def _some(examples: Sequence[Example], count: int, rng: np.random.Generator) -> list[Example]:
    if not count or count >= len(examples):
        return list(examples)
    return [examples[place] for place in rng.choice(len(examples), count, replace=False)]


def _update(lora: Lora, state: dict[str, list[Floats]], rate: float, step: int) -> None:
    """One step of Adam on gradients cut to a norm of 1 over all factors."""
    total = math.sqrt(sum(float((g * g).sum()) for pair in lora.gradient.values() for g in pair))
    cut = min(1.0, _MOST_NORM / (total + _TINY))
    first, second = _BETAS
    for name, pair in lora.factors.items():
        for place, (factor, gradient) in enumerate(zip(pair, lora.gradient[name], strict=True)):
            mean, square = state[name][place], state[name][place + 2]
            mean += (1 - first) * (cut * gradient - mean)
            square += (1 - second) * ((cut * gradient) ** 2 - square)
            size = np.sqrt(square / (1 - second**step)) + _TINY
            factor -= rate * (mean / (1 - first**step)) / size


def as_adapter(lora: Lora, recipe: Recipe, path: Path) -> LoraAdapter:
    """As `write_lora` takes it; what rsLoRA scales otherwise is in its alpha."""
    pairs = [LoraPair(module, a, b, "F32", "F32") for module, (a, b) in sorted(lora.factors.items())]
    return LoraAdapter(path, "llama", recipe.scaling * recipe.rank, tuple(pairs))
