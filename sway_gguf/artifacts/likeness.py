"""A GGUF adapter against the PEFT folder that it was made from: scale, missing modules, order of rows.

Knows factors and files; asks no model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.artifacts.peft import heads_of, interleaved

_SAME, _RATIO = 0.999, 0.01
"""Cosine from which two updates are one, up to half-precision rounding; relative error of a scale that is its own."""


def differences(adapter: LoraAdapter, original: LoraAdapter, base: BaseModel) -> list[str]:
    """Every way in which `adapter` is not `original`, one sentence each; empty when they are the same."""
    return list(_differences(adapter, original, base))


def _differences(adapter: LoraAdapter, original: LoraAdapter, base: BaseModel) -> Iterator[str]:
    mine, theirs = ({pair.module: pair for pair in one.pairs} for one in (adapter, original))
    for module in sorted(theirs.keys() - mine.keys()):
        yield f"{module} is missing in the GGUF: that part of the training has no effect"
    for module in sorted(mine.keys() - theirs.keys()):
        yield f"{module} is not in the folder: the GGUF was made from another adapter"
    scales: dict[str, float] = {}
    for module in sorted(mine.keys() & theirs.keys()):
        one, other = mine[module], theirs[module]
        if one.shape != other.shape:
            yield f"{module} has another shape in the folder"
        elif odd := _not_comparable(one, other):
            yield f"{module} {odd}"
        elif not one.product_norm():
            continue  # Both are zero: the same, at any scale.
        elif cosine(one, other) >= _SAME:
            scales[module] = adapter.update_norm(one) / original.update_norm(other)
        else:
            yield f"{module}: {_what_else(one, other, base)}"
    yield from _wrong_scales(scales, original)


def _not_comparable(one: LoraPair, other: LoraPair) -> str:
    """What is wrong where a cosine says nothing: numbers that are not finite, an update that is zero on one side."""
    for pair, where in ((one, "GGUF"), (other, "folder")):
        if not pair.finite:
            return f"holds NaN or infinity in the {where}: the training diverged, or the file is damaged"
    mine, theirs = one.product_norm(), other.product_norm()
    if theirs and not mine:
        return "is zero in the GGUF: that part of the training has no effect"
    if mine and not theirs:
        return "is zero in the folder: the GGUF was made from another adapter"
    return ""


def _wrong_scales(scales: dict[str, float], original: LoraAdapter) -> Iterator[str]:
    wrong = {module: ratio for module, ratio in scales.items() if abs(ratio - 1) > _RATIO}
    values = set(wrong.values())
    if wrong and len(wrong) == len(scales) and max(values) / min(values) < 1 + _RATIO:
        ratio = next(iter(values))
        yield f"the whole GGUF runs at {ratio:.4g} times the scale it was trained at{_known(ratio, original)}"
        return
    for module, ratio in wrong.items():
        yield f"{module} runs at {ratio:.4g} times the scale it was trained at{_known(ratio, original)}"


def _known(ratio: float, original: LoraAdapter) -> str:
    for rank in original.ranks:
        if abs(ratio * math.sqrt(rank) - 1) < _RATIO:
            return f": 1/√{rank}, the rsLoRA factor was lost in conversion"
        if abs(ratio / math.sqrt(rank) - 1) < _RATIO:
            return f": √{rank}, a rsLoRA factor that the training did not use"
    return ": alpha or rank were lost in conversion; convert the folder again"


def _what_else(one: LoraPair, other: LoraPair, base: BaseModel) -> str:
    heads = heads_of(one.module, base)
    whole_heads = heads and one.b.ndim == 2 and one.b.shape[0] % (2 * heads) == 0
    if whole_heads and cosine(replace(one, b=interleaved(one.b, heads)), other) >= _SAME:
        return "its rows are in the order of the folder, llama.cpp needs a head's halves interleaved"
    return f"other weights than the folder's (cosine {cosine(one, other):.3f})"


def cosine(one: LoraPair, other: LoraPair) -> float:
    """Of the two updates, by their factors alone; 0 where one of them is zero."""
    sizes = one.product_norm() * other.product_norm()
    return one.inner(other) / sizes if sizes > 0 else 0.0
