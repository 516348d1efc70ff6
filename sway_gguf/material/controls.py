"""Text to hold the user's material against: unrelated text of the same form, and the material's own words shuffled.

What an adapter does to all text, or to these words in any order, it does to these. Knows text only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from sway_gguf.core.sections import Section
from sway_gguf.material.chunks import spread

_FEW = 5
"""Fewer exchanges of the user's own give no interval; the packaged ones take their place."""

_SHUFFLED_WORDS, _SCRAMBLED_WORDS = 32, 8
_FEWEST = 4
"""Fewer words, or letters, have too few other orders."""

_HALF_WORDS = 20


class Pair(NamedTuple):
    """A beginning, its right continuation, and the words of that shuffled."""

    prompt: str
    right: str
    wrong: str


def unrelated(
    material: Sequence[Section],
    general: Sequence[Section],
    pieces: Sequence[str],
    packaged: Callable[[str], tuple[Section, ...]],
) -> tuple[Section, ...]:
    """Unrelated text in the form that most of the material has: prompts with replies, or prose.

    Args:
        material: what the adapter was trained on.
        general: the user's general text, as read.
        pieces: general text cut up as prose.
        packaged: gives prompts with replies that ship with the package, in a form.
    """
    forms = [section.form for section in material]
    usual = max(dict.fromkeys(forms), key=forms.count, default="")
    if usual:
        own = tuple(section for section in general if section.prompt)
        return own if len(own) >= _FEW else packaged(usual)
    return prose(pieces)


def prose(pieces: Sequence[str]) -> tuple[Section, ...]:
    """Pieces of general text as sections."""
    return tuple(Section(f"general {number}", piece) for number, piece in enumerate(pieces, 1))


def shuffled(sections: Sequence[Section], seed: int) -> tuple[Section, ...]:
    """The first words of each section in another order: the same words, saying nothing. Few words are left out."""
    found = []
    for section in sections:
        words = section.text.split()[:_SHUFFLED_WORDS]
        mixed = list(_mixed(tuple(words), f"{seed} {section.text}"))
        if len(words) >= _FEWEST and mixed != words:
            found.append(_with_words(section, mixed))
    return tuple(found)


def scrambled(sections: Sequence[Section], seed: int) -> tuple[Section, ...]:
    """The first words of each section with their letters in another order, which no model finds likely."""
    found = []
    for section in sections:
        words = section.text.split()[:_SCRAMBLED_WORDS]
        mixed = ["".join(_mixed(tuple(word), f"{seed} {word}")) for word in words]
        if max(map(len, words), default=0) >= _FEWEST and mixed != words:
            found.append(_with_words(section, mixed))
    return tuple(found)


@lru_cache(maxsize=1 << 14)
def _mixed(parts: tuple[str, ...], seed: str) -> tuple[str, ...]:
    """Every view is asked about the same mixtures, and seeding a generator takes longer than mixing a word."""
    return tuple(random.Random(seed).sample(parts, len(parts)))


def _with_words(section: Section, words: Sequence[str]) -> Section:
    """The section with these words; what follows a prompt goes on beginning as it did."""
    lead = " " if section.text[:1].isspace() else ""
    return replace(section, text=lead + " ".join(words), replies=())


def pairs(texts: Sequence[str], most: int, seed: int) -> list[Pair]:
    """Beginnings of texts with what follows, in order and shuffled. Texts too short for both are left out."""
    found = []
    for text in texts:
        words = text.split()
        after = words[_HALF_WORDS : 2 * _HALF_WORDS]
        if len(after) == _HALF_WORDS:
            mixed = _mixed(tuple(after), f"{seed} {text}")
            found.append(Pair(" ".join(words[:_HALF_WORDS]), " " + " ".join(after), " " + " ".join(mixed)))
    return spread(found, most)
