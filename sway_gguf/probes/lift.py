"""Lift: how much likelier, per token, one view finds a text than the base does. Knows answers, not probes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Item
from sway_gguf.core.queries import Completion, Query, Rolling, shorten
from sway_gguf.core.sections import Section


def distinct_sections(sections: Sequence[Section]) -> list[Section]:
    """Each id once, the last section of an id in the place of its first."""
    return list({section.id: section for section in sections}.values())


def section_query(section: Section) -> Query:
    """What to ask about a section: its completion after the prompt, or its text as a whole."""
    return Completion(section.prompt, section.text) if section.prompt else Rolling(section.text)


def section_logprob(answers: Answers, section: Section) -> float:
    """Mean log-probability per token of a section, nats."""
    if section.prompt:
        return answers.completion(section.prompt, section.text).mean_logprob
    return answers.rolling(section.text).mean_logprob


def section_lift(base: Answers, other: Answers, section: Section) -> Item:
    """Change in mean log-probability per token, nats."""
    before, after = section_logprob(base, section), section_logprob(other, section)
    return Item(section.id, after - before, {"base": before, "other": after})


def text_lifts(base: Answers, other: Answers, texts: Sequence[str]) -> tuple[Item, ...]:
    """The same for whole texts; the label is a text's beginning."""
    items = []
    for text in texts:
        before, after = base.rolling(text).mean_logprob, other.rolling(text).mean_logprob
        detail = {"base": before, "other": after, "bits_per_byte": bits_per_byte(base, text)}
        items.append(Item(shorten(text), after - before, detail))
    return tuple(items)


def bits_per_byte(answers: Answers, text: str) -> float:
    """−log₂ p(text) per byte of UTF-8: how well a view models a text, whatever its tokenizer."""
    return bits_of(answers.rolling(text).total_logprob, text)


def bits_of(logprob: float, text: str) -> float:
    """The same from a text's log-probability in nats."""
    return -logprob / math.log(2) / max(1, len(text.encode("utf-8", "replace")))
