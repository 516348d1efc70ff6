"""section_internalization: did the model move toward each section it was trained on, more than toward anything?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import BEYOND, GAP, HELD_OUT, TRAINED, Item, Measurement, Part, checked, grouped
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Query
from sway_gguf.core.sections import Section, distinct
from sway_gguf.probes.base import CONTROLS, Probe, mean_of
from sway_gguf.probes.carried import carried_by_one, carried_by_one_reply, shared_replies
from sway_gguf.probes.lift import (
    MAX_CONTROLS,
    UNRELATED,
    beyond,
    control_lifts,
    controls_of,
    queries_of,
    section_lift,
)
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS

BY_HEART = "its training text passes, held-out text does not"


class SectionInternalizationOptions(ProbeOptions):
    """Fields of `section_internalization`."""

    kind: Literal["section_internalization"] = "section_internalization"
    max_sections: int = Field(default=32, ge=1, description="at most so many, drawn by their content")
    max_controls: int = Field(default=MAX_CONTROLS, ge=1, description="pieces of unrelated text")
    max_prose_chars: int | None = Field(default=None, ge=32, description="of a section without a prompt, at most")
    per_section_threshold: float = Field(default=0.05, description="lift beyond the controls that counts as learned")
    assert_passing_section_frac: float = Field(default=0.5, ge=0, le=1, description="sections that must be learned")


class SectionInternalization(Probe[SectionInternalizationOptions]):
    """Mean lift of the sections, less what other text gained: mean(lift) − max(0, largest mean of a group).

    The sections are those of the holdout, text like the material that was kept out of training, where it has five or
    more, and else the material's own. Beside the value stand the lift of the text trained on, that of the held-out
    text, and the gap between the two: what was learned, and what only by heart. Where the text trained on gained and
    the held-out text did not, the probe warns and says so.

    The lift of a text is the change in its mean log-probability per token, in nats, from base to tuned. The controls
    are unrelated text in the material's form, and the material's own words, and letters, in another order: what an
    adapter does to any text, to any unlikely text, or to these words wherever they stand, is not what the material
    says. Only the gain of the group that gained most is taken off; what they lost is damage and makes nothing of a
    section. Where one token of each section carries the lift, such as its end, or one reply that several prompts have,
    the probe warns. How many sections were learned, and the contrast of each with the mean of the others, as
    attribution, are always those of the text trained on; the mean contrast is zero for every adapter, so it decides
    nothing.
    """

    kind = "section_internalization"
    axis = "direction"
    question = "Did the model move toward the sections it was trained on, more than toward unrelated text?"
    unit = "nats/token"
    passing = "the whole interval lies above zero, and the lift beats every null and chance over all probes"
    caveat = "likelier text is not recited or understood text; leakage and paraphrases look at those."
    options_type = SectionInternalizationOptions
    retired: ClassVar[Mapping[str, str]] = {
        "assert_z_gte": "z is shown, never the gate",
        "include_kinds": "all sections of the data take part",
    }

    @property
    def sections(self) -> tuple[Section, ...]:
        """Of the data."""
        return tuple(self.drawn(self._used(self.sources.sections)))

    @property
    def unseen(self) -> tuple[Section, ...]:
        """Of the holdout."""
        return tuple(self.drawn(self._used(self.sources.holdout)))

    @property
    def leads(self) -> bool:
        """Whether the holdout has enough for a verdict; the value is its then."""
        return len(self._used(self.sources.holdout)) >= MIN_ITEMS

    @property
    def controls(self) -> dict[str, list[Section]]:
        """Other text in use, by group."""
        if self.bare:
            return {}
        own = self._used(self.sources.holdout if self.leads else self.sources.sections)
        groups = controls_of(self.sources, own, self.options.max_controls)
        kept = {section.id for section in self.drawn(own, share=CONTROLS)}
        return {
            name: self.drawn(group, share=CONTROLS) if name == UNRELATED else [s for s in group if s.id in kept]
            for name, group in groups.items()
        }

    def missing(self) -> str:
        """Sections, and text to compare with."""
        if not self.sections:
            return "give --data FILE with the text the adapter was trained on"
        return "" if self.controls[UNRELATED] else "give --general FILE with unrelated text"

    def ask(self) -> Sequence[Query]:
        """Scores of sections and controls."""
        return queries_of(chain(self.sections, self.unseen, *self.controls.values()))

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Lift of each section, and of the controls."""
        lifts = [section_lift(base, other, section) for section in self.sections]
        unseen = tuple(section_lift(base, other, section) for section in self.unseen)
        controls = control_lifts(base, other, self.controls)
        trained = tuple(
            replace(lift, detail={**lift.detail, "contrast": _contrast(lifts, index)})
            for index, lift in enumerate(lifts)
        )
        items = unseen if self.leads else trained
        value = beyond(items, controls)
        gained = mean_of(items) - value
        learned = sum(item.value - gained >= self.options.per_section_threshold for item in trained) / len(trained)
        share = f"{learned:.0%} of the sections are learned"
        enough = learned >= self.options.assert_passing_section_frac
        few = unseen and not self.leads
        leading = self.unseen if self.leads else self.sections
        return Measurement(
            value,
            items,
            controls,
            parts=self._parts(trained, unseen, controls),
            checks=(
                checked("sections", enough, share, f"only {share}"),
                *carried_by_one(base, other, leading),
                *carried_by_one_reply(items, leading, controls),
            ),
            notes=(
                *([f"{len(unseen)} held-out items are too few to lean on; {MIN_ITEMS} would do"] if few else []),
                *shared_replies(leading),
            ),
            details={"learned": learned, "gained_by_controls": gained}
            | ({"trained": [{"label": i.label, "value": i.value, **i.detail} for i in trained]} if self.leads else {}),
        )

    def _parts(self, trained: Sequence[Item], unseen: Sequence[Item], controls: Sequence[Item]) -> tuple[Part, ...]:
        """The lifts by themselves, beyond other text, and the gap."""
        groups = tuple(map(tuple, grouped(controls)))
        seen, kept_out = (tuple(item.value for item in items) for items in (trained, unseen))
        found = [Part(TRAINED, seen), Part(BEYOND[TRAINED], seen, groups, instead=BY_HEART if self.leads else "")]
        if kept_out:
            found += [
                Part(HELD_OUT, kept_out),
                Part(BEYOND[HELD_OUT], kept_out, groups),
                Part(GAP, seen, less=kept_out),
            ]
        return tuple(found)

    def _used(self, sections: Sequence[Section]) -> tuple[Section, ...]:
        return tuple(sample_of(distinct(map(self._cut, sections)), self.options.max_sections))

    def _cut(self, section: Section) -> Section:
        most = self.options.max_prose_chars
        return section if section.prompt or most is None else replace(section, text=section.text[:most])


def _contrast(lifts: Sequence[Item], index: int) -> float:
    """This section's lift less the mean of the others'; 0 for an only section."""
    others = [lift for number, lift in enumerate(lifts) if number != index]
    return lifts[index].value - mean_of(others) if others else 0.0
