"""external_perplexity: how much likelihood did unrelated text lose?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Measurement
from sway_gguf.core.queries import Query, Rolling
from sway_gguf.material.chunks import chunk, spread
from sway_gguf.probes.base import mean_of
from sway_gguf.probes.lift import bits_per_byte, text_lifts
from sway_gguf.probes.tolerance import ToleranceOptions, ToleranceProbe
from sway_gguf.stats.interval import MIN_ITEMS


class ExternalPerplexityOptions(ToleranceOptions):
    """Fields of `external_perplexity`."""

    kind: Literal["external_perplexity"] = "external_perplexity"
    tolerance: float = Field(
        default=-0.15, le=0.0, alias="assert_mean_delta_gte", description="accepted change, nats per token"
    )
    chunk_chars: int | None = Field(default=None, ge=64, description="length of a piece; default: the run's")
    max_bits_per_byte: float = Field(
        default=2.0, gt=0, description="text that the base itself models worse than this does not count"
    )
    max_chunks: int = Field(default=24, ge=1, description="pieces of general text, evenly spaced")


class ExternalPerplexity(ToleranceProbe[ExternalPerplexityOptions]):
    """Mean over pieces of general text of the change in log-probability per token, nats.

    A piece that the base does not model (above `max_bits_per_byte`) says nothing about damage and is left
    out. The mean of a few nulls is shown beside the value: the damage that would come from size alone. The same is told
    as perplexity, e^−value times the base's, and held against what quantizing costs bases of this size.
    """

    kind = "external_perplexity"
    axis = "collateral"
    question = "How much likelihood did unrelated text lose?"
    unit = "nats/token"
    passing = "the whole interval of the change lies above the tolerance (fails when all of it lies below)"
    caveat = "likelihood of prose does not show lost skills such as arithmetic, code or following instructions."
    options_type = ExternalPerplexityOptions
    quick_options: ClassVar[Mapping[str, Any]] = {"chunk_chars": 400, "max_chunks": 10}
    retired: ClassVar[Mapping[str, str]] = {
        "assert_z_gte": "nulls are shown beside the value, the tolerance decides",
        "corpus": "general: FILE of the spec, or the packaged prose",
    }

    @property
    def texts(self) -> list[str]:
        """Texts in use."""
        size, general = self.options.chunk_chars, self.sources.general
        pieces = chunk("\n\n".join(general), size) if size else general
        return self.drawn(spread(list(dict.fromkeys(pieces)), self.options.max_chunks))

    def missing(self) -> str:
        """General text."""
        return "" if self.texts else "give --general FILE with unrelated text"

    def ask(self) -> Sequence[Query]:
        """Scores of every text."""
        return [Rolling(text) for text in self.texts]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Change per text that the base models, averaged."""
        limit = self.options.max_bits_per_byte
        known = [text for text in self.texts if bits_per_byte(base, text) <= limit]
        items = text_lifts(base, other, known)
        left_out = len(self.texts) - len(known)
        mean_bits = sum(bits_per_byte(base, text) for text in self.texts) / len(self.texts)
        undecided = ""
        if len(known) < MIN_ITEMS:
            undecided = (
                f"the base models only {len(known)} of {len(self.texts)} general texts (mean {mean_bits:.1f} bits "
                f"per byte, limit {limit:g}); give --general FILE with {MIN_ITEMS - len(known)} or more pieces "
                "of text that this base can read"
            )
        notes = (f"{left_out} of {len(self.texts)} texts left out: the base does not model them",)
        return Measurement(
            mean_of(items),
            items,
            undecided=undecided,
            notes=notes if left_out else (),
            details={
                "left_out": left_out,
                "mean_bits_per_byte": mean_bits,
                "tolerance": self.options.tolerance,
            },
            of_text=True,
            turned=self.beyond_tolerance(items, "pieces"),
        )
