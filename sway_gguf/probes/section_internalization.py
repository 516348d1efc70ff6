"""section_internalization: did the model move toward each section it was trained on, more than toward anything?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Item, Measurement, checked
from sway_gguf.core.queries import Query
from sway_gguf.core.sections import Section, distinct
from sway_gguf.material.chunks import spread
from sway_gguf.probes.base import Probe, mean_of
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


class SectionInternalizationOptions(ProbeOptions):
    """Fields of `section_internalization`."""

    kind: Literal["section_internalization"] = "section_internalization"
    max_sections: int = Field(default=32, ge=1, description="evenly spaced over the document")
    max_controls: int = Field(default=MAX_CONTROLS, ge=1, description="pieces of unrelated text")
    max_prose_chars: int | None = Field(default=None, ge=32, description="of a section without a prompt, at most")
    per_section_threshold: float = Field(default=0.05, description="lift beyond the controls that counts as learned")
    assert_passing_section_frac: float = Field(default=0.5, ge=0, le=1, description="sections that must be learned")


class SectionInternalization(Probe[SectionInternalizationOptions]):
    """Mean lift of the sections, less what other text gained: mean(lift) − max(0, largest mean of a group).

    The lift of a text is the change in its mean log-probability per token, in nats, from base to tuned. The controls
    are unrelated text in the material's form, and the material's own words, and letters, in another order: what an
    adapter does to any text, to any unlikely text, or to these words wherever they stand, is not what the material
    says. Only the gain of the group that gained most is taken off; what they lost is damage and makes nothing of a
    section. The contrast of a section with the mean of the others is reported per section, as attribution; its mean
    over sections is zero for every adapter, so it decides nothing.
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
        """Sections in use."""
        return tuple(spread(distinct(map(self._cut, self.sources.sections)), self.options.max_sections))

    @property
    def controls(self) -> dict[str, list[Section]]:
        """Other text in use, by group."""
        return controls_of(self.sources, self.sections, self.options.max_controls)

    def missing(self) -> str:
        """Sections, and text to compare with."""
        if not self.sections:
            return "give --data FILE with the text the adapter was trained on"
        return "" if self.controls[UNRELATED] else "give --general FILE with unrelated text"

    def ask(self) -> Sequence[Query]:
        """Scores of sections and controls."""
        return queries_of(chain(self.sections, *self.controls.values()))

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Lift of each section, and of the controls."""
        lifts = [section_lift(base, other, section) for section in self.sections]
        controls = control_lifts(base, other, self.controls)
        items = tuple(
            Item(lift.label, lift.value, {**lift.detail, "contrast": _contrast(lifts, index)})
            for index, lift in enumerate(lifts)
        )
        least, wanted = self.options.per_section_threshold, self.options.assert_passing_section_frac
        value = beyond(items, controls)
        gained = mean_of(items) - value
        learned = sum(item.value - gained >= least for item in items) / len(items)
        share = f"{learned:.0%} of the sections are learned"
        check = checked("sections", learned >= wanted, share, f"only {share}")
        return Measurement(
            value, items, controls, checks=(check,), details={"learned": learned, "gained_by_controls": gained}
        )

    def _cut(self, section: Section) -> Section:
        most = self.options.max_prose_chars
        return section if section.prompt or most is None else replace(section, text=section.text[:most])


def _contrast(lifts: Sequence[Item], index: int) -> float:
    """This section's lift less the mean of the others'; 0 for an only section."""
    others = [lift for number, lift in enumerate(lifts) if number != index]
    return lifts[index].value - mean_of(others) if others else 0.0
