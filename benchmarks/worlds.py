"""Simulated models: views whose effects on texts are drawn from a law, for runs through the product's own path.

Knows views and queries, and which query stands for which probe's items; neither probes nor verdicts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Answer, CompletionScore, RollingLogprob
from sway_gguf.core.queries import Completion, NextToken, Query, Rolling
from sway_gguf.core.sections import Paraphrase, Preference, Section
from sway_gguf.core.views import NullView, ScaledView, View
from sway_gguf.probes.base import Sources
from sway_gguf.stats.interval import MIN_ITEMS

GROUPS = ("prompts", "sections", "preferences", "paraphrases")
"""Kinds of items. A view has an effect on each of them, beside one on every single text."""
_VOCABULARY = 16


@dataclass(frozen=True)
class Law:
    """How effects are distributed, over views and over texts, in nats per token.

    Attributes:
        name: "normal", "t4" (heavy tails, those of one view together), or the σ of a lognormal.
        views: size of a view's effect on all items of a group.
        texts: size of its further effect on every text by itself, items and controls.
        alike: correlation of a view's effects on the groups, before the law bends them.
    """

    name: str = "normal"
    views: float = 0.15
    texts: float = 0.15
    alike: float = 0.5

    def bend(self, bell: NDArray[np.float64], tails: NDArray[np.float64]) -> NDArray[np.float64]:
        """Normal draws as the law has them; `tails` are χ² of 4 degrees, one per view."""
        if self.name == "normal":
            return bell
        if self.name == "t4":
            return np.asarray(bell / np.sqrt(tails / 4))
        return np.asarray(np.exp(float(self.name) * bell))


@dataclass(frozen=True)
class Effect:
    """What the real adapter does to a group's items over and above a null: mean, and spread over items."""

    mean: float
    spread: float = 0.0


@dataclass
class World:
    """The script of one run: every random draw depends on its number and on the text, not on the order of asking."""

    run: int
    law: Law
    sources: Sources
    nulls: int
    effects: Mapping[str, Effect] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.run, 0])
        alike, views = self.law.alike, self.nulls + 1
        bell = np.sqrt(alike) * rng.standard_normal((1, views))
        bell = bell + np.sqrt(1 - alike) * rng.standard_normal((len(GROUPS), views))
        self._tails = rng.chisquare(4, views)
        self._common = dict(zip(GROUPS, self.law.bend(bell, self._tails), strict=True))
        self._groups = {section.text: "sections" for section in self.sources.sections}
        self._groups |= {pair.prompt + pair.chosen: "preferences" for pair in self.sources.preferences}
        for case in self.sources.paraphrases:
            self._groups |= {prompt + case.gold: "paraphrases" for prompt in (case.prompt, *case.paraphrases)}
        self._known: dict[Query, list[Answer]] = {}

    def __call__(self, view: View, query: Query) -> Answer:
        """What the view answers.

        Raises:
            TypeError: a query of a kind that no probe of these runs asks.
        """
        answers = self._known.get(query)
        if answers is None:
            answers = self._known[query] = self._answers(query)
        return answers[_row(view)]

    def _answers(self, query: Query) -> list[Answer]:
        """Of the base, the real adapter and each null."""
        text = _text(query)
        rng = np.random.default_rng([self.run, *_digest(text)])
        shifts = self.law.texts * self.law.bend(rng.standard_normal(self.nulls + 1), self._tails)
        group = "prompts" if isinstance(query, NextToken) else self._groups.get(text)
        if group:
            effect = self.effects.get(group, Effect(0.0))
            shifts += self.law.views * self._common[group]
            shifts[0] += effect.mean + effect.spread * rng.standard_normal()
        shifts = np.concatenate([[0.0], shifts])
        if isinstance(query, NextToken):
            logits = rng.standard_normal(_VOCABULARY) + shifts[:, None] * (np.arange(_VOCABULARY) == 0)
            return list((logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32))
        if isinstance(query, Completion):
            words = len(query.completion.split())
            first = 0.3 * rng.standard_normal()
            return [CompletionScore(float(first + words * (shift - 3.0)), words) for shift in shifts]
        words = len(text.split())
        scores = (rng.normal(-1.0, 0.2, words) + shifts[:, None]).astype(np.float32)
        ids = np.arange(words + 1)
        return [RollingLogprob(ids, row, words + 1, float(row.sum())) for row in scores]


def texts_of(items: int) -> Sources:
    """Material of so many items for each probe, and half as many unrelated texts."""
    return Sources(
        sections=tuple(
            Section(f"s{n}", f"Section {n} begins here. It tells of something. Then it ends.") for n in range(items)
        ),
        preferences=tuple(Preference(f"choice {n}", " yes it is", " no it is") for n in range(items)),
        paraphrases=tuple(Paraphrase(f"question {n}", " an answer", (f"{n} otherwise",)) for n in range(items)),
        general=tuple(
            f"General text {n} is here. It goes on for a while. It ends." for n in range(max(MIN_ITEMS, items // 2))
        ),
        prompts=tuple(f"prompt {n}" for n in range(items)),
    )


def _row(view: View) -> int:
    """The place of a view among the answers: what moves nothing first, then the real adapter, then the nulls."""
    if isinstance(view, NullView):
        return 1 + view.seed
    return 1 if isinstance(view, ScaledView) and view.scale == 1.0 else 0


def _text(query: Query) -> str:
    if isinstance(query, NextToken):
        return query.prompt
    if isinstance(query, Completion):
        return query.prompt + query.completion
    if isinstance(query, Rolling):
        return query.text
    raise TypeError(f"no probe of these runs asks a {type(query).__name__}")


@cache
def _digest(text: str) -> tuple[int, ...]:
    return tuple(hashlib.sha256(text.encode()).digest()[:16])
