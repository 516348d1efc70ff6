"""Which of many candidates ships, as plain records. Knows shapes only; nothing here measures or chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sway_gguf.core.plan import Speed
from sway_gguf.core.result import AxisResult, Verdict


class Standing(StrEnum):
    """Where a candidate's collateral lies."""

    WITHIN = "within"  # surely no worse than the tolerance
    OPEN = "open"  # its interval reaches across the tolerance
    BEYOND = "beyond"  # surely worse
    ENDLESS = "endless"  # its replies no longer end
    BROKEN = "broken"  # it gives numbers that are not finite


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over items.

    Attributes:
        value: the mean.
        interval: 95%; of what a candidate adds to adapters beside it, 95% for all that may be tried in turn, so that
            each is longer. None where there are too few items.
        items: how many.
    """

    value: float
    interval: tuple[float, float] | None
    items: int


@dataclass(frozen=True, slots=True)
class PickRow:
    """One candidate: an adapter at a scale. Lifts are beyond what unrelated text gained, nats per token.

    Attributes:
        name: unique among the candidates.
        path: of the adapter.
        step: of training, where its name tells; None elsewhere.
        scale: λ.
        data: lift of the text that was trained on.
        held_out: lift of the text like it that was not; None without a holdout.
        prose: change of general prose, nats per token.
        everyday: change of good replies to everyday requests; None without a chat template.
        leakage: share of the passages that 1000 samples newly bring out, less that of held-out passages.
        ending: change of the log-probability of what ends a reply, nats; None where nothing ends one.
        standing, reason: of its collateral.
        pareto: whether no other candidate lifts held-out text as much at as little cost.
        equal: whether it is as good as the best within noise.
    """

    name: str
    path: str
    step: int | None
    scale: float
    data: Estimate | None = None
    held_out: Estimate | None = None
    prose: Estimate | None = None
    everyday: Estimate | None = None
    leakage: Estimate | None = None
    ending: Estimate | None = None
    standing: Standing = Standing.OPEN
    reason: str = ""
    pareto: bool = False
    equal: bool = False

    @property
    def lift(self) -> Estimate | None:
        """What speaks for it: the held-out lift, or that of the data where nothing was held out."""
        return self.held_out or self.data

    @property
    def cost(self) -> float | None:
        """The worst of its changes on unrelated text; None where none could be measured."""
        found = [each.value for each in (self.prose, self.everyday) if each is not None]
        return min(found) if found else None


@dataclass(frozen=True, slots=True)
class Pick:
    """All candidates, and the one that ships.

    Attributes:
        rows: in the order asked.
        winner: name of the one that ships; "" for none.
        favourite: name of the one that would, were it not for the nulls; "" for none.
        verdict: PASS where there is a winner, WARN where with reservations, FAIL where none is any good, else
            INCONCLUSIVE.
        summary: what was found, in sentences, the verdict's first.
        command: shell lines that run the winner in llama.cpp.
        band: names of the candidates that are equal to the best within noise.
        refused: names of those that would have been taken, and are not shown to be more than noise.
        overtrained: name of the first candidate that over-trained, or "".
        reported: the winner's lift on the items that took no part in the choice; None where there were too few.
        chosen_on: items that the choice was made on.
        tolerance: accepted change of unrelated text, nats per token.
        held_out: whether there was held-out text.
        axes: signal and direction of the favourite against nulls.
        nulls: visited for that.
        remarks: on what was left out, and on what these numbers cannot show.
        base: the base's file.
        timings: seconds and tokens, by name.
        fixed: what was loaded beside every candidate, by its files and scales.
        alone: the numbers of that without any candidate; None where nothing was.
        added: what the favourite adds to its lift, on the items that `reported` is of, or on all where there were few.
        skills: lifts of each adapter alone, of all together, and the interaction, text by text, as the probe of sets
            records them; empty where no text of theirs was given.
    """

    rows: tuple[PickRow, ...]
    winner: str
    favourite: str
    verdict: Verdict
    summary: tuple[str, ...]
    command: tuple[str, ...] = ()
    band: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    overtrained: str = ""
    reported: Estimate | None = None
    chosen_on: int = 0
    tolerance: float = 0.0
    held_out: bool = True
    axes: tuple[AxisResult, ...] = ()
    nulls: int = 0
    remarks: tuple[str, ...] = ()
    base: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    alone: PickRow | None = None
    added: Estimate | None = None
    skills: tuple[Mapping[str, Any], ...] = ()

    @property
    def pareto(self) -> tuple[str, ...]:
        """Names of the candidates that none beats in both lift and cost."""
        return tuple(row.name for row in self.rows if row.pareto)

    def row(self, name: str) -> PickRow:
        """The candidate of a name."""
        return next(row for row in self.rows if row.name == name)


@dataclass(frozen=True, slots=True)
class PickPlan:
    """What a pick would do.

    Attributes:
        base, candidates, format: what takes part.
        data, held_out: items asked of each.
        view: tokens of one candidate.
        least, most: tokens in all, where the first look at the nulls decides, and at most.
        remarks: on what was left out.
        speed: at which the last run went; None where nothing is known.
        fixed: what is loaded beside every candidate, and asked alone as well; "" for nothing.
    """

    base: str
    candidates: tuple[str, ...]
    format: str
    data: int
    held_out: int
    view: int
    least: int
    most: int
    remarks: tuple[str, ...] = ()
    speed: Speed | None = None
    fixed: str = ""

    @property
    def candidates_alone(self) -> int:
        """Tokens of the base, of what is loaded beside the candidates and of them, without those of nulls."""
        return self.view * (1 + bool(self.fixed) + len(self.candidates))
