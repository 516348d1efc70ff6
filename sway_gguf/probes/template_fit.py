"""template_fit: is the template that the model is spoken to in the one that the adapter was trained with?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.candidates import Candidate
from sway_gguf.core.listing import too_few
from sway_gguf.core.measurement import Check, Item, Measurement
from sway_gguf.core.queries import Completion, Query
from sway_gguf.core.rules import Findings
from sway_gguf.probes.base import Probe
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.stats.simultaneous import lower_bounds

_WRONG = "The adapter was trained with another chat template than the one it is spoken to in."


class TemplateFitOptions(ProbeOptions):
    """Fields of `template_fit`."""

    kind: Literal["template_fit"] = "template_fit"
    items: int = Field(default=8, ge=MIN_ITEMS, description="replies, each asked under every template")
    tolerance: float = Field(
        default=0.1, ge=0, lt=1, description="share of the best template's lift that may be lacking before it fails"
    )


@dataclass(frozen=True)
class _Scores:
    """One candidate's scores, nats per token: [n] what the replies gained, and how likely the view finds them."""

    candidate: Candidate
    lift: NDArray[np.float64]
    other: NDArray[np.float64]


class TemplateFit(Probe[TemplateFitOptions]):
    """Lift of replies through the run's own template less their lift through the best other one, nats per token.

    A few replies are put by the run's template, the file's own, that of the adapter's folder and the common families',
    with and without a system turn and an empty think block. Their own words alone are scored, the same words under
    each, for base and tuned; the template of training is where the lift peaks. Another template counts as better when
    the lower bound of its gain over the run's, taken over all templates at once, lies above zero.
    """

    kind = "template_fit"
    axis = "survival"
    question = "Is the chat template in use the one that the adapter was trained with?"
    unit = "nats/token"
    passing = (
        "no other template lifts the replies by more, beyond its simultaneous interval (fails where more than "
        "`tolerance` of the best lift is lacking and the tuned model finds the replies likelier there; warns where one "
        "of the two holds)"
    )
    caveat = (
        "a template that none of the candidates resembles is not found, and templates that differ little look alike."
    )
    options_type = TemplateFitOptions
    quick_options: ClassVar[Mapping[str, Any]] = {"items": 5}
    rule = Findings()
    shows_nulls = False  # A null was trained with no template.

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Templates in use, the run's own first."""
        return self.sources.candidates(self.options.items)

    def missing(self) -> str:
        """Dialogues, and more than one way to put them."""
        if not self.candidates:
            return "the data holds no dialogues to put into templates; sway-gguf quants tests what quantizing does"
        return ""

    def ask(self) -> Sequence[Query]:
        """Every reply under every template."""
        return [Completion(*reply) for candidate in self.candidates for reply in candidate.replies]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Lifts under all templates, and what the run's own lacks."""
        own, *others = scores = [_scores(base, other, candidate) for candidate in self.candidates]
        best = max(others, key=lambda each: float(each.lift.mean()))
        gaps = own.lift - best.lift
        items = tuple(
            Item(self.label(reply.prompt), float(gap), {"own": float(x), "best": float(y)}, asked=reply)
            for reply, gap, x, y in zip(own.candidate.replies, gaps, own.lift, best.lift, strict=True)
        )
        ranked = sorted(scores, key=lambda each: -float(each.lift.mean()))
        told = ", ".join(f"{each.candidate.name} {each.lift.mean():.2f}" for each in ranked[:4])
        return Measurement(
            float(gaps.mean()),
            items,
            checks=self._checks(own, others),
            interval=False,
            undecided=self._undecided(scores),
            notes=(f"lift by template, nats/token: {told}",),
            details={"templates": {each.candidate.name: _record(each) for each in scores}},
            headline=_WRONG,
        )

    def _undecided(self, scores: Sequence[_Scores]) -> str:
        count = len(scores[0].lift)
        if count < MIN_ITEMS:
            return too_few(count, MIN_ITEMS, "reply", "replies")
        lifted = lower_bounds([each.lift for each in scores], seed=self.sources.seed)
        if lifted is None or lifted.max() <= 0:
            return "no template lifts the replies, so nothing shows which one the adapter was trained with"
        return ""

    def _checks(self, own: _Scores, others: Sequence[_Scores]) -> tuple[Check, ...]:
        """Whether any other template is surely better."""
        bounds = lower_bounds([each.lift - own.lift for each in others], seed=self.sources.seed, symmetric=True)
        surely = [] if bounds is None else [each for each, low in zip(others, bounds, strict=True) if low > 0]
        here, name = float(own.lift.mean()), own.candidate.name
        if not surely:
            return (Check("template", True, f"no other template surely lifts the replies by more than {name}"),)
        best = max(surely, key=lambda each: float(each.lift.mean()))
        most = float(best.lift.mean())
        lacking = here < (1 - self.options.tolerance) * most
        likelier = float((best.other - own.other).mean()) > 0
        told = f"{best.candidate.name} lifts the replies"
        if not (lacking or likelier):
            return (Check("template", True, f"{told} hardly more than {name}"),)
        text = f"{told} by {most:.2f} nats/token, {name}, in use here, by {here:.2f}"
        if lacking and not likelier:
            text += ", though it leaves them less likely"
        return (Check("template", False, f"{text}: {best.candidate.way_out}", fails=lacking and likelier),)


def _scores(base: Answers, other: Answers, candidate: Candidate) -> _Scores:
    before, after = (
        np.array([answers.completion(*reply).mean_logprob for reply in candidate.replies]) for answers in (base, other)
    )
    return _Scores(candidate, after - before, after)


def _record(scores: _Scores) -> Mapping[str, float]:
    lift, after = float(scores.lift.mean()), float(scores.other.mean())
    return {"base": after - lift, "tuned": after, "lift": lift}
