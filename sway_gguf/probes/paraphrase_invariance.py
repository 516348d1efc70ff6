"""paraphrase_invariance: was the thing learned, or only the words it was asked in?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Item, Measurement, checked
from sway_gguf.core.queries import Completion, Query, shorten
from sway_gguf.core.sections import Paraphrase, Section
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.lift import MAX_CONTROLS, UNRELATED, beyond, control_lifts, section_query, unrelated_of
from sway_gguf.spec.options import ProbeOptions, StrictModel

Intent = Literal["generalize", "memorize", "both"]

_MANNER = 0.75
"""Golds that gain this share of their lift behind any prompt have not been tied to theirs."""


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
    less what unrelated text gained. The ratio of the two means is given beside it, and decides between PASS and WARN,
    as does the lift of the golds behind other cases' prompts: what gains there as much is a manner, not an answer.
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
        given = [case.as_paraphrase() for case in self.options.cases]
        return list(dict.fromkeys(given or self.sources.paraphrases))

    def missing(self) -> str:
        """Cases."""
        return "" if self.cases else "give cases, or --data FILE.jsonl with prompt, gold and paraphrases"

    def ask(self) -> Sequence[Query]:
        """Scores of the reply after every wording and after another case's prompt, and of unrelated text."""
        replies = [Completion(prompt, case.gold) for case in self.cases for prompt in dict.fromkeys(_wordings(case))]
        elsewhere = [Completion(prompt, gold) for prompt, gold in self._mismatched()]
        return [*replies, *elsewhere, *map(section_query, self.controls)]

    @property
    def controls(self) -> list[Section]:
        """Unrelated text in use."""
        return unrelated_of(self.sources, MAX_CONTROLS)

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Both lifts per case."""
        items, verbatim, reworded = [], [], []
        for case in self.cases:
            said = _lift(base, other, case.prompt, case.gold)
            meant = sum(_lift(base, other, p, case.gold) for p in case.paraphrases) / len(case.paraphrases)
            verbatim.append(Item(case.prompt, said))
            reworded.append(Item(case.prompt, meant))
            items.append(
                Item(shorten(case.prompt), self._statistic(said, meant), {"verbatim": said, "paraphrase": meant})
            )
        controls = control_lifts(base, other, {UNRELATED: self.controls})
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

    def _mismatched(self) -> list[tuple[str, str]]:
        """Each case's gold behind the prompt of the next case that wants something else; none where all want one."""
        cases = self.cases
        found = []
        for place, case in enumerate(cases):
            turned = (*cases[place + 1 :], *cases[:place])
            found += [(one.prompt, case.gold) for one in turned if one.gold != case.gold][:1]
        return found

    def _content(self, base: Answers, other: Answers, lift: float) -> tuple[Check, ...]:
        """Whether the golds gained by their prompts, or wherever they stand."""
        pairs = self._mismatched()
        if not pairs or not lift > 0:
            return ()
        share = sum(_lift(base, other, *pair) for pair in pairs) / len(pairs) / lift
        told = f"behind other prompts the golds gained {max(0.0, share):.0%} as much"
        manner = f"{told}: it may have learned the words, and not which answer belongs to which prompt"
        return (checked("content", share <= _MANNER, told, manner),)

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


def _lift(base: Answers, other: Answers, prompt: str, gold: str) -> float:
    return other.completion(prompt, gold).mean_logprob - base.completion(prompt, gold).mean_logprob
