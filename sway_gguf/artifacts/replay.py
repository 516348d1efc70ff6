"""One tensor of a merged file against base and update: which scale, and is anything else in it.

merged = stored(base + λ·ΔW), so λ is fitted by least squares of merged − base on ΔW; what stays unexplained is held
against the rounding of the type that the tensor is stored in. Knows numbers; opens no file and asks no engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sway_gguf.artifacts.lora import Matrix
from sway_gguf.core.replay import State, TensorReplay

Store = Callable[[Matrix], Matrix]
"""What a type makes of numbers [rows, width], read back as floats."""
_NEAR, _ERRORS = 0.01, 4.0
"""Difference of two scales that is none, and how many standard errors of a scale are allowed."""
_BEYOND, _AT_ANOTHER_SCALE = 2.0, 1.25
"""Times the rounding up to which it explains a difference: another quantizer's choices, an importance matrix. A scale
that is not 1 may as well be the overlap with another adapter, so less is let pass there."""
_OVERLAP, _LEFT, _SURE = 0.1, 0.5, 0.25
"""Share of a scale that any other adapter may show by chance; what rounding must leave of the update, and the error
beside it, for a fit to say anything."""
_ULP = 2.0**-23
_CHUNK = 1 << 20


def replayed(
    name: str,
    kind: str,
    base: Matrix,
    merged: Matrix,
    update: Callable[[float], Matrix] | None,
    store: Store,
    of: Store,
) -> TensorReplay:
    """Compare rows of a tensor.

    Args:
        name, kind: of the tensor, and the type under which the merged file stores it.
        base, merged: [rows, width], float32.
        update: ΔW of these rows at a scale λ; None where the adapter has none.
        store: what merging makes of numbers, by the merged file's type.
        of: the same by the base's type; where the base is itself rounded, the original may have been merged into.
    """
    if not (np.isfinite(base).all() and np.isfinite(merged).all()):
        return TensorReplay(name, kind, update is not None, "broken", exact=False)
    whole = update(1.0) if update is not None else None
    if update is None or whole is None or not (size := _dot(whole, whole)):
        return _unadapted(name, kind, base, merged, store, of)
    scale = _dot(merged - base, whole) / size
    stored = store(base + whole)
    left = _dot(stored - base, whole) / size
    rest = _rms(merged - base - np.float32(scale) * whole)
    error = _ERRORS * rest / math.sqrt(size)
    sums = _ULP * (_rms(base) + _rms(whole))
    allowed = math.hypot(_rms(stored - (base + whole)), _noise(merged - np.float32(scale) * whole, of), sums)
    beyond = rest / allowed if allowed else 0.0
    if exact := _by_bits(base, merged, update, stored, store, scale):
        return TensorReplay(name, kind, True, exact[0], True, exact[1], error, left, beyond)
    state = _by_fit(scale, max(_NEAR, error), left, beyond)
    return TensorReplay(name, kind, True, state, False, scale, error, left, beyond)


def _by_bits(
    base: Matrix, merged: Matrix, update: Callable[[float], Matrix], stored: Matrix, store: Store, scale: float
) -> tuple[State, float] | None:
    """What equal bits say, with the scale at which they are equal; None where they are not."""
    alone = np.array_equal(merged, store(base))
    if np.array_equal(merged, stored):
        # Rounding may leave nothing of the update: then the merged file is the base's, and nothing can be told.
        return ("unclear" if alone else "whole"), scale
    if alone:
        return "lacks", scale
    for other in dict.fromkeys((round(scale, 2), round(scale, 4))):
        if other not in (0.0, 1.0) and np.array_equal(merged, store(base + update(other))):
            return "scaled", other
    return None


def _by_fit(scale: float, allowed: float, left: float, beyond: float) -> State:
    """What the fitted scale says, give or take `allowed`."""
    if beyond > _BEYOND:
        return "other"
    if left < _LEFT or allowed > _SURE * left:
        return "unclear"
    if abs(scale) <= max(allowed, _OVERLAP * left):
        return "lacks"
    if abs(scale - left) <= allowed:
        return "whole"
    return "scaled" if beyond <= _AT_ANOTHER_SCALE else "other"


def _unadapted(name: str, kind: str, base: Matrix, merged: Matrix, store: Store, of: Store) -> TensorReplay:
    stored = store(base)
    exact = bool(np.array_equal(merged, stored))
    rest, allowed = _rms(merged - base), math.hypot(_rms(stored - base), _noise(merged, of), _ULP * _rms(base))
    beyond = 0.0 if exact or not rest else rest / allowed if allowed else math.inf
    return TensorReplay(name, kind, False, "other" if beyond > _BEYOND else "whole", exact, beyond=beyond)


def _noise(numbers: Matrix, of: Store) -> float:
    return _rms(of(numbers) - numbers)


def _rms(numbers: Matrix) -> float:
    return math.sqrt(_dot(numbers, numbers) / numbers.size)


def _dot(one: Matrix, other: Matrix) -> float:
    """Σ one·other, in float64 whatever the size."""
    first, second = one.reshape(-1), other.reshape(-1)
    steps = range(0, first.size, _CHUNK)
    return float(sum(np.vdot(first[i : i + _CHUNK].astype(float), second[i : i + _CHUNK].astype(float)) for i in steps))


def grain(numbers: Matrix, kind: str) -> str:
    """The coarsest of BF16, F16 and F32 that holds all of `numbers`, which are stored as the float type `kind`.

    Merging by transformers rounds to bfloat16, whatever type the converter stores afterwards.
    """
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    if not (bits & 0xFFFF).any():
        return "BF16"
    with np.errstate(over="ignore"):
        halves = kind == "F16" or bool((numbers.astype(np.float16) == numbers).all())
    return "F16" if halves else "F32"
