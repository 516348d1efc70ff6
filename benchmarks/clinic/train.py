"""Trains a LoRA of the clinic: Adam on the tokens of replies, from a seed. Knows tokens, no files and no faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import training
from benchmarks.llama import Factors, Llama, Tokens
from benchmarks.models import LINEAR
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair

Tokenize = Callable[[str], list[int]]
_WARM_UP = 5
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

    @property
    def tokens(self) -> Tokens:
        """As the model takes it."""
        return Tokens(self.ids, [place >= self.start for place in range(len(self.ids))])


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
    kinds: tuple[str, ...] = LINEAR
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


def untrained(model: Llama, recipe: Recipe) -> Factors:
    """Where its training begins."""
    blocks = range(model.blocks) if recipe.blocks is None else recipe.blocks
    modules = [f"blk.{block}.{kind}.weight" for block in blocks for kind in recipe.kinds]
    return training.untrained(model, modules, recipe.rank, recipe.seed)


def train(model: Llama, examples: Sequence[Example], replay: Sequence[Example], recipe: Recipe) -> Factors:
    """Trained factors; the same for the same arguments on the same machine."""
    factors, rng = untrained(model, recipe), np.random.default_rng([recipe.seed, 1])
    adam = training.Adam(factors)
    beside = [replace(each, ids=each.ids[:_REPLAYED_TOKENS]) for each in replay if each.start < _REPLAYED_TOKENS]
    for step in range(recipe.steps):
        chosen = _some(examples, recipe.batch, rng) + (_some(beside, recipe.replayed, rng) if recipe.replayed else [])
        _, gradient = model.loss([each.tokens for each in chosen], factors, recipe.scaling)
        warm = min(1.0, (step + 1) / _WARM_UP)
        adam.step(gradient, recipe.rate * warm * 0.5 * (1 + math.cos(math.pi * step / recipe.steps)))
    return factors


def _some(examples: Sequence[Example], count: int, rng: np.random.Generator) -> list[Example]:
    if not count or count >= len(examples):
        return list(examples)
    return [examples[place] for place in rng.choice(len(examples), count, replace=False)]


def as_adapter(factors: Factors, recipe: Recipe, path: Path) -> LoraAdapter:
    """As `write_lora` takes it; what rsLoRA scales otherwise is in its alpha."""
    pairs = [LoraPair(module, a, b, "F32", "F32") for module, (a, b) in sorted(factors.items())]
    return LoraAdapter(path, "llama", recipe.scaling * recipe.rank, tuple(pairs))
