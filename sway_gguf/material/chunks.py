"""Cuts text into what a probe scores: chunks of prose, and prompts that stop in mid-sentence. Knows text only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from sway_gguf.core.panel import sample_of
from sway_gguf.core.sections import Section
from sway_gguf.material.read import paragraphs

Item = TypeVar("Item")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*(\s+)")


def chunk(text: str, size: int) -> list[str]:
    """Pieces of about `size` characters: paragraphs joined while they fit, long ones cut between sentences.

    A last piece shorter than a quarter of `size` is dropped unless it is the only one.

    Raises:
        ValueError: `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"chunks of {size} characters hold nothing")
    pieces: list[str] = []
    for part in _parts(text, size):
        if pieces and len(pieces[-1]) + len(part[0]) + len(part[1]) <= size:
            pieces[-1] += part[0] + part[1]
        else:
            pieces.append(part[1])
    if len(pieces) > 1 and len(pieces[-1]) < size // 4:
        pieces.pop()
    return pieces


def _parts(text: str, size: int) -> Iterable[tuple[str, str]]:
    """(separator before, text) of paragraphs, or of their sentences where they are too long."""
    for paragraph in paragraphs(text):
        if len(paragraph) <= size:
            yield "\n\n", paragraph
            continue
        for index, sentence in enumerate(sentences(paragraph)):
            for start in range(0, len(sentence), size):
                yield ("\n\n" if index == 0 and start == 0 else " "), sentence[start : start + size]


def sentences(text: str) -> list[str]:
    """`text` cut at the white space behind a sentence's end; closing quotes and brackets stay with their sentence."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        found.append(text[start : end.start(1)])
        start = end.end()
    return [*found, text[start:]]


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of `items`, evenly spaced, order kept."""
    if len(items) <= most:
        return list(items)
    return [items[(index * len(items)) // most] for index in range(most)]


def prompts_from(sections: Sequence[Section], most: int) -> list[str]:
    """Prompts that ask for what the sections say.

    A section with a prompt gives that; prose gives its opening up to the middle of a sentence, once or twice.
    Duplicates are dropped.
    """
    found: dict[str, None] = {}
    each = 2 if len(sections) * 2 <= most else 1
    for section in sections:
        if section.prompt:
            found[section.prompt] = None
        else:
            found.update(dict.fromkeys(_openings(section.text, each)))
    return sample_of(list(found), most)


def _openings(text: str, count: int) -> list[str]:
    """Starts of `text` that end in the middle of a sentence: of the first, and of one halfway."""
    found = [s for s in sentences(text.strip()) if s.strip()]
    openings = []
    for index in sorted({(k * len(found)) // count for k in range(count)}):
        words = found[index].split()
        if len(words) >= 4:
            before = " ".join(found[:index])
            openings.append(f"{before} {' '.join(words[: (len(words) + 1) // 2])}".strip())
    return openings
