"""preference_flip: does the model come to prefer the replies that were chosen in training?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Item, Measurement, checked
from sway_gguf.core.queries import Completion, Query, shorten
from sway_gguf.core.sections import Preference
from sway_gguf.core.strict import StrictModel
from sway_gguf.material.controls import Pair, pairs
from sway_gguf.probes.base import CONTROLS, Probe
from sway_gguf.probes.lift import beyond
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.binomial import proportion_interval
from sway_gguf.stats.interval import MIN_ITEMS

STRETCHED = "margins stretched alike"
_PAIRS = 8
_READABLE = 0.1
"""A base that prefers words in order by less than this, nats per token, tells nothing about sharpness."""


class Triple(StrictModel):
    """A prompt with a wanted and an unwanted reply."""

    prompt: str
    chosen: str
    rejected: str


class PreferenceFlipOptions(ProbeOptions):
    """Fields of `preference_flip`."""

    kind: Literal["preference_flip"] = "preference_flip"
    triples: list[Triple] = Field(default_factory=list, description="default: the data's preferences")


@dataclass(frozen=True, slots=True)
class _Margins:
    """Chosen less rejected, of one triple: in nats per token of each reply, and in sums; and what the chosen gained."""

    base: float
    other: float
    base_sum: float
    other_sum: float
    sum_change: float
    chosen_lift: float


class PreferenceFlip(Probe[PreferenceFlipOptions]):
    """Mean change of the margin log p(chosen) − log p(rejected), in nats per token of each reply, over triples.

    Per token, because in a sum whatever is longer loses more as soon as anything is lost; the change of the sums is
    given beside it. Predictions that are only sharper or flatter than the base's stretch every margin by the same
    factor. That factor is read off general text, continued in order and with its words shuffled, and what it makes
    of these triples is taken off.

    A chosen reply that became less likely itself is told (training on preferences is known for it); where it lost
    more than the margin gained, that is damage, and fails. Beside it the flip rate: of the triples where the base
    prefers the rejected reply by its sum, how many the tuned model turns, with the exact binomial interval.
    """

    kind = "preference_flip"
    axis = "direction"
    question = "Does the model come to prefer the replies that were chosen?"
    unit = "nats/token"
    passing = "the change's whole interval lies above zero, and it beats every null and chance over all probes"
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
        return self.drawn([triple for triple in self._given if triple.chosen and triple.rejected])

    @property
    def _given(self) -> list[Preference]:
        given = [self.sources.spoken(Preference(t.prompt, t.chosen, t.rejected)) for t in self.options.triples]
        return list(dict.fromkeys(given or self.sources.preferences))

    def missing(self) -> str:
        """Preferences."""
        if self._given and not self.triples:
            return "every triple has an empty reply; give chosen and rejected"
        return "" if self.triples else "give triples, or --data FILE.jsonl with prompt, chosen and rejected"

    def ask(self) -> Sequence[Query]:
        """Scores of both replies, and of general text in order and shuffled."""
        pairs = [*map(_replies, self.triples), *self.pairs]
        return [Completion(pair.prompt, reply) for pair in pairs for reply in (pair.right, pair.wrong)]

    @property
    def pairs(self) -> list[Pair]:
        """General text in order and shuffled."""
        if self.bare:
            return []
        return self.drawn(pairs(self.sources.general, _PAIRS, self.sources.seed), share=CONTROLS, least=MIN_ITEMS)

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Change of the margin per triple, averaged; the flip rate in the details."""
        triples = self.triples
        margins = [_margins(base, other, _replies(triple)) for triple in triples]
        items = tuple(
            Item(self.label(triple.prompt), found.other - found.base, asdict(found), asked=_replies(triple))
            for triple, found in zip(triples, margins, strict=True)
        )
        controls = self._stretched(base, other, _mean([found.base for found in margins]))
        value = beyond(items, controls)
        wrong = [found for found in margins if found.base_sum < 0]
        turned = sum(found.other_sum > 0 for found in wrong)
        interval = proportion_interval(turned, len(wrong))
        note = "the base already prefers every chosen reply"
        if interval:
            note = f"{turned} of {len(wrong)} wrong preferences turned"
            note += f" (95% interval {interval.low:.0%}–{interval.high:.0%})"
        chosen, sums = _mean([found.chosen_lift for found in margins]), _mean([found.sum_change for found in margins])
        empty = len(self._given) - len(triples)
        left_out = (f"{empty} triple{'s' * (empty > 1)} with an empty reply left out",) if empty else ()
        return Measurement(
            value,
            items,
            controls,
            checks=_checks(value, chosen),
            notes=(note, *left_out, f"chosen replies {chosen:+.2f} nats/token, margin {sums:+.2f} nats in sum"),
            details={
                "turned": turned,
                "base_wrong": len(wrong),
                "flip_rate_interval": interval,
                "chosen_lift": chosen,
                "sum_change": sums,
            },
        )

    def _stretched(self, base: Answers, other: Answers, mean: float) -> tuple[Item, ...]:
        """What general text's stretch of margins makes of the triples' mean margin, one item per pair of it."""
        before = [_margin(base, pair) for pair in self.pairs]
        if len(before) < MIN_ITEMS or sum(before) / len(before) < _READABLE:
            return ()
        scale = sum(before) / len(before)
        share = mean / scale
        return tuple(
            Item(shorten(pair.prompt), (_margin(other, pair) - margin) * share, group=STRETCHED, asked=pair)
            for pair, margin in zip(self.pairs, before, strict=True)
        )


def _replies(triple: Preference) -> Pair:
    return Pair(triple.prompt, *triple.replies)


def _margin(answers: Answers, pair: Pair) -> float:
    """By how much the right reply is likelier than the wrong one, nats per token of each."""
    right, wrong = (answers.completion(pair.prompt, reply) for reply in (pair.right, pair.wrong))
    return right.mean_logprob - wrong.mean_logprob


def _margins(base: Answers, other: Answers, pair: Pair) -> _Margins:
    chosen = [answers.completion(pair.prompt, pair.right) for answers in (base, other)]
    rejected = [answers.completion(pair.prompt, pair.wrong) for answers in (base, other)]
    sums = [right.logprob - wrong.logprob for right, wrong in zip(chosen, rejected, strict=True)]
    return _Margins(
        base=_margin(base, pair),
        other=_margin(other, pair),
        base_sum=sums[0],
        other_sum=sums[1],
        sum_change=sums[1] - sums[0],
        chosen_lift=chosen[1].mean_logprob - chosen[0].mean_logprob,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _checks(value: float, chosen: float) -> tuple[Check, ...]:
    lost = f"the chosen replies themselves became less likely ({chosen:+.2f} nats/token)"
    return (
        checked("chosen", chosen >= 0, f"the chosen replies became likelier ({chosen:+.2f} nats/token)", lost),
        checked(
            "no mere damage",
            -chosen < value,
            "the margin gained more than the chosen replies lost",
            "the chosen replies lost more than the margin gained",
            fails=True,
        ),
    )
