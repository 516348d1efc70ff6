"""scale_response: how do the material's lift and the damage elsewhere go with the adapter's scale?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Curve, Measurement, Part, Row, Table
from sway_gguf.core.panel import panel_of
from sway_gguf.core.queries import Query, Rolling
from sway_gguf.core.rules import Shown
from sway_gguf.core.sections import Section, distinct
from sway_gguf.material.chunks import chunk, spread
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.lift import bits_per_byte, queries_of, section_lift, text_lifts
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.stats.tradeoff import Point, Tradeoff, tradeoff

LIFT = "lift"
_CHUNK = 400


class ScaleResponseOptions(ProbeOptions):
    """Fields of `scale_response`."""

    kind: Literal["scale_response"] = "scale_response"
    lambdas: list[float] = Field(
        default=[0.25, 0.5, 0.75, 1.0, 1.25],
        min_length=1,
        description="scalings of the adapter; 1 is always among them",
    )
    sections: int = Field(default=12, ge=1, description="of the holdout where it has five or more, else of the data")
    chunks: int = Field(default=10, ge=1, description="pieces of general text of 400 characters, evenly spaced")
    max_bits_per_byte: float = Field(
        default=2.0, gt=0, description="text that the base itself models worse than this does not count"
    )

    @field_validator("lambdas")
    @classmethod
    def _positive(cls, values: list[float]) -> list[float]:
        if not all(0 < value <= 64 for value in values):
            raise ValueError("every λ must lie above 0 and at most at 64")
        return values


class ScaleResponse(Probe[ScaleResponseOptions]):
    """Mean change of general text per token at each λ, beside the lift of the material there; value: that at λ = 1.

    Both are changes in mean log-probability per token from base to tuned, in nats: of pieces of general text, and of
    sections of the holdout where it has five or more, else of the data. Where a smaller λ surely keeps four fifths of
    the lift (or more) at surely no more than half of the damage, a note says so: shares are ratios of means over the
    same items, their intervals hold for all λ below 1 at once, and without a damage worth naming nothing is said.
    """

    kind = "scale_response"
    axis = "collateral"
    question = "How do the material's lift and the damage elsewhere go with the adapter's scale?"
    unit = "nats/token"
    passing = "always: it shows a curve, and decides nothing"
    caveat = "a smaller scale is another model: run check on it (pick does) before it ships."
    options_type = ScaleResponseOptions
    quick = False
    rule = Shown()
    shows_nulls = False  # Scaling a null makes no sense.

    @property
    def sections(self) -> list[Section]:
        """The material in use."""
        holdout = distinct(self.sources.holdout)
        chosen = holdout if len(holdout) >= MIN_ITEMS else distinct(self.sources.sections)
        return [] if self.narrowed else panel_of(chosen, self.options.sections, self.sources.seed)

    @property
    def texts(self) -> list[str]:
        """General text in use."""
        pieces = dict.fromkeys(chunk("\n\n".join(self.sources.general), _CHUNK))
        return self.drawn(spread(list(pieces), self.options.chunks))

    @property
    def scales(self) -> tuple[float, ...]:
        """Every λ but 1."""
        return tuple(sorted({scale for scale in self.options.lambdas if scale != 1.0}))

    def missing(self) -> str:
        """Material, and general text."""
        if not self.sections:
            return "give --data FILE with the text the adapter was trained on"
        return "" if self.texts else "give --general FILE with unrelated text"

    def ask(self) -> Sequence[Query]:
        """Scores of both."""
        return [*queries_of(self.sections), *map(Rolling, self.texts)]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Both at one λ."""
        known = [text for text in self.texts if bits_per_byte(base, text) <= self.options.max_bits_per_byte]
        lifts = [section_lift(base, other, section) for section in self.sections]
        items = text_lifts(base, other, known)
        return Measurement(
            mean_of(items),
            items,
            parts=(Part(LIFT, tuple(lift.value for lift in lifts)),),
            lift=mean_of(lifts),
            undecided="" if items else "the base models no general text; give --general FILE",
            of_text=True,
        )

    def over_scales(self, curve: Mapping[float, Measurement]) -> Measurement:
        """The curve of both, and what a smaller λ surely keeps."""
        scales = sorted(curve)
        points = {
            scale: Point(curve[scale].parts[0].values, [-item.value for item in curve[scale].items]) for scale in scales
        }
        lifts, changes = [curve[scale].lift or 0.0 for scale in scales], [curve[scale].value for scale in scales]
        found = tradeoff(points)
        told = in_words(found) if found else ""
        rows = tuple(
            Row(f"λ = {scale:g}", (lift, change)) for scale, lift, change in zip(scales, lifts, changes, strict=True)
        )
        best = scales[max(range(len(scales)), key=lifts.__getitem__)]
        return replace(
            curve[1.0],
            checks=(Check("curve", True, told or "no smaller λ surely keeps the lift at a fraction of the damage"),),
            notes=tuple(filter(None, (told, _listed(rows)))),
            curve=Curve((0.0, *scales), (0.0, *changes), (0.0, *lifts), best),
            table=Table(("lift, nats/token", "change of general text, nats/token"), rows),
        )


def in_words(found: Tradeoff) -> str:
    """What a smaller scale keeps and what it costs, as a sentence without its end."""
    return (
        f"λ = {found.scale:g} keeps {found.kept:.0%} ({found.kept_interval.low:.0%} to {found.kept_interval.high:.0%}) "
        f"of the lift at {found.cost:.0%} ({found.cost_interval.low:.0%} to {found.cost_interval.high:.0%}) of the "
        "damage"
    )


def _listed(rows: Sequence[Row]) -> str:
    each = "; ".join(f"{row.name}: {row.cells[0]:+.2f}, {row.cells[1]:+.3f}" for row in rows)
    return f"lift of the material and change of general text, nats/token, {each}"
