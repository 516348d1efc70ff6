"""Adapters that learned nothing: random factors of many laws, sizes, ranks and modules, and wrecks of a trained one.

Each is drawn by its number alone. Those whose B has a distribution that no rotation changes are exactly as likely as
the nulls that they are held against; of all others the study tells whether that matters. Knows factors and shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.lora import LoraAdapter, LoraPair

Wide = NDArray[np.float64]
SIZES = (0.1, 0.3, 1.0, 2.0, 4.0)
"""Of every update, relative to that of the adapter whose modules it has."""
RANKS = (1, 2, 4, 8, 16, 32)
MODULES = {
    "all": ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"),
    "attention": ("attn_q", "attn_k", "attn_v", "attn_output"),
    "queries and values": ("attn_q", "attn_v"),
    "feed-forward": ("ffn_gate", "ffn_up", "ffn_down"),
    "one block": (),
}
ALPHA = 16.0
"""The scaling of a pair is this by its rank."""


class Shape(NamedTuple):
    """What an adapter that learned nothing is like.

    Attributes:
        kind: the law of its factors, of `KINDS`.
        size: of its updates, relative to a trained adapter's.
        rank: of every pair; that of the trained adapter for its wrecks.
        modules: of `MODULES`.
        seed: of its numbers.
    """

    kind: str
    size: float
    rank: int
    modules: str
    seed: int


def shape_of(number: int) -> Shape:
    """The shape of the adapter with this number: kinds take turns, the rest is drawn."""
    rng = np.random.default_rng([2026, number])
    kinds = list(KINDS)
    modules = list(MODULES)[int(rng.integers(len(MODULES)))]
    return Shape(kinds[number % len(kinds)], float(rng.choice(SIZES)), int(rng.choice(RANKS)), modules, number)


def untrained(like: LoraAdapter, shape: Shape) -> LoraAdapter:
    """An adapter of `shape`, each of its updates `size` times as large as `like`'s of that module."""
    rng = np.random.default_rng([7, shape.seed])
    wanted = MODULES[shape.modules]
    blocks = sorted({pair.module.split(".")[1] for pair in like.pairs})
    block = blocks[int(rng.integers(len(blocks)))]
    chosen = [
        pair
        for pair in like.pairs
        if (pair.module.split(".")[2] in wanted if wanted else pair.module.split(".")[1] == block)
    ]
    models = chosen or list(like.pairs)  # An adapter of attention alone has no feed-forward.
    shared = rng.standard_normal(max(pair.b.shape[0] for pair in models))
    pairs = []
    for pair in models:
        a, b = KINDS[shape.kind](pair, shape.rank, rng, shared)
        drawn = replace(pair, a=a.astype(np.float32), b=b.astype(np.float32), a_type="F32", b_type="F32")
        norm = ALPHA / drawn.rank * drawn.product_norm()
        factor = np.float32(shape.size * like.update_norm(pair) / norm)
        pairs.append(replace(drawn, b=drawn.b * factor))
    return replace(like, alpha=ALPHA, pairs=tuple(pairs), in_file=False)


def _plain(draw: Callable[[np.random.Generator, tuple[int, int]], Wide]) -> Callable[..., tuple[Wide, Wide]]:
    """A and B from one law."""

    def factors(pair: LoraPair, rank: int, rng: np.random.Generator, shared: Wide) -> tuple[Wide, Wide]:
        return draw(rng, (rank, pair.a.shape[1])), draw(rng, (pair.b.shape[0], rank))

    return factors


def _sparse(pair: LoraPair, rank: int, rng: np.random.Generator, shared: Wide) -> tuple[Wide, Wide]:
    """Answers in one of sixteen outputs alone."""
    b = rng.standard_normal((pair.b.shape[0], rank))
    kept = rng.permutation(b.shape[0]) < max(1, b.shape[0] // 16)
    return rng.standard_normal((rank, pair.a.shape[1])), b * kept[:, None]


def _one_direction(pair: LoraPair, rank: int, rng: np.random.Generator, shared: Wide) -> tuple[Wide, Wide]:
    """Whatever comes in, and in whatever module, the answer points one way."""
    b = np.outer(shared[: pair.b.shape[0]], rng.standard_normal(rank))
    return rng.standard_normal((rank, pair.a.shape[1])), b


def _rows_moved(pair: LoraPair, rank: int, rng: np.random.Generator, shared: Wide) -> tuple[Wide, Wide]:
    """A trained adapter whose answers go to other outputs."""
    return pair.a.astype(np.float64), pair.b[rng.permutation(pair.b.shape[0])].astype(np.float64)


def _signs_lost(pair: LoraPair, rank: int, rng: np.random.Generator, shared: Wide) -> tuple[Wide, Wide]:
    """A trained adapter whose outputs have random signs."""
    return pair.a.astype(np.float64), pair.b * rng.choice((-1.0, 1.0), (pair.b.shape[0], 1))


KINDS: dict[str, Callable[..., tuple[Wide, Wide]]] = {
    "gaussian": _plain(lambda rng, shape: rng.standard_normal(shape)),
    "uniform": _plain(lambda rng, shape: rng.uniform(-1, 1, shape)),
    "heavy tails": _plain(lambda rng, shape: rng.standard_t(2, shape)),
    "sparse": _sparse,
    "one direction": _one_direction,
    "rows moved": _rows_moved,
    "signs lost": _signs_lost,
}
"""By name: a law of A [r, d_in] and B [d_out, r]. Only that of `gaussian` is the same under every rotation."""
