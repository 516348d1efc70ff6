"""Which words of two replies are the same. Knows words; nothing of models."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_MOST = 1500


def word_diff(base: str, tuned: str) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
    """Both texts in pieces; a piece is marked where the other text has not these words in this place.

    Replies too long to compare come back in one unmarked piece each.
    """
    first, second = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (base, tuned))
    if len(first) > _MOST or len(second) > _MOST:
        return [(False, base)], [(False, tuned)]
    left: list[tuple[bool, str]] = []
    right: list[tuple[bool, str]] = []
    for kind, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        left += [(kind != "equal", "".join(first[a:b]))] if b > a else []
        right += [(kind != "equal", "".join(second[c:d]))] if d > c else []
    return left, right
