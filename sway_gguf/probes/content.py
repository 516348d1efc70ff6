"""content: did it learn which reply belongs to which prompt, or a manner that it puts behind any?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import HELD_OUT, TRAINED, Item, Measurement, Part
from sway_gguf.core.queries import Query
from sway_gguf.core.rules import AboveNull, Rule
from sway_gguf.core.sections import Section, distinct
from sway_gguf.material.chunks import spread
from sway_gguf.material.mismatch import FEWEST_SENTENCES, Mismatch, mismatches
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.lift import MAX_CONTROLS, beyond, queries_of, section_logprob, unrelated_of
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.bootstrap import MIN_ITEMS

UNRELATED = "unrelated text, mismatched likewise"
_SECTIONS = 16
_READABLE = 0.1
"""A base that tells right from mismatched by less than this, nats per token, tells nothing about sharpness."""


class ContentOptions(ProbeOptions):
    """Fields of `content`."""

    kind: Literal["content"] = "content"
    max_sections: int = Field(default=_SECTIONS, ge=1, description="of the data, and of the holdout, at most")
    max_controls: int = Field(default=MAX_CONTROLS, ge=1, description="pieces of unrelated text, at most")


class Content(Probe[ContentOptions]):
    """Mean over sections of lift(section) − lift(the same mismatched), less what unrelated text gained likewise.

    Mismatched is a reply behind another item's prompt, and prose with its own sentences in another order: every word
    and all of the manner are still there, and what belongs to what is lost. A manner is lifted behind any prompt, so
    it takes itself off. Pairs are chosen by seed, each prompt used once, a different reply behind it; of a dialogue
    the last reply is taken.

    Predictions that are only sharper than the base's stretch what it tells apart already. So the same is measured on
    unrelated text of the material's form, and what it gained is taken off, in proportion to how well the base tells
    right from mismatched in either. Held-out text, where there is any, stands beside: it says whether the content
    reaches beyond the text that was trained on. A good adapter may have learned a manner alone, so a miss warns.
    """

    kind = "content"
    axis = "direction"
    question = "Did it learn which reply belongs to which prompt, or a manner for any?"
    unit = "nats/token"
    passing = "the whole interval lies above zero, and the value beats every null and chance (WARN otherwise)"
    caveat = "a reply that takes up words of its prompt belongs to it as well; it need hold no fact that was learned."
    options_type = ContentOptions
    quick_options: ClassVar[Mapping[str, Any]] = {"max_sections": 8, "max_controls": 5}

    @property
    def rule(self) -> Rule:
        """Against the nulls, without failing."""
        return AboveNull("higher", fails=False)

    @property
    def pairs(self) -> list[Mismatch]:
        """Of the data."""
        return self._mismatched(self._used(self.sources.sections))

    @property
    def unseen(self) -> list[Mismatch]:
        """Of the holdout."""
        return self._mismatched(self._used(self.sources.holdout))

    @property
    def controls(self) -> list[Mismatch]:
        """Of unrelated text in the material's form."""
        return self._mismatched(unrelated_of(self.sources, self.options.max_controls))

    def missing(self) -> str:
        """Pairs."""
        if not self.sources.sections:
            return "give --data FILE with the text the adapter was trained on"
        if self.pairs:
            return ""
        return f"give --data with replies that differ, or prose of {FEWEST_SENTENCES} sentences and more in a section"

    def ask(self) -> Sequence[Query]:
        """Scores of everything as it is and mismatched."""
        return queries_of(chain.from_iterable((*self.pairs, *self.unseen, *self.controls)))

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """How much more the right ones gained than the mismatched."""
        items = tuple(self._item(base, other, pair) for pair in self.pairs)
        unseen = tuple(self._item(base, other, pair) for pair in self.unseen)
        unrelated = tuple(self._item(base, other, pair) for pair in self.controls)
        controls = _stretched(items, unrelated)
        left_out = len(self._used(self.sources.sections)) - len(items)
        notes = (f"{left_out} sections have no mismatch and are left out",) if left_out else ()
        return Measurement(
            beyond(items, controls),
            items,
            controls,
            parts=(_part(TRAINED, items, unrelated), *([_part(HELD_OUT, unseen, unrelated)] if unseen else [])),
            notes=notes,
            details={
                "lift": _mean_detail(items, "lift"),
                "mismatched": _mean_detail(items, "mismatched"),
                "held_out": [{"label": item.label, "value": item.value, **item.detail} for item in unseen],
            },
        )

    def _used(self, sections: Sequence[Section]) -> list[Section]:
        return spread(distinct(sections), self.options.max_sections)

    def _mismatched(self, sections: Sequence[Section]) -> list[Mismatch]:
        return mismatches(sections, self.sources.seed)

    def _item(self, base: Answers, other: Answers, pair: Mismatch) -> Item:
        before = [section_logprob(base, section) for section in pair]
        right, wrong = (section_logprob(other, section) - old for section, old in zip(pair, before, strict=True))
        detail: dict[str, float | str] = {"lift": right, "mismatched": wrong, "base": before[0] - before[1]}
        if pair.wrong.prompt:
            detail["behind"] = self.label(pair.wrong.prompt)
        return Item(pair.right.id, right - wrong, detail, asked=(*pair.right.asked, *pair.wrong.asked))


def _part(name: str, items: Sequence[Item], unrelated: Sequence[Item]) -> Part:
    controls = tuple(control.value for control in _stretched(items, unrelated))
    return Part(name, tuple(item.value for item in items), (controls,) if controls else ())


def _stretched(items: Sequence[Item], unrelated: Sequence[Item]) -> tuple[Item, ...]:
    """What unrelated text gained, in proportion to what the base tells apart in the items and in it."""
    if len(unrelated) < MIN_ITEMS:
        return ()
    scale = _mean_detail(unrelated, "base")
    share = _mean_detail(items, "base") / scale if scale >= _READABLE else 1.0
    return tuple(replace(item, value=item.value * share, group=UNRELATED) for item in unrelated)


def _mean_detail(items: Sequence[Item], key: str) -> float:
    return mean_of([Item(item.label, float(item.detail[key])) for item in items])
