"""Null adapters: random adapters of the same shape as a given one, in three designs.

Each tensor draws from its own generator, seeded by (seed, tensor name): the result depends on neither the
order of tensors nor on how many other nulls were drawn. Knows nothing of probes or of p-values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.artifacts.stack import Member, Stack
from sway_gguf.core.views import NullDesign

Wide = NDArray[np.float64]
VERSION = 1
"""Raised by whoever changes what a seed draws: answers of nulls are kept under it."""
_TALL = 4
"""Rows per column from which on a Gaussian draw's condition number is small."""


def null_adapter(
    adapter: LoraAdapter, seed: int, design: NullDesign | None = None, go_on: Callable[[], None] = lambda: None
) -> LoraAdapter:
    """Draw a null adapter.

    Rank becomes r' = max(1, round(r · rank_scale)), tensor by tensor, with the scaling alpha / r unchanged;
    E‖ΔW'‖² is the design's `energy_scale` times its value at rank_scale 1, under every design.

    Args:
        adapter: the real one; its shapes, types and, but for `gaussian`, its sizes are kept.
        seed: any integer ≥ 0.
        design: how to draw; rotation by default.
        go_on: called before each tensor; what it raises ends the drawing, which takes seconds for a large model.

    Raises:
        ValueError: a negative seed, a factor that is not finite.
    """
    if seed < 0:
        raise ValueError(f"the seed of a null adapter must not be negative, it is {seed}")
    chosen = design or NullDesign()
    pairs = tuple(_each(adapter.pairs, seed, chosen, go_on))
    return replace(
        adapter,
        path=Path(f"null-{seed}-{chosen.design}.gguf"),
        alpha=_common_alpha(adapter, pairs),
        pairs=_rescaled(adapter, pairs),
        skipped=(),
    )


def null_of(
    stack: Stack, seed: int, design: NullDesign | None = None, go_on: Callable[[], None] = lambda: None
) -> Member:
    """Draw a null of a whole set, as one adapter and the scale to run it at; arguments as of `null_adapter`.

    That of a set of one is the adapter's own, at its scale. Of several adapters all are turned by one rotation, module
    by module: each of them is then in a random direction, and they stand to each other as they do in the set. So the
    null is as large as the set for every input, where independent rotations would make it smaller than adapters that
    are alike, and larger than adapters that cancel. It is drawn from the set joined to one adapter.
    """
    joined = stack.joined()
    null = null_adapter(joined.adapter, seed, design, go_on)
    if len(stack.members) > 1 and design is not None and design.design == "gaussian":
        # These factors hold no scales of their own: each column gets the mean one of its module.
        weights = stack.mean_weights()
        factors = [weights[pair.module] / joined.adapter.scaling(pair) for pair in joined.adapter.pairs]
        pairs = zip(null.pairs, factors, strict=True)
        null = replace(null, pairs=tuple(replace(pair, b=pair.b * np.float32(factor)) for pair, factor in pairs))
    return Member(null, joined.scale)


def _each(pairs: tuple[LoraPair, ...], seed: int, design: NullDesign, go_on: Callable[[], None]) -> Iterator[LoraPair]:
    for pair in pairs:
        go_on()
        yield _null_pair(pair, seed, design)


def _null_pair(pair: LoraPair, seed: int, design: NullDesign) -> LoraPair:
    if not pair.finite:
        raise ValueError(f"{pair.module} holds NaN or infinity; no null of its size exists")
    rng = _generator(seed, pair.module)
    if _turns_alone(pair.b, design):
        uppers = pair.upper.reshape(-1, pair.rank, pair.rank)
        turned = np.stack([_haar(pair.b.shape[-2], pair.rank, rng) @ upper for upper in uppers])
        return replace(pair, b=turned.reshape(pair.b.shape).astype(np.float32))
    if pair.a.ndim == 2:
        a, b = _draw(pair.a, pair.b, rng, design)
    else:
        drawn = [_draw(a, b, rng, design) for a, b in zip(pair.a, pair.b, strict=True)]
        a, b = np.stack([one[0] for one in drawn]), np.stack([one[1] for one in drawn])
    return replace(pair, a=a.astype(np.float32), b=b.astype(np.float32))


def _generator(seed: int, module: str) -> np.random.Generator:
    digest = hashlib.sha256(module.encode()).digest()
    return np.random.Generator(np.random.PCG64([seed, int.from_bytes(digest[:16], "little")]))


def _draw(
    a: NDArray[np.float32], b: NDArray[np.float32], rng: np.random.Generator, design: NullDesign
) -> tuple[Wide, Wide]:
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    rank = _null_rank(b.shape[1], design.rank_scale, min(b.shape[0], a.shape[1]))
    if design.design == "gaussian":
        return _gaussian(wide_a, wide_b, rank, rng, design)
    if design.design == "spectrum":
        return _spectrum(wide_a, wide_b, rank, rng, design.energy_scale)
    return _rotation(wide_a, wide_b, rank, rng, design)


def _null_rank(rank: int, scale: float, limit: int) -> int:
    return max(1, min(round(rank * scale), max(rank, limit)))


def _gaussian(a: Wide, b: Wide, rank: int, rng: np.random.Generator, design: NullDesign) -> tuple[Wide, Wide]:
    # Energy is r'·σ⁴·d_in·d_out; the last factor mends the rounding of r' and what the rank alone does not bring.
    mend = math.sqrt(design.energy_scale * b.shape[1] / rank)
    drawn_a = rng.normal(0.0, design.init_scale, (rank, a.shape[1]))
    drawn_b = rng.normal(0.0, design.init_scale, (b.shape[0], rank))
    return drawn_a, drawn_b * mend


def _turns_alone(b: NDArray[Any], design: NullDesign) -> bool:
    """Whether a rotation changes the outputs alone and leaves A as it is."""
    return design.design == "rotation" and design.rank_scale == 1.0 and b.shape[-2] >= b.shape[-1]


def _rotation(a: Wide, b: Wide, rank: int, rng: np.random.Generator, design: NullDesign) -> tuple[Wide, Wide]:
    singular, right = _right_singular(a, b)
    order = np.arange(rank) % singular.size
    return _assemble(_haar(b.shape[0], rank, rng), singular[order], right[:, order], singular, design.energy_scale)


def _spectrum(a: Wide, b: Wide, rank: int, rng: np.random.Generator, energy_scale: float) -> tuple[Wide, Wide]:
    singular, _ = _right_singular(a, b)
    order = np.arange(rank) % singular.size
    left = _haar(b.shape[0], rank, rng)
    return _assemble(left, singular[order], _haar(a.shape[1], rank, rng), singular, energy_scale)


def _assemble(left: Wide, values: Wide, right: Wide, full: Wide, energy_scale: float) -> tuple[Wide, Wide]:
    """Factors of left · diag(values) · rightᵀ, rescaled so that the energy is energy_scale · Σ full²."""
    energy = float(np.sum(values**2))
    factor = math.sqrt(energy_scale * float(np.sum(full**2)) / energy) if energy > 0 else 0.0
    root = np.sqrt(values * factor)
    return (right * root).T, left * root


def _right_singular(a: Wide, b: Wide) -> tuple[Wide, Wide]:
    """Singular values [k] of B @ A, descending, and right singular vectors [d_in, k], k = min(r, d_in, d_out)."""
    right_basis, right_upper = np.linalg.qr(a.T)
    left_upper = np.linalg.qr(b, mode="r")
    _, singular, right = np.linalg.svd(left_upper @ right_upper.T, full_matrices=False)
    return singular, right_basis @ right.T


def _haar(rows: int, columns: int, rng: np.random.Generator) -> Wide:
    """[rows, columns] with orthonormal columns, uniform by Haar measure (Mezzadri 2007).

    More columns than rows cannot be orthonormal: the surplus starts a fresh draw.
    """
    blocks: list[Wide] = []
    while columns > 0:
        width = min(rows, columns)
        blocks.append(_orthonormal(rng.normal(size=(rows, width))))
        columns -= width
    return np.concatenate(blocks, axis=1)


def _orthonormal(drawn: Wide) -> Wide:
    """Q of drawn = Q·R with a positive diagonal of R.

    Of a tall draw, which is far from singular, R is as exactly Cholesky's factor of drawnᵀ·drawn, in a third of the
    time.
    """
    rows, columns = drawn.shape
    if rows >= _TALL * columns:
        tall: Wide = drawn @ np.linalg.inv(np.linalg.cholesky(drawn.T @ drawn)).T
        return tall
    basis, upper = np.linalg.qr(drawn)
    return basis * np.sign(np.diag(upper))


def _common_alpha(adapter: LoraAdapter, pairs: tuple[LoraPair, ...]) -> float:
    """alpha' = alpha · r'/r of the first pair, so that its scaling stays alpha / r."""
    return adapter.alpha * pairs[0].rank / adapter.pairs[0].rank


def _rescaled(adapter: LoraAdapter, pairs: tuple[LoraPair, ...]) -> tuple[LoraPair, ...]:
    """GGUF has one alpha for all tensors: where rounding gave a pair another r'/r, B takes up the difference."""
    alpha = _common_alpha(adapter, pairs)
    rescaled = []
    for real, null in zip(adapter.pairs, pairs, strict=True):
        factor = adapter.scaling(real) / (alpha / null.rank)
        rescaled.append(null if factor == 1.0 else replace(null, b=(null.b * factor).astype(np.float32)))
    return tuple(rescaled)
