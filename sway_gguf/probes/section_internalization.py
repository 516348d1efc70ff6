"""section_internalization: did the model move toward each section it was trained on, more than toward anything?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Item, Measurement
from sway_gguf.core.queries import Query, Rolling
from sway_gguf.core.sections import Section
from sway_gguf.material.chunks import spread
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.lift import distinct_sections, section_lift, section_query, text_lifts
from sway_gguf.spec.options import ProbeOptions


class SectionInternalizationOptions(ProbeOptions):
    """Fields of `section_internalization`."""

    kind: Literal["section_internalization"] = "section_internalization"
    max_sections: int = Field(default=32, ge=1, description="evenly spaced over the document")
    max_controls: int = Field(default=8, ge=1, description="pieces of unrelated text")
    max_prose_chars: int | None = Field(default=None, ge=32, description="of a section without a prompt, at most")
    per_section_threshold: float = Field(default=0.05, description="lift beyond the controls that counts as learned")
    assert_passing_section_frac: float = Field(default=0.5, ge=0, le=1, description="sections that must be learned")


class SectionInternalization(Probe[SectionInternalizationOptions]):
    """Mean over sections of (lift − mean lift of unrelated text).

    The lift of a text is the change in its mean log-probability per token, in nats, from base to tuned. The
    contrast of a section with the mean of the others is reported per section, as attribution; its mean over
    sections is zero for every adapter, so it decides nothing.
    """

    kind = "section_internalization"
    axis = "direction"
    question = "Did the model move toward the sections it was trained on, more than toward unrelated text?"
    unit = "nats/token"
    passing = "the lift beats every null, and its corrected tail p is below alpha"
    caveat = "likelier text is not recited or understood text; leakage and paraphrases look at those."
    options_type = SectionInternalizationOptions
    retired: ClassVar[Mapping[str, str]] = {
        "assert_z_gte": "z is shown, never the gate",
        "include_kinds": "all sections of the data take part",
    }

    @property
    def sections(self) -> tuple[Section, ...]:
        """Sections in use."""
        chosen = spread(distinct_sections(self.sources.sections), self.options.max_sections)
        return tuple(map(self._cut, chosen))

    @property
    def controls(self) -> list[str]:
        """Unrelated texts in use."""
        return spread(self.sources.general, self.options.max_controls)

    def missing(self) -> str:
        """Sections, and text to compare with."""
        if not self.sections:
            return "give --data FILE with the text the adapter was trained on"
        return "" if self.controls else "give --general FILE with unrelated text"

    def ask(self) -> Sequence[Query]:
        """Scores of sections and controls."""
        return [*map(section_query, self.sections), *map(Rolling, self.controls)]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Lift of each section, less that of the controls."""
        lifts = [section_lift(base, other, section) for section in self.sections]
        controls = text_lifts(base, other, self.controls)
        items = tuple(
            Item(lift.label, lift.value, {**lift.detail, "contrast": _contrast(lifts, index)})
            for index, lift in enumerate(lifts)
        )
        least, wanted = self.options.per_section_threshold, self.options.assert_passing_section_frac
        learned = sum(item.value - mean_of(controls) >= least for item in items) / len(items)
        check = Check("sections", learned >= wanted, f"only {learned:.0%} of the sections are learned")
        return Measurement(
            mean_of(items) - mean_of(controls), items, controls, checks=(check,), details={"learned": learned}
        )

    def _cut(self, section: Section) -> Section:
        most = self.options.max_prose_chars
        return section if section.prompt or most is None else replace(section, text=section.text[:most])


def _contrast(lifts: Sequence[Item], index: int) -> float:
    """This section's lift less the mean of the others'; 0 for an only section."""
    others = [lift for number, lift in enumerate(lifts) if number != index]
    return lifts[index].value - mean_of(others) if others else 0.0
