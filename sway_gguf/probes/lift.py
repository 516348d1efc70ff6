"""Lift: how much likelier, per token, one view finds a text than the base does. Knows answers, not probes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Item, grouped
from sway_gguf.core.panel import panel_of
from sway_gguf.core.queries import Completion, Query, Rolling, Spans, shorten
from sway_gguf.core.sections import Section
from sway_gguf.material.chunks import spread
from sway_gguf.material.controls import prose, scrambled, shuffled
from sway_gguf.probes.base import Sources
from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.interval import MIN_ITEMS

UNRELATED, SHUFFLED, SCRAMBLED = "unrelated text", "shuffled words", "shuffled letters"
MAX_CONTROLS = 8
"""Pieces of other text per group, unless a probe's options say otherwise."""


def section_queries(section: Section) -> tuple[Spans | Completion | Rolling, ...]:
    """What to ask about a section: a dialogue's replies, its completion after the prompt, or its text as a whole."""
    if section.replies:
        return section.replies
    if section.prompt:
        return (Completion(section.prompt, section.reply),)
    return (Rolling(section.text),)


def section_logprob(answers: Answers, section: Section) -> float:
    """Mean log-probability per scored token of a section, nats."""
    if section.replies:
        parts = [answers.spans(query) for query in section.replies]
        return sum(part.logprob for part in parts) / sum(part.num_tokens for part in parts)
    if section.prompt:
        return answers.completion(section.prompt, section.reply).mean_logprob
    return answers.rolling(section.text).mean_logprob


def section_logprobs(answers: Answers, section: Section) -> Sequence[float]:
    """Log-probability of each scored token of a section, nats; none where the backend tells no tokens."""
    if section.replies:
        return [each for query in section.replies for each in answers.spans(query).logprobs]
    if section.prompt:
        return answers.completion(section.prompt, section.reply).logprobs
    return [float(each) for each in answers.rolling(section.text).logprobs]


def queries_of(sections: Iterable[Section]) -> list[Query]:
    """All that is to be asked about sections."""
    return [query for section in sections for query in section_queries(section)]


def section_lift(base: Answers, other: Answers, section: Section) -> Item:
    """Change in mean log-probability per token, nats."""
    before, after = section_logprob(base, section), section_logprob(other, section)
    return Item(section.id, after - before, {"base": before, "other": after}, asked=section.asked)


def controls_of(sources: Sources, sections: Sequence[Section], most: int) -> dict[str, list[Section]]:
    """Text to compare with, by group: unrelated text of the material's form, and the sections' words, letters shuffled.

    The groups reach from what a base finds likely to what it finds least likely. A view whose predictions are only
    flatter than the base's makes every unlikely text likelier, one whose are only sharper every likely one; one that
    came to like some words likes them in any order. A shuffled group too small for an interval is left out. The
    sections whose words are shuffled are those of the panel, so that they stand behind prompts that are asked anyway.
    """
    own = panel_of(sections, most, sources.seed)
    groups = {
        UNRELATED: unrelated_of(sources, most),
        SHUFFLED: list(shuffled(own, sources.seed)),
        SCRAMBLED: list(scrambled(own, sources.seed)),
    }
    return {name: group for name, group in groups.items() if name == UNRELATED or len(group) >= MIN_ITEMS}


def unrelated_of(sources: Sources, most: int) -> list[Section]:
    """Unrelated text in the form of the material. Who asks for less of it asks for what others ask as well."""
    usual = spread(sources.controls or prose(sources.general), max(most, MAX_CONTROLS))
    return spread(usual, most)


def control_lifts(base: Answers, other: Answers, controls: dict[str, list[Section]]) -> tuple[Item, ...]:
    """Lifts of all controls, each in its group."""
    return tuple(
        replace(section_lift(base, other, section), group=group, label=shorten(section.text))
        for group, sections in controls.items()
        for section in sections
    )


def beyond(items: Sequence[Item], controls: Sequence[Item]) -> float:
    """Mean of the items less what the controls gained."""
    return float(contrast([item.value for item in items], grouped(controls))) if items else 0.0


def text_lifts(base: Answers, other: Answers, texts: Sequence[str]) -> tuple[Item, ...]:
    """Lifts of whole texts, with what the base makes of each; the label is a text's beginning."""
    items = []
    for text in texts:
        before, after = base.rolling(text).mean_logprob, other.rolling(text).mean_logprob
        detail = {"base": before, "other": after, "bits_per_byte": bits_per_byte(base, text)}
        items.append(Item(shorten(text), after - before, detail, asked=(text,)))
    return tuple(items)


def bits_per_byte(answers: Answers, text: str) -> float:
    """−log₂ p(text) per byte of UTF-8: how well a view models a text, whatever its tokenizer."""
    return bits_of(answers.rolling(text).total_logprob, text)


def bits_of(logprob: float, text: str) -> float:
    """The same from a text's log-probability in nats."""
    return -logprob / math.log(2) / max(1, len(text.encode("utf-8", "replace")))
