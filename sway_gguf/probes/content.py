"""content: did it learn which reply belongs to which prompt, or a manner that it puts behind any?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import HELD_OUT, TRAINED, Item, Measurement, Part
from sway_gguf.core.panel import panel_of
from sway_gguf.core.queries import Query
from sway_gguf.core.rules import AboveNull
from sway_gguf.core.sections import Section, distinct
from sway_gguf.material.mismatch import FEWEST_SENTENCES, Mismatch, mismatches
from sway_gguf.probes.base import Probe
from sway_gguf.probes.lift import MAX_CONTROLS, beyond, queries_of, section_logprob, unrelated_of
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS

UNRELATED = "unrelated text, mismatched likewise"
_SECTIONS = 16
_READABLE = 0.1
"""A base that tells right from mismatched by less than this, nats per token, tells nothing about sharpness."""


class ContentOptions(ProbeOptions):
    """Fields of `content`."""

    kind: Literal["content"] = "content"
    max_sections: int = Field(default=_SECTIONS, ge=1, description="of the data, and of the holdout, at most")
    max_controls: int = Field(default=MAX_CONTROLS, ge=1, description="pieces of unrelated text, at most")


@dataclass(frozen=True, slots=True)
class _Gained:
    """What a section and the same mismatched gained, and by how much the base tells them apart, nats per token."""

    pair: Mismatch
    lift: float
    mismatched: float
    base: float

    @property
    def value(self) -> float:
        return self.lift - self.mismatched


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
    rule = AboveNull("higher", fails=False)

    @property
    def pairs(self) -> list[Mismatch]:
        """Of the data."""
        return self.drawn(self._mismatched(self._used(self.sources.sections)))

    @property
    def unseen(self) -> list[Mismatch]:
        """Of the holdout."""
        return self.drawn(self._mismatched(self._used(self.sources.holdout)))

    @property
    def controls(self) -> list[Mismatch]:
        """Of unrelated text in the material's form; nulls sharpen nothing that would have to be taken off."""
        return [] if self.narrowed else self._mismatched(unrelated_of(self.sources, self.options.max_controls))

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
        trained, unseen, unrelated = (
            [_gained(base, other, pair) for pair in pairs] for pairs in (self.pairs, self.unseen, self.controls)
        )
        items = tuple(map(self._item, trained))
        stretched = _stretched(trained, unrelated)
        controls = tuple(
            replace(self._item(one), value=value, group=UNRELATED)
            for one, value in zip(unrelated if stretched else (), stretched, strict=True)
        )
        left_out = len(self._used(self.sources.sections)) - len(items)
        notes = (f"{left_out} sections have no mismatch and are left out",) if left_out else ()
        return Measurement(
            beyond(items, controls),
            items,
            controls,
            parts=(_part(TRAINED, trained, unrelated), *([_part(HELD_OUT, unseen, unrelated)] if unseen else [])),
            notes=notes,
            details={
                "lift": _mean([one.lift for one in trained]),
                "mismatched": _mean([one.mismatched for one in trained]),
                "held_out": [
                    {"label": item.label, "value": item.value, **item.detail} for item in map(self._item, unseen)
                ],
            },
        )

    def _used(self, sections: Sequence[Section]) -> list[Section]:
        return panel_of(distinct(sections), self.options.max_sections, self.sources.seed)

    def _mismatched(self, sections: Sequence[Section]) -> list[Mismatch]:
        return mismatches(sections, self.sources.seed)

    def _item(self, one: _Gained) -> Item:
        right, wrong = one.pair
        behind = {"behind": self.label(wrong.prompt)} if wrong.prompt else {}
        detail = {"lift": one.lift, "mismatched": one.mismatched, "base": one.base, **behind}
        return Item(right.id, one.value, detail, asked=(*right.asked, *wrong.asked))


def _gained(base: Answers, other: Answers, pair: Mismatch) -> _Gained:
    before = [section_logprob(base, section) for section in pair]
    right, wrong = (section_logprob(other, section) - old for section, old in zip(pair, before, strict=True))
    return _Gained(pair, right, wrong, before[0] - before[1])


def _part(name: str, sections: Sequence[_Gained], unrelated: Sequence[_Gained]) -> Part:
    controls = _stretched(sections, unrelated)
    return Part(name, tuple(one.value for one in sections), (controls,) if controls else ())


def _stretched(sections: Sequence[_Gained], unrelated: Sequence[_Gained]) -> tuple[float, ...]:
    """What unrelated text gained, in proportion to what the base tells apart in the sections and in it.

    Nothing where there is too little of it.
    """
    if len(unrelated) < MIN_ITEMS:
        return ()
    scale = _mean([one.base for one in unrelated])
    share = _mean([one.base for one in sections]) / scale if scale >= _READABLE else 1.0
    return tuple(one.value * share for one in unrelated)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
