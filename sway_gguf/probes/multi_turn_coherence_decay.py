"""multi_turn_coherence_decay: does the effect last through a dialogue?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.dialogue import ASSISTANT, USER, Dialogue, exchange
from sway_gguf.core.divergence import js
from sway_gguf.core.errors import UserError
from sway_gguf.core.measurement import Check, Item, Measurement
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Generate, NextToken, Query, shorten
from sway_gguf.core.rules import AllChecks
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.prompt_collapse import decay_note
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.decay import fit_decay

_PROMPTS = 8
_FOLLOW_UPS = (
    "Please go on.",
    "Can you tell me more about that?",
    "Why is that so?",
    "What happens then?",
    "Can you give an example?",
    "Is there anything else?",
    "Please say it in other words.",
)


class MultiTurnOptions(ProbeOptions):
    """Fields of `multi_turn_coherence_decay`."""

    kind: Literal["multi_turn_coherence_decay"] = "multi_turn_coherence_decay"
    prompts: list[str] = Field(
        default_factory=list, description="first user turns; default: the run's prompts, 8 at most"
    )
    turns: int = Field(default=4, ge=2, le=8, alias="max_turns", description="user turns")
    follow_ups: list[str] = Field(default=list(_FOLLOW_UPS), min_length=1, description="later user turns, in order")
    max_new_tokens: int = Field(default=32, ge=1, description="length of a reply")
    assert_half_life_turns: float = Field(default=2.0, gt=0, description="the half-life that passes")


class MultiTurnCoherenceDecay(Probe[MultiTurnOptions]):
    """Half-life, in turns, of the effect at the opening of each reply in a dialogue.

    The dialogues are the base's own greedy ones, through the chat template of the GGUF, so that every view is asked
    after the very same words: D(t) = mean over dialogues of JS(tuned, base) for the first token of reply t. An effect
    that the base's words soon talk away does not last. Fit and interval as in `prompt_collapse`. value = D(1), nats.
    """

    kind = "multi_turn_coherence_decay"
    axis = "signal"
    question = "Does the effect last through a dialogue, after several turns of the base's own words?"
    unit = "nats"
    passing = "the effect stays level or grows over the turns, or halves no sooner than assert_half_life_turns"
    caveat = "the dialogue is the base's own, so it does not show what the tuned model would make of its own words."
    options_type = MultiTurnOptions
    quick = False
    rule = AllChecks()
    shows_nulls = False  # A null has no effect that could decay.
    retired: ClassVar[Mapping[str, str]] = {
        "divergence": "JS always",
        "top_k": "divergences are exact over the vocabulary",
    }

    @property
    def prompts(self) -> list[str]:
        """First user turns."""
        given = self.options.prompts or [self.asked(prompt).strip() for prompt in self.sources.prompts]
        return self.drawn(sample_of(self.held(given, self._whole), _PROMPTS))

    def missing(self) -> str:
        """Prompts, and a chat template."""
        if self.sources.chat is None:
            return "the base carries no chat template"
        try:
            return "" if self.prompts else "give it prompts"
        except UserError as error:
            return str(error)

    def ask(self) -> Sequence[Query]:
        """The opening of the first reply."""
        return [NextToken(self._rendered(exchange(prompt))) for prompt in self.prompts]

    def follow_up(self, base: Answers, own: Answers) -> Sequence[Query]:
        """Of the base, its replies turn by turn; of every view, the opening of each later reply."""
        asked: list[Query] = []
        if self.narrowed:
            return asked
        for prompt in self.prompts:
            for dialogue in self._dialogue(base, prompt):
                rendered = self._rendered(dialogue)
                asked.append(NextToken(rendered))
                if base is own and len(dialogue.turns) < 2 * self.options.turns - 1:
                    asked.append(Generate(rendered, self.options.max_new_tokens))
        return asked

    def foresee(self) -> Sequence[Query]:
        """About what one view's turns cost."""
        return [
            NextToken(" ".join([prompt, *(" word" * self.options.max_new_tokens for _ in range(turn))]))
            for prompt in self.prompts
            for turn in range(1, self.options.turns)
        ]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Divergence per dialogue and turn, and the fit."""
        dialogues = [self._dialogue(base, prompt) for prompt in self.prompts]
        turns = 1 if self.narrowed else self.options.turns
        table = np.array([[self._divergence(base, other, d) for d in dialogue[:turns]] for dialogue in dialogues])
        items = tuple(
            Item(shorten(prompt), float(row[0]), {"by_turn": row.tolist()}, asked=(prompt,))
            for prompt, row in zip(self.prompts, table, strict=True)
        )
        if self.narrowed:
            return Measurement(mean_of(items), items)
        means = table.mean(axis=0)
        details = {"mean_divergence": means.tolist(), "dialogue": self._dialogue(base, self.prompts[0])[-1].messages()}
        if not means.min() > 0:
            return Measurement(mean_of(items), items, undecided="there is no effect to decay", details=details)
        decay = fit_decay(np.arange(table.shape[1], dtype=np.float64), table)
        lasts = decay.half_life is None or decay.half_life >= self.options.assert_half_life_turns
        text = "the effect lasts" if lasts else f"the effect halves every {decay.half_life:.1f} turns"
        return Measurement(
            mean_of(items),
            items,
            checks=(Check("lasts", lasts, text),),
            notes=(decay_note(decay, "turns"),),
            details=details | {"half_life": decay.half_life, "half_life_interval": decay.interval},
        )

    def _divergence(self, base: Answers, other: Answers, dialogue: Dialogue) -> float:
        query = NextToken(self._rendered(dialogue))
        return js(base.next_token(query), other.next_token(query))

    def _dialogue(self, base: Answers, prompt: str) -> list[Dialogue]:
        """What stands before each reply, as far as the base's answers reach."""
        dialogue = exchange(prompt)
        found = [dialogue]
        for turn in range(1, self.options.turns):
            query = Generate(self._rendered(dialogue), self.options.max_new_tokens)
            if query not in base:
                break
            reply = base.generated(query).text.strip() or "…"
            follow = self.options.follow_ups[(turn - 1) % len(self.options.follow_ups)]
            dialogue = dialogue.then(ASSISTANT, reply).then(USER, follow)
            found.append(dialogue)
        return found

    def _whole(self, prompt: str) -> Query:
        """The dialogue at its longest."""
        if self.sources.chat is None:
            return NextToken(prompt)
        longest, later = exchange(prompt), self.options.turns - 1
        for turn in range(later):
            longest = longest.then(ASSISTANT, "…").then(
                USER, self.options.follow_ups[turn % len(self.options.follow_ups)]
            )
        return Generate(self._rendered(longest), later * self.options.max_new_tokens)

    def _rendered(self, dialogue: Dialogue) -> str:
        assert self.sources.chat is not None
        return self.sources.chat(dialogue)
