"""preference_flip: does the model come to prefer the replies that were chosen in training?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.queries import Completion, Query, shorten
from sway_gguf.core.sections import Preference
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.spec.options import ProbeOptions, StrictModel
from sway_gguf.stats.binomial import proportion_interval


class Triple(StrictModel):
    """A prompt with a wanted and an unwanted reply."""

    prompt: str
    chosen: str
    rejected: str


class PreferenceFlipOptions(ProbeOptions):
    """Fields of `preference_flip`."""

    kind: Literal["preference_flip"] = "preference_flip"
    triples: list[Triple] = Field(default_factory=list, description="default: the data's preferences")


class PreferenceFlip(Probe[PreferenceFlipOptions]):
    """Mean change of the margin log p(chosen) − log p(rejected), in nats, over triples.

    Beside it the flip rate: of the triples where the base prefers the rejected reply, how many the tuned
    model turns, with the exact binomial interval.
    """

    kind = "preference_flip"
    axis = "direction"
    question = "Does the model come to prefer the replies that were chosen?"
    unit = "nats"
    passing = "the mean change of the margin beats every null, and its corrected tail p is below alpha"
    caveat = "a margin that moved may still have the wrong sign: the flip rate beside it tells."
    options_type = PreferenceFlipOptions
    retired: ClassVar[Mapping[str, str]] = {
        "assert_z_gte": "z is shown, never the gate",
        "assert_flip_rate_gte": "the nulls decide on the margin; the flip rate is shown with its interval",
        "min_triples_for_decision": "five triples are the least for any verdict",
    }

    @property
    def triples(self) -> list[Preference]:
        """Triples in use, each once; those with an empty reply are left out, for it has no probability."""
        return [triple for triple in self._given if triple.chosen and triple.rejected]

    @property
    def _given(self) -> list[Preference]:
        given = [Preference(t.prompt, t.chosen, t.rejected) for t in self.options.triples]
        return list(dict.fromkeys(given or self.sources.preferences))

    def missing(self) -> str:
        """Preferences."""
        if self._given and not self.triples:
            return "every triple has an empty reply; give chosen and rejected"
        return "" if self.triples else "give triples, or --data FILE.jsonl with prompt, chosen and rejected"

    def ask(self) -> Sequence[Query]:
        """Scores of both replies."""
        return [
            Completion(triple.prompt, reply) for triple in self.triples for reply in (triple.chosen, triple.rejected)
        ]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Change of the margin per triple, averaged; the flip rate in the details."""
        items, turned, wrong = [], 0, 0
        for triple in self.triples:
            before, after = _margin(base, triple), _margin(other, triple)
            wrong += before < 0
            turned += before < 0 < after
            items.append(Item(shorten(triple.prompt), after - before, {"base": before, "other": after}))
        interval = proportion_interval(turned, wrong)
        empty = len(self._given) - len(self.triples)
        note = "the base already prefers every chosen reply"
        if interval:
            note = f"{turned} of {wrong} wrong preferences turned (95% interval {interval.low:.0%}–{interval.high:.0%})"
        left_out = f"{empty} triple{'s' * (empty > 1)} with an empty reply left out"
        return Measurement(
            mean_of(items),
            tuple(items),
            notes=(note, left_out) if empty else (note,),
            details={"turned": turned, "base_wrong": wrong, "flip_rate_interval": interval},
        )


def _margin(answers: Answers, triple: Preference) -> float:
    chosen = answers.completion(triple.prompt, triple.chosen)
    return chosen.logprob - answers.completion(triple.prompt, triple.rejected).logprob
