"""Cuts text into what a probe scores: chunks of prose, and prompts that stop in mid-sentence. Knows text only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from sway_gguf.core.panel import sample_of
from sway_gguf.core.sections import Section
from sway_gguf.material.read import paragraphs

Item = TypeVar("Item")
_FEWEST_WORDS = 4
"""Of a sentence that a prompt stops in."""
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

    A section with a prompt gives that; prose gives its opening up to the middle of a sentence, once or twice. Where
    several texts open alike, as dialogues written out behind one system prompt do, each goes on until it is alone.
    Duplicates are dropped.
    """
    found = dict.fromkeys(section.prompt for section in sections if section.prompt)
    each = 2 if len(sections) * 2 <= most else 1
    prose = dict.fromkeys(section.text for section in sections if not section.prompt)
    going = [("", stops) for text in prose for stops in _openings(text, each)]
    while going:
        here = [(next(stops, ""), before, stops) for before, stops in going]
        alike = Counter(opening for opening, _, _ in here)
        ended = (opening or before for opening, before, _ in here if not opening or alike[opening] == 1)
        found.update(dict.fromkeys(filter(None, ended)))
        going = [(opening, stops) for opening, _, stops in here if opening and alike[opening] > 1]
    return sample_of(list(found), most)


def _openings(text: str, count: int) -> list[Iterator[str]]:
    """Starts of `text` that end in the middle of a sentence, ever longer: from the first on, and from one halfway."""
    found = [s for s in sentences(text.strip()) if s.strip()]
    return [_longer(found, start) for start in sorted({(k * len(found)) // count for k in range(count)})]


def _longer(parts: Sequence[str], start: int) -> Iterator[str]:
    """Openings up to the middle of each sentence from `start` on; none where that one has too few words."""
    for index in range(start, len(parts)):
        words = parts[index].split()
        if len(words) >= _FEWEST_WORDS:
            yield f"{' '.join(parts[:index])} {' '.join(words[: (len(words) + 1) // 2])}".strip()
        elif index == start:
            return
