"""Scales λ of an adapter as a user writes them: 0.25..1.25, or 0.5,0.8,1. Knows words and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sway_gguf.core.errors import UserError

STEP = 0.25
MOST, LARGEST = 32, 64.0


def scales_of(text: str, where: str = "--scales") -> tuple[float, ...]:
    """Scales in ascending order, each once: numbers and ranges FROM..TO or FROM..TO:STEP, parted by commas.

    Args:
        text: as written; a range goes by steps of 0.25 where it names none, and always holds both its ends.
        where: for errors.

    Raises:
        UserError: no such thing, a scale that is not above 0 or beyond 64, or more than 32 of them.
    """
    found: set[float] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        found |= set(_range(part, text, where) if ".." in part else [_number(part, text, where)])
        if len(found) > MOST:
            raise UserError(f"{where} {text}: more than {MOST} scales; take larger steps, as in 0.25..1.25:0.5")
    if not found:
        raise UserError(f"{where} {text!r}: no scale; write 0.25..1.25, or 0.5,0.8,1")
    return tuple(sorted(found))


def _range(part: str, text: str, where: str) -> list[float]:
    ends, _, step_text = part.partition(":")
    low, high = (_number(end, text, where) for end in ends.split("..", 1))
    step = _number(step_text, text, where) if step_text else STEP
    if high < low:
        raise UserError(f"{where} {text}: {part} runs downward; write the smaller scale first")
    count = math.floor(min((high - low) / step, MOST))
    return [low, *(round(low + step * place, 9) for place in range(1, count + 1)), high]


def nearest_to_one(scales: Iterable[float]) -> float:
    """That at which an adapter was most likely trained to run; 1 where there is none."""
    return min(scales, key=lambda scale: abs(scale - 1), default=1.0)


def _number(word: str, text: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise UserError(f"{where} {text}: {word.strip()!r} is no scale; write 0.25..1.25, or 0.5,0.8,1") from None
    if not 0 < value <= LARGEST:
        raise UserError(f"{where} {text}: a scale lies above 0 and at most at {LARGEST:g}, not at {value:g}")
    return value
