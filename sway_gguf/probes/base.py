"""What a probe is: it asks, and it measures. Registers the kinds.

A probe never calls an engine, never knows whether "tuned" is the real adapter or a null, and never computes
a z or a p.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Axis, Item, Measurement
from sway_gguf.core.panel import panel_of
from sway_gguf.core.queries import Query, shorten
from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.core.rules import AboveNull, AllChecks, Rule
from sway_gguf.probes.sources import Sources as Sources
from sway_gguf.spec.options import ProbeOptions

Options = TypeVar("Options", bound=ProbeOptions)
Thing = TypeVar("Thing")
SHOWN_NULLS = 3
"""Nulls visited for a probe beside whose value they are shown."""
CONTROLS = 0.5
"""Texts to compare with on a panel, per item: nulls need no interval, only the same comparison as the adapter."""


class Probe(ABC, Generic[Options]):
    """One measurement with a stated direction.

    Class attributes:
        kind: name in specs.
        axis: the question it speaks for.
        question: in plain words.
        unit: of its value.
        options_type: its fields in a spec.
        passing: what PASS means, as a rule in words for `sway-gguf probes`.
        caveat: what PASS does not mean, in a sentence.
        follows: a query of each kind that it asks only once others are answered.
        static: whether it measures files alone, and no view of the model.
        foreign: whether it measures on a backend itself, as the original's do.
        retired: fields of the original that have no effect here, and why.
        of_sets: whether it needs several adapters; a run of a set has it in any case, and no other suite does.
        quick: whether `check` runs it; what generates text is left to `run`.
        quick_options: fields that `check` gives it, where it is cheaper so.
    """

    kind: ClassVar[str]
    axis: ClassVar[Axis]
    question: ClassVar[str]
    unit: ClassVar[str]
    passing: ClassVar[str]
    caveat: ClassVar[str]
    options_type: ClassVar[type[ProbeOptions]]
    follows: ClassVar[tuple[Query, ...]] = ()
    static: ClassVar[bool] = False
    quick: ClassVar[bool] = True
    quick_options: ClassVar[Mapping[str, Any]] = {}
    foreign: ClassVar[bool] = False
    of_sets: ClassVar[bool] = False
    retired: ClassVar[Mapping[str, str]] = {}

    def __init__(self, options: Options, sources: Sources, remarks: Sequence[str] = ()) -> None:
        self.options = options
        self.sources = sources
        self.remarks = tuple(remarks)
        self._panel: int | None = None
        self._bare = False

    def on_panel(self, most: int, *, bare: bool = False) -> Self:
        """The same probe on a panel of at most `most` of its items, each of which the whole probe asks as well.

        Args:
            most: items.
            bare: whether they are all that it asks about, with no other text to compare them with.
        """
        narrowed = copy.copy(self)
        narrowed._panel, narrowed._bare = most, bare
        return narrowed

    @classmethod
    def retired_fields(cls) -> Mapping[str, str]:
        """`retired`, and what is so for every kind."""
        return {"weight": "axes are verdicts, not weighted scores", **cls.retired}

    @property
    def rule(self) -> Rule:
        """How its value is judged."""
        return AboveNull("higher")

    @property
    def scales(self) -> tuple[float, ...]:
        """Scalings λ of the adapter that it must see besides 1."""
        return ()

    @property
    def members(self) -> tuple[int, ...]:
        """Places of the adapters of a set that it must see alone."""
        return ()

    @property
    def shows_nulls(self) -> bool:
        """Whether nulls are shown beside a value that they do not decide: what size alone does."""
        return True

    def result(self, verdict: Verdict, reason: str) -> ProbeResult:
        """Its outcome where nothing was measured."""
        return ProbeResult(
            self.options.name,
            self.kind,
            self.axis,
            verdict,
            reason,
            self.unit,
            notes=self.remarks,
            decides=self.rule.decides,
            optional=self.rule.optional,
            question=self.question,
            passing=self.passing,
            caveat=self.caveat,
        )

    @abstractmethod
    def missing(self) -> str:
        """What it lacks to run, as advice to the user; "" when it can run."""

    @abstractmethod
    def ask(self) -> Sequence[Query]:
        """Everything it wants to know of each view."""

    def follow_up(self, base: Answers, own: Answers) -> Sequence[Query]:
        """What it asks of a view once its earlier questions are answered; asked again until nothing is new.

        What the backend cannot give, and `follows` does not name, stays without an answer.

        Args:
            base: the base's answers, complete unless the view is the base itself.
            own: this view's answers so far; the same object as `base` where the view is the base.
        """
        return ()

    def foresee(self) -> Sequence[Query]:
        """Queries about as long as the follow-ups of one view will be, for the plan."""
        return ()

    @abstractmethod
    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Its number for one view against the base."""

    def held(self, items: Iterable[Thing], query: Callable[[Thing], Query]) -> list[Thing]:
        """Those items whose query the context holds, each once."""
        return [item for item in dict.fromkeys(items) if self.sources.holds(query(item))]

    @property
    def narrowed(self) -> bool:
        """Whether it stands on a panel, where a mean is compared and nothing else is looked for."""
        return self._panel is not None

    @property
    def bare(self) -> bool:
        """Whether it asks about no text but its items; its value is then that of the items alone."""
        return self._bare

    def drawn(self, items: Sequence[Thing], *, share: float = 1.0, least: int = 0) -> list[Thing]:
        """All of `items`, or on a panel those that take part: `share` of its size, and not fewer than `least`."""
        if self._panel is None:
            return list(items)
        return panel_of(items, max(least, math.ceil(share * self._panel)), self.sources.seed)

    def prompts_of(self, given: Sequence[str]) -> Sequence[str]:
        """`given` as the run's format has requests; the run's prompts where none are given."""
        return [self.sources.request(prompt) for prompt in given] or self.sources.prompts

    def asked(self, prompt: str) -> str:
        """What a prompt asks, without what a template writes around it."""
        return self.sources.requests.get(prompt, prompt)

    def label(self, prompt: str) -> str:
        """The same for a report."""
        return shorten(self.asked(prompt))

    def over_scales(self, curve: Mapping[float, Measurement]) -> Measurement:
        """For a probe with `scales`: one measurement from those at each λ, 1 included."""
        return curve[1.0]

    def over_members(self, together: Measurement, alone: Mapping[int, Measurement]) -> Measurement:
        """For a probe with `members`: one measurement from that of the set and those of each adapter alone."""
        return together


class StaticProbe(Probe[Options]):
    """A probe that measures files alone and is judged by its checks."""

    static = True
    rule = AllChecks()
    shows_nulls = False

    def ask(self) -> Sequence[Query]:
        """Nothing."""
        return ()


def mean_of(items: Sequence[Item]) -> float:
    """Mean of the items' values; 0 without items."""
    return sum(item.value for item in items) / len(items) if items else 0.0
