"""paraphrase_invariance: was the thing learned, or only the words it was asked in?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Item, Measurement, checked
from sway_gguf.core.queries import Completion, Query
from sway_gguf.core.sections import Paraphrase, Section
from sway_gguf.core.strict import StrictModel
from sway_gguf.material.controls import scrambled
from sway_gguf.probes.base import CONTROLS, Probe, mean_of
from sway_gguf.probes.lift import (
    MAX_CONTROLS,
    beyond,
    control_lifts,
    controls_of,
    queries_of,
    section_lift,
    unrelated_of,
)
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS

Intent = Literal["generalize", "memorize", "both"]

_AS_MUCH = 0.8
"""Golds whose letters in any order gain this share of their lift gained as unlikely text does."""


class Case(StrictModel):
    """A prompt, the wanted reply, and other words for the prompt."""

    prompt: str
    gold: str = Field(min_length=1)
    paraphrases: list[str] = Field(min_length=1)

    def as_paraphrase(self) -> Paraphrase:
        """The same as a value that can be looked up."""
        return Paraphrase(self.prompt, self.gold, tuple(self.paraphrases))


class ParaphraseInvarianceOptions(ProbeOptions):
    """Fields of `paraphrase_invariance`."""

    kind: Literal["paraphrase_invariance"] = "paraphrase_invariance"
    cases: list[Case] = Field(default_factory=list, description="default: the data's paraphrases")
    intent: Intent = Field(default="generalize", description="generalize, memorize, or both")
    min_verbatim_lift: float = Field(default=0.2, description="nats per token, on the prompt as trained")
    min_generalization_ratio: float = Field(default=0.5, description="paraphrase lift over verbatim lift, at least")
    max_generalization_ratio_if_memorize: float = Field(default=0.5, description="the same at most, to memorize")


class ParaphraseInvariance(Probe[ParaphraseInvarianceOptions]):
    """Lift of the gold reply after paraphrased prompts, against its lift after the prompt as trained.

    Lift is the change in mean log-probability per token of the reply, in nats. The value is the mean over cases of
    the lift after paraphrases (intent generalize), after the prompt itself (memorize), or of the smaller one (both),
    less what unrelated text gained, as it is or shuffled. The ratio of the two means is given beside it, and decides
    between PASS and WARN, as does the lift of the golds with their letters in another order: where that gains as much,
    no answer was learned.
    """

    kind = "paraphrase_invariance"
    axis = "direction"
    question = "Does what was learned hold when the question is put in other words?"
    unit = "nats/token"
    passing = "the interval lies above zero, and the lift beats every null and chance (WARN where the ratio misses)"
    caveat = "the paraphrases are as good as you wrote them; a reply may hold in these words and not in others."
    options_type = ParaphraseInvarianceOptions
    retired: ClassVar[Mapping[str, str]] = {"assert_z_gte": "z is shown, never the gate"}

    @property
    def cases(self) -> list[Paraphrase]:
        """Cases in use, each once."""
        given = [self.sources.spoken(case.as_paraphrase()) for case in self.options.cases]
        return self.drawn(list(dict.fromkeys(given or self.sources.paraphrases)))

    def missing(self) -> str:
        """Cases."""
        return "" if self.cases else "give cases, or --data FILE.jsonl with prompt, gold and paraphrases"

    def ask(self) -> Sequence[Query]:
        """Scores of the reply after every wording, of its letters in another order, and of unrelated text."""
        replies = [Completion(prompt, case.reply) for case in self.cases for prompt in dict.fromkeys(_wordings(case))]
        return [*replies, *queries_of(chain(self._scrambled(), *self.controls.values()))]

    @property
    def controls(self) -> dict[str, list[Section]]:
        """Unrelated text in use, as it is and shuffled."""
        if self.bare:
            return {}
        groups = controls_of(self.sources, unrelated_of(self.sources, MAX_CONTROLS), MAX_CONTROLS)
        return {name: self.drawn(group, share=CONTROLS) for name, group in groups.items()}

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Both lifts per case."""
        items, verbatim, reworded = [], [], []
        for case in self.cases:
            said = _lift(base, other, case.prompt, case.reply)
            meant = sum(_lift(base, other, p, case.reply) for p in case.paraphrases) / len(case.paraphrases)
            verbatim.append(Item(case.prompt, said))
            reworded.append(Item(case.prompt, meant))
            detail = {"verbatim": said, "paraphrase": meant}
            asked = (case.prompt, case.reply, *case.paraphrases)
            items.append(Item(self.label(case.prompt), self._statistic(said, meant), detail, asked=asked))
        controls = control_lifts(base, other, self.controls)
        lifts = mean_of(verbatim), mean_of(reworded)
        ratio = lifts[1] / lifts[0] if lifts[0] > 0 else None
        shown = "–" if ratio is None else f"{ratio:.2f}"
        return Measurement(
            beyond(items, controls),
            tuple(items),
            controls,
            checks=(*self._checks(lifts[0], ratio), *self._content(base, other, mean_of(items))),
            notes=(f"lift {lifts[0]:+.2f} as trained, {lifts[1]:+.2f} in other words, ratio {shown}",),
            details={"verbatim_lift": lifts[0], "paraphrase_lift": lifts[1], "generalization_ratio": ratio},
        )

    def _scrambled(self) -> tuple[Section, ...]:
        """The golds with their letters in another order, each behind its own prompt; a panel has no use for them."""
        if self.narrowed:
            return ()
        return scrambled(
            [Section("", case.gold, case.prompt, ending=case.ending) for case in self.cases], self.sources.seed
        )

    def _content(self, base: Answers, other: Answers, lift: float) -> tuple[Check, ...]:
        """Whether the golds gained as answers, or as anything unlikely did."""
        mixed = self._scrambled()
        if len(mixed) < MIN_ITEMS or not lift > 0:
            return ()
        share = sum(section_lift(base, other, section).value for section in mixed) / len(mixed) / lift
        told = f"the golds' letters in another order gained {max(0.0, share):.0%} as much"
        return (checked("content", share <= _AS_MUCH, told, f"{told}: no answer was learned"),)

    def _statistic(self, verbatim: float, paraphrase: float) -> float:
        chosen = {"generalize": paraphrase, "memorize": verbatim, "both": min(verbatim, paraphrase)}
        return chosen[self.options.intent]

    def _checks(self, verbatim: float, ratio: float | None) -> tuple[Check, ...]:
        options = self.options
        learned = verbatim >= options.min_verbatim_lift
        lift = f"the verbatim lift is {verbatim:.2f}"
        checks = [checked("learned", learned, lift, f"{lift}, below {options.min_verbatim_lift:g}")]
        if ratio is None:
            return tuple(checks)
        held = f"{ratio:.0%} of the lift holds in other words"
        if options.intent in ("generalize", "both"):
            enough = ratio >= options.min_generalization_ratio
            checks.append(checked("generalizes", enough, held, f"only {held}"))
        if options.intent == "memorize":
            narrow = ratio <= options.max_generalization_ratio_if_memorize
            checks.append(checked("memorizes", narrow, f"only {held}", held))
        return tuple(checks)


def _wordings(case: Paraphrase) -> tuple[str, ...]:
    return (case.prompt, *case.paraphrases)


def _lift(base: Answers, other: Answers, prompt: str, reply: str) -> float:
    return other.completion(prompt, reply).mean_logprob - base.completion(prompt, reply).mean_logprob
