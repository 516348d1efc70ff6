"""aim: does the change that the adapter makes on its material lead to the material, or elsewhere?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.listing import too_few
from sway_gguf.core.measurement import Check, Item, Measurement
from sway_gguf.core.panel import panel_of
from sway_gguf.core.queries import Compare, Query
from sway_gguf.core.rules import Findings
from sway_gguf.core.sections import Section, distinct
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.lift import section_queries
from sway_gguf.probes.promise import HALF, NEARLY, Move, compared, move, surely_less
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS

_ELSEWHERE = "The adapter changes what the model makes of its training material, and mostly toward something else."


class AimOptions(ProbeOptions):
    """Fields of `aim`."""

    kind: Literal["aim"] = "aim"
    items: int = Field(default=12, ge=MIN_ITEMS, description="sections of the data, at most")
    max_prose_chars: int = Field(default=400, ge=32, description="of a section without a prompt, at most")


class Aim(Probe[AimOptions]):
    """Mean over sections of what their tokens gained less what the change promises there, nats per token.

    At each scored place the base predicts q and the tuned model p. A token drawn from p gains KL(p ‖ q) = E_p log p/q
    on the average: that is what the change promises. The text's own token gains log p/q, whose mean is the lift. Where
    p is the law of the text both agree. Where training stopped on the way there the text gains more than p promises:
    along q·e^(λf) the mean of f under p only rises up to the text's. A model that was trained on something else is sure
    of something else; whatever is likelier of this text on the way, most of what it promises is not kept.
    """

    kind = "aim"
    axis = "direction"
    question = "Does the change that it makes on its material lead there?"
    unit = "nats/token"
    passing = (
        "the material does not surely gain less than nine tenths of what the change promises (otherwise WARN; FAIL "
        "where it surely gains less than half)"
    )
    caveat = (
        "a change that leads there may come to nothing on text that was held out: see section_internalization. A small "
        "one promises next to nothing, by the square of its size, and passes wherever it leads."
    )
    options_type = AimOptions
    rule = Findings(answers=False)  # That the material gained beyond noise is for others to show.
    shows_nulls = False  # The promise is the view's own.

    @property
    def sections(self) -> list[Section]:
        """Of the data: what training on it would have taught."""
        cut = (self._cut(section) for section in distinct(self.sources.sections))
        return panel_of(list(cut), self.options.items, self.sources.seed)

    def _cut(self, section: Section) -> Section:
        return section if section.prompt else replace(section, text=section.text[: self.options.max_prose_chars])

    def missing(self) -> str:
        """Material."""
        return "" if self.sections else "give --data FILE with the text the adapter was trained on"

    def ask(self) -> Sequence[Query]:
        """Both distributions wherever a section is scored."""
        return [query for section in self.sections for query in _asked(section)]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """What was gained and promised, section by section."""
        sections = self.sections
        moves = [move(other, _asked(section)) for section in sections]
        items = tuple(
            Item(
                section.id,
                each.gained - each.promised,
                {"lift": each.gained, "promised": each.promised},
                asked=section.asked,
            )
            for section, each in zip(sections, moves, strict=True)
        )
        few = len(items) < MIN_ITEMS
        return Measurement(
            mean_of(items),
            items,
            checks=() if few else (_check(moves),),
            undecided=too_few(len(items), MIN_ITEMS, "section", "sections") if few else "",
            headline=_ELSEWHERE,
        )


def _asked(section: Section) -> list[Compare]:
    """What scores a section, as comparisons at the same places."""
    return [compared(query) for query in section_queries(section)]


def _check(moves: Sequence[Move]) -> Check:
    """Whether the sections surely gained less than nearly all that was promised, or than half of it."""
    gained, promised = (sum(values) / len(moves) for values in zip(*moves, strict=True))
    if not surely_less(moves, NEARLY):
        return Check("aim", True, f"the data's own tokens gained {gained:.2g} nats/token, {promised:.2g} were promised")
    told = f"its change promises {promised:.2g} nats/token where the data's own tokens gained {gained:.2g}"
    why = "it is surer of something else: trained on other text or in another manner, or over-scaled"
    return Check("aim", False, f"{told}; {why}", fails=surely_less(moves, HALF))
