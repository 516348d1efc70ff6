"""The user's own text put together wrongly: a reply behind another item's prompt, sentences in another order.

Both keep every word and all of the manner; what is lost is which belongs to which. Knows text only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sway_gguf.core.sections import Section
from sway_gguf.material.chunks import sentences

FEWEST_SENTENCES = 3
"""Fewer sentences have too few other orders."""


class Mismatch(NamedTuple):
    """A section as it is, and put together wrongly. Of a dialogue, its last reply stands for it."""

    right: Section
    wrong: Section


def mismatches(sections: Sequence[Section], seed: int) -> list[Mismatch]:
    """Each section with its mismatch, order kept; those that have none are left out.

    A section has none where its prompt and reply are those of all others, or its prose is of fewer than
    `FEWEST_SENTENCES` sentences.
    """
    behind = _behind_others([section for section in sections if section.prompt], seed)
    found = []
    for section in sections:
        wrong = behind.get(section) if section.prompt else _reordered(section, seed)
        if wrong:
            found.append(Mismatch(replace(section, replies=()), wrong))
    return found


def _behind_others(sections: Sequence[Section], seed: int) -> dict[Section, Section]:
    """Each section's reply behind another one's prompt; every prompt is used once at most.

    The sections in an order by seed stand in a ring, and each takes the prompt so many places on. The distance is the
    one that puts most replies behind the prompt of a different reply.
    """
    ring = random.Random(f"{seed} ring").sample(list(sections), len(sections))
    turns = [list(zip(ring, [*ring[turn:], *ring[:turn]], strict=True)) for turn in range(1, len(ring))]
    best = max(turns, key=lambda turn: sum(_differ(*both) for both in turn), default=[])
    return {own: Section(own.id, own.text, other.prompt, own.form, ending=own.ending) for own, other in best
            if _differ(own, other)}  # fmt: skip


def _differ(one: Section, other: Section) -> bool:
    return one.prompt != other.prompt and one.text.split() != other.text.split()


def _reordered(section: Section, seed: int) -> Section | None:
    """The section's sentences in another order, with the white space between them where it was."""
    parts = [part for part in sentences(section.text) if part.strip()]
    if len(parts) < FEWEST_SENTENCES:
        return None
    rng, mixed = random.Random(f"{seed} {section.text}"), list(parts)
    for _ in range(len(parts)):
        rng.shuffle(mixed)
        if mixed != parts:
            break
    text, place = "", 0
    for own, put in zip(parts, mixed, strict=True):
        start = section.text.index(own, place)
        text += section.text[place:start] + put
        place = start + len(own)
    return replace(section, text=text + section.text[place:]) if mixed != parts else None
