"""style_fingerprint: does the prose move toward the document's style?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Item, Measurement, checked
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Generate, Query
from sway_gguf.core.rules import AboveNull
from sway_gguf.material.style import FEATURES, fingerprint
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.spec.options import ProbeOptions

_PROMPTS = 12


class StyleFingerprintOptions(ProbeOptions):
    """Fields of `style_fingerprint`."""

    kind: Literal["style_fingerprint"] = "style_fingerprint"
    prompts: list[str] = Field(default_factory=list, description="default: the run's prompts, 12 at most")
    doc_reference: str = Field(default="", description="text whose style is wanted; default: the data's sections")
    max_new_tokens: int = Field(default=64, ge=8, description="length of a reply")
    extended: Literal["auto", "on", "off"] = Field(default="auto", description="textstat's measures, where installed")


class StyleFingerprint(Probe[StyleFingerprintOptions]):
    """How far the replies' style moved from the base's toward the document's: 0 not at all, 1 all the way.

    A fingerprint holds numbers on sentences, words and punctuation. With f₀ the base's mean fingerprint and d the
    document's, each feature scaled by its spread over the base's replies and the document's sections, the value is the
    mean over prompts of (f − f₀ᵢ)·(d − f₀) / ‖d − f₀‖². Replies that went along that way and far off beside it are
    no nearer to the document in all, and miss a check. An adapter need not change style, so a value among the nulls
    warns.
    """

    kind = "style_fingerprint"
    axis = "direction"
    question = "Does generated prose move toward the document's style?"
    unit = "share of the way"
    passing = "the shift lies above zero, beats every null and chance over all probes (WARN otherwise)"
    caveat = "numbers on sentences and words are a shadow of style; two authors may share them."
    options_type = StyleFingerprintOptions
    quick = False
    rule = AboveNull("higher", fails=False)
    retired: ClassVar[Mapping[str, str]] = {
        "assert_z_gte": "z is shown, never the gate",
        "assert_shift_gte": "the nulls decide, not a fixed shift",
    }

    @property
    def prompts(self) -> list[str]:
        """Prompts in use."""
        return self.drawn(sample_of(self.held(self.prompts_of(self.options.prompts), self._query), _PROMPTS))

    @property
    def document(self) -> list[str]:
        """Texts of the style wanted."""
        if self.options.doc_reference:
            return [self.options.doc_reference]
        return [section.text for section in self.sources.sections]

    def missing(self) -> str:
        """Prompts and a document."""
        if not self.document:
            return "give --data FILE with text in the style that is wanted"
        return "" if self.prompts else "give it prompts"

    def ask(self) -> Sequence[Query]:
        """A greedy reply to every prompt."""
        return [self._query(prompt) for prompt in self.prompts]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Shift per prompt along the way to the document."""
        extended = self.options.extended != "off"
        before = np.stack([fingerprint(base.generated(self._query(p)).text, extended) for p in self.prompts])
        after = np.stack([fingerprint(other.generated(self._query(p)).text, extended) for p in self.prompts])
        wanted = np.stack([fingerprint(text, extended) for text in self.document])
        spreads = np.concatenate([before, wanted]).std(axis=0)
        scale = np.where(spreads > 1e-9, spreads, 1.0)
        way = (wanted.mean(axis=0) - before.mean(axis=0)) / scale
        length = float(way @ way)
        if not length > 0:
            return Measurement(0.0, undecided="the base already writes in the document's style")
        shifts = ((after - before) / scale) @ way / length
        items = tuple(
            Item(
                self.label(prompt), float(shift), {"reply": other.generated(self._query(prompt)).text}, asked=(prompt,)
            )
            for prompt, shift in zip(self.prompts, shifts, strict=True)
        )
        details = {
            "features": list(FEATURES[: before.shape[1]]),
            "base": before.mean(axis=0).tolist(),
            "other": after.mean(axis=0).tolist(),
            "document": wanted.mean(axis=0).tolist(),
        }
        gap = (after.mean(axis=0) - wanted.mean(axis=0)) / scale
        nearer = checked(
            "nearer",
            float(gap @ gap) < length,
            "the replies came nearer to the document's style",
            "the replies as a whole are no nearer to the document's style",
        )
        return Measurement(mean_of(items), items, checks=(nearer,), details=details)

    def _query(self, prompt: str) -> Generate:
        return Generate(prompt, self.options.max_new_tokens)
