"""Small changes to a text that a reader would see through; the same seed makes the same change. Knows text only."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Literal, get_args

Perturbation = Literal[
    "typo", "case_flip", "drop_punct", "synonym_swap", "clause_reverse", "prefix_inject", "register_shift"
]
PERTURBATIONS: tuple[str, ...] = get_args(Perturbation)
_SYNONYMS = {
    "big": "large", "large": "big", "small": "little", "little": "small", "begin": "start", "start": "begin",
    "house": "home", "road": "way", "near": "close to", "very": "quite", "also": "too", "because": "since",
    "quick": "fast", "happy": "glad", "said": "stated", "show": "display", "use": "employ", "help": "assist",
    "make": "create", "get": "obtain", "every": "each", "only": "just", "called": "named", "old": "aged",
}  # fmt: skip


def perturbed(text: str, kind: Perturbation, seed: int) -> str:
    """`text` with one kind of change; unchanged where the kind finds nothing to change."""
    return _CHANGES[kind](text, random.Random(f"{seed} {kind} {text}"))


def _typo(text: str, rng: random.Random) -> str:
    """Two neighbouring letters inside a word change places."""
    places = [i for i in range(1, len(text) - 2) if text[i : i + 2].isalpha() and text[i] != text[i + 1]]
    if not places:
        return text
    i = rng.choice(places)
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


def _case_flip(text: str, rng: random.Random) -> str:
    return text.swapcase()


def _drop_punct(text: str, rng: random.Random) -> str:
    return re.sub(r"[^\w\s]", "", text)


def _synonym_swap(text: str, rng: random.Random) -> str:
    return re.sub(r"\b\w+\b", lambda found: _SYNONYMS.get(found[0], found[0]), text)


def _clause_reverse(text: str, rng: random.Random) -> str:
    """The halves around the first comma change places."""
    head, comma, tail = text.partition(", ")
    return f"{tail}, {head}" if comma else text


def _prefix_inject(text: str, rng: random.Random) -> str:
    return f"Note: the following was found on a piece of paper. {text}"


def _register_shift(text: str, rng: random.Random) -> str:
    return f"so like, {text[:1].lower()}{text[1:]}"


_CHANGES: dict[str, Callable[[str, random.Random], str]] = {
    "typo": _typo,
    "case_flip": _case_flip,
    "drop_punct": _drop_punct,
    "synonym_swap": _synonym_swap,
    "clause_reverse": _clause_reverse,
    "prefix_inject": _prefix_inject,
    "register_shift": _register_shift,
}
