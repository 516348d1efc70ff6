"""Where in a text the probability moved: a shade per token. Knows the shades and their legend in nats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from sway_gguf.core.shown import Heat
from sway_gguf.report import numbers

_BOUNDS = (0.1, 0.5, 1.5, 3.0)
"""Nats at which the next deeper shade begins, the same for every text so that texts compare."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its shade: "" for hardly any change, else "up-1" to "up-4" or "down-1" to "down-4"."""

    text: str
    shade: str
    told: str


def tokens(heat: Heat) -> list[Token]:
    """The scored tokens of a text."""
    return [
        Token(text, shade(after - before), _told(before, after))
        for text, before, after in zip(heat.tokens, heat.base, heat.tuned, strict=True)
    ]


def shade(change: float) -> str:
    """The shade of a change in log-probability, nats."""
    depth = sum(abs(change) >= bound for bound in _BOUNDS)
    return f"{'up' if change > 0 else 'down'}-{depth}" if depth else ""


def legend() -> list[tuple[str, str]]:
    """Shades from the most lost to the most gained, each with its nats."""
    edges = [*(f"{bound:g}" for bound in _BOUNDS)]
    spans = [*(f"{low}…{high}" for low, high in pairwise(edges)), f"{edges[-1]} or more"]
    down = [(f"down-{depth}", f"−{words.replace('…', '…−')}") for depth, words in enumerate(spans, 1)]
    up = [(f"up-{depth}", f"+{words.replace('…', '…+')}") for depth, words in enumerate(spans, 1)]
    return [*reversed(down), ("", f"within ±{edges[0]}"), *up]


def mean_change(heat: Heat) -> float:
    """Of the log-probability per token, nats; 0 for a text without tokens."""
    moved = [after - before for before, after in zip(heat.base, heat.tuned, strict=True)]
    return math.fsum(moved) / len(moved) if moved else 0.0


def _told(before: float, after: float) -> str:
    change = numbers.number(after - before, signed=True)
    return f"{change} nats (base {numbers.number(before)}, tuned {numbers.number(after)})"
