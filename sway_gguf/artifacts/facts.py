"""From an adapter's factors to facts about it. Knows linear algebra; judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.lora import LoraAdapter, LoraPair, Matrix
from sway_gguf.artifacts.stack import Stack
from sway_gguf.core.adapter_facts import AdapterFacts, ModuleFacts


def adapter_facts(adapter: LoraAdapter) -> AdapterFacts:
    """Facts about every module."""
    return AdapterFacts(adapter.alpha, tuple(_facts(adapter, pair) for pair in adapter.pairs), adapter.skipped)


def stack_facts(stack: Stack, names: Sequence[str]) -> tuple[AdapterFacts, ...]:
    """The same of every adapter of a set, under its name; one alone needs none."""
    found = [adapter_facts(adapter) for adapter in stack.adapters]
    return (found[0],) if len(found) == 1 else tuple(map(_named, found, names))


def _named(facts: AdapterFacts, name: str) -> AdapterFacts:
    return replace(facts, name=name)


def _facts(adapter: LoraAdapter, pair: LoraPair) -> ModuleFacts:
    if not pair.finite:
        return ModuleFacts(pair.module, pair.rank, pair.shape, finite=False)
    # The experts of one tensor are taken together, as blocks of one long matrix.
    b = pair.b.astype(np.float64).reshape(-1, pair.rank)
    singular = np.sort(np.concatenate([_product_singular(*factors) for factors in _slices(pair)]))[::-1]
    return ModuleFacts(
        pair.module,
        pair.rank,
        pair.shape,
        finite=True,
        singular=tuple(float(value) for value in adapter.scaling(pair) * singular),
        b_singular=tuple(float(value) for value in np.linalg.svd(b, compute_uv=False)),
        b_spread=float(np.sqrt(np.mean(b**2))),
    )


def _slices(pair: LoraPair) -> list[tuple[Matrix, Matrix]]:
    if pair.a.ndim == 2:
        return [(pair.a, pair.b)]
    return list(zip(pair.a, pair.b, strict=True))


def _product_singular(a: Matrix, b: Matrix) -> NDArray[np.floating[Any]]:
    """[k] singular values of B @ A by way of two small triangular matrices."""
    wide_a: NDArray[np.float64] = a.T.astype(np.float64)
    wide_b: NDArray[np.float64] = b.astype(np.float64)
    product: NDArray[np.floating[Any]] = np.linalg.qr(wide_b)[1] @ np.linalg.qr(wide_a)[1].T
    found: NDArray[np.floating[Any]] = np.linalg.svd(product, compute_uv=False)
    return found
