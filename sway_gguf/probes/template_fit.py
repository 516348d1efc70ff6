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
from sway_gguf.core.queries import Compare, Completion, Query
from sway_gguf.core.rules import Findings
from sway_gguf.probes.base import Probe
from sway_gguf.probes.promise import Move, compared, kept, move
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.stats.simultaneous import lower_bounds

_WRONG = "The adapter was trained with another chat template than the one it is spoken to in."
_ELSEWHERE = "need not have been trained on these replies at all"


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

    @property
    def mean(self) -> float:
        """Of the lifts."""
        return float(self.lift.mean())


class TemplateFit(Probe[TemplateFitOptions]):
    """Lift of replies through the run's own template less their lift through the best other one, nats per token.

    A few replies are put by the run's template, the file's own, that of the adapter's folder and the common families',
    with and without a system turn and an empty think block. Their own words alone are scored, the same words under
    each, for base and tuned; the template of training is where the lift peaks. Another template counts as better when
    the lower bound of its gain over the run's, taken over all templates at once, lies above zero. An adapter
    that was trained on something else lifts these replies as well, and through some template the most. So the better
    one has to show more: through the template of training, replies gain what the change promises there (see `aim`).
    """

    kind = "template_fit"
    axis = "survival"
    question = "Is the chat template in use the one that the adapter was trained with?"
    unit = "nats/token"
    passing = (
        "no other template lifts the replies by more, beyond its simultaneous interval (fails where more than "
        "`tolerance` of the best lift is lacking, the tuned model finds the replies likelier there, and they gain what "
        "the change promises there, surely more than half and not surely less than all; warns where one of these lacks)"
    )
    caveat = (
        "a template that none of the candidates resembles is not found, and templates that differ little look alike. A "
        "small change promises next to nothing, so that a better template is called that of training wherever it leads."
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

    def follow_up(self, base: Answers, own: Answers) -> Sequence[Query]:
        """What the change promises under the template that would be named, if one would."""
        here, *_ = scores = [_scores(base, own, candidate) for candidate in self.candidates]
        best = self._better(scores)
        suspected = best is not None and self._lacking(here, best) and _likelier(here, best)
        return _asked(best.candidate) if best and suspected else ()

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Lifts under all templates, and what the run's own lacks."""
        own, *others = scores = [_scores(base, other, candidate) for candidate in self.candidates]
        best = max(others, key=lambda each: each.mean)
        gaps = own.lift - best.lift
        items = tuple(
            Item(self.label(reply.prompt), float(gap), {"own": float(x), "best": float(y)}, asked=reply)
            for reply, gap, x, y in zip(own.candidate.replies, gaps, own.lift, best.lift, strict=True)
        )
        ranked = sorted(scores, key=lambda each: -each.mean)
        told = ", ".join(f"{each.candidate.name} {each.mean:.2f}" for each in ranked[:4])
        return Measurement(
            float(gaps.mean()),
            items,
            checks=(self._check(scores, other),),
            interval=False,
            undecided=self._undecided(scores),
            notes=(f"lift by template, nats/token: {told}",),
            details={"templates": {each.candidate.name: _record(each, other) for each in scores}},
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

    def _better(self, scores: Sequence[_Scores]) -> _Scores | None:
        """Of the templates that surely lift the replies by more than the run's own, the one that does so most."""
        own, *others = scores
        bounds = lower_bounds([each.lift - own.lift for each in others], seed=self.sources.seed, symmetric=True)
        surely = [] if bounds is None else [each for each, low in zip(others, bounds, strict=True) if low > 0]
        return max(surely, key=lambda each: each.mean, default=None)

    def _lacking(self, own: _Scores, best: _Scores) -> bool:
        return own.mean < (1 - self.options.tolerance) * best.mean

    def _check(self, scores: Sequence[_Scores], other: Answers) -> Check:
        """Whether another template is the one of training."""
        own, best = scores[0], self._better(scores)
        name = own.candidate.name
        if best is None:
            return Check("template", True, f"no other template surely lifts the replies by more than {name}")
        told = f"{best.candidate.name} lifts the replies"
        lacking, likelier = self._lacking(own, best), _likelier(own, best)
        if not (lacking or likelier):
            return Check("template", True, f"{told} hardly more than {name}")
        told += f" by {best.mean:.2f} nats/token, {name}, in use here, by {own.mean:.2f}"
        moves, way_out = _moves(best.candidate, other), best.candidate.way_out
        if not likelier:
            told += ", though it leaves them less likely"
        if not (lacking and likelier) or kept(moves):
            return Check("template", False, f"{told}: {way_out}", fails=lacking and likelier)
        if not moves:
            return Check("template", False, f"{told}: {way_out}, if it was trained on these replies")
        promised = sum(each.promised for each in moves) / len(moves)
        return Check("template", False, f"{told}; but its change promises {promised:.2g} there: it {_ELSEWHERE}")


def _scores(base: Answers, other: Answers, candidate: Candidate) -> _Scores:
    before, after = (
        np.array([answers.completion(*reply).mean_logprob for reply in candidate.replies]) for answers in (base, other)
    )
    return _Scores(candidate, after - before, after)


def _likelier(own: _Scores, best: _Scores) -> bool:
    """Whether the tuned model finds the replies likelier under the other template, and not only less unlikely."""
    return float((best.other - own.other).mean()) > 0


def _asked(candidate: Candidate) -> list[Compare]:
    return [compared(Completion(*reply)) for reply in candidate.replies]


def _moves(candidate: Candidate, other: Answers) -> list[Move]:
    """What its replies gained and were promised; none where that was not asked or could not be."""
    asked = _asked(candidate)
    return [move(other, [query]) for query in asked] if all(query in other for query in asked) else []


def _record(scores: _Scores, other: Answers) -> Mapping[str, float]:
    lift, after = scores.mean, float(scores.other.mean())
    moves = _moves(scores.candidate, other)
    promised = {"promised": sum(each.promised for each in moves) / len(moves)} if moves else {}
    return {"base": after - lift, "tuned": after, "lift": lift, **promised}
