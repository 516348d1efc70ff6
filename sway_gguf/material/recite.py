"""Passages to be recited, and how much of one a reply holds. Knows text and token ids only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Passage(NamedTuple):
    """A beginning, and what follows it in the source."""

    prefix: str
    rest: str


def passage(prompt: str, text: str, prefix_chars: int, rest_chars: int) -> Passage | None:
    """The beginning of a section, cut at a word, and what follows; a section's prompt is its beginning.

    None where too little follows for a recital to mean anything.
    """
    if prompt:
        prefix, rest = prompt, text
    else:
        cut = text.rfind(" ", 0, min(prefix_chars, len(text) // 2) + 1)
        if cut <= 0:
            return None
        prefix, rest = text[:cut], text[cut:]
    rest = rest[:rest_chars]
    return Passage(prefix, rest) if len(rest.split()) >= 4 else None


def longest_run(reply: Sequence[int], source: Sequence[int]) -> int:
    """Length of the longest stretch of `source` that stands in `reply` without a gap.

    By the usual table of common suffixes, row by row: time |reply|·|source|, memory |source|.
    """
    best, previous = 0, [0] * (len(source) + 1)
    for token in reply:
        current = [0] * (len(source) + 1)
        for place, wanted in enumerate(source, 1):
            if token == wanted:
                current[place] = previous[place - 1] + 1
                best = max(best, current[place])
        previous = current
    return best
