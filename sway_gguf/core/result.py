"""The outcome of a run, as plain records: what result.json holds and what reports draw.

Knows shapes only; nothing here judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sway_gguf.core.file_records import FileRecord
from sway_gguf.core.measurement import Check, Curve, Item, Table
from sway_gguf.core.score import Score
from sway_gguf.core.shown import Heat, Reply
from sway_gguf.core.toll import Toll

SCHEMA_VERSION = 2


class Verdict(StrEnum):
    """The outcome of a probe or an axis."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    SKIP = "SKIP"
    ERROR = "ERROR"


class Diagnosis(StrEnum):
    """The run in one word."""

    HEALTHY = "healthy"
    NO_OP = "no-op"
    NOISE = "noise"
    OFF_TARGET = "off-target"
    DAMAGING = "damaging"
    MEMORIZING = "memorizing"
    LOST_IN_DEPLOYMENT = "lost-in-deployment"
    BROKEN = "broken"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class RankNulls:
    """A probe's null values at another rank, with their mean, sd and the real value's z."""

    values: tuple[float, ...]
    mean: float
    sd: float
    z: float | None


@dataclass(frozen=True, slots=True)
class NullSummary:
    """A probe's value among its nulls.

    Attributes:
        values: of the nulls, in the order of the run's seeds.
        mean, sd: of them.
        z: shown, never the gate; None where sd is 0.
        rank_p, tail_p: uncorrected.
        holm_p: the tail p after Holm's correction over the run; None for a probe that nulls do not decide.
        family_p: the p: by rank over all such probes of the run at once (step-down maxT); None likewise.
        by_rank: nulls of other ranks, by rank scale; shown, never the gate.
        value: of the real adapter on the panel of `items` items that the nulls answered; what is compared with them.
            None in records of a time when nulls answered everything.
        early: whether the first look settled it: the tail p, far below the bar of that look, is its p then. Its nulls
            answered the items alone. That p is of the adapter's items alone too; off `value`, what other text gained is
            taken, and z, rank_p and tail_p are those of what is left.
    """

    values: tuple[float, ...]
    mean: float
    sd: float
    z: float | None
    rank_p: float
    tail_p: float
    holm_p: float | None
    family_p: float | None
    by_rank: Mapping[str, RankNulls] = field(default_factory=dict)
    value: float | None = None
    items: int | None = None
    early: bool = False

    @property
    def p(self) -> float | None:
        """The p that decides: by rank over the run, or the corrected tail p where the first look settled it."""
        return self.holm_p if self.early else self.family_p

    @property
    def beaten(self) -> bool:
        """Whether some null does as well: beyond all m of them the rank p is 1 / (m + 1)."""
        return self.rank_p > 1.0 / (len(self.values) + 1)


@dataclass(frozen=True, slots=True)
class PartResult:
    """A further mean beside a probe's value, in the same unit.

    Attributes:
        name: of the part.
        value: of the real adapter.
        items: how many it is a mean of.
        interval: 95%, over items; None where there are too few.
        nulls: its values on the nulls, in the order of their seeds.
        above: whether the whole interval lies beyond zero and the noise, and the value beyond every null; None where
            items or nulls are too few to tell. Not corrected over the run.
    """

    name: str
    value: float
    items: int
    interval: tuple[float, float] | None = None
    nulls: tuple[float, ...] = ()
    above: bool | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe's outcome.

    Attributes:
        name, kind, axis: which probe.
        verdict: its outcome, and `reason` why, in one line.
        value: in `unit`; None where nothing was measured.
        interval: 95%, over items; None where there are too few.
        null: where nulls were visited.
        noise_floor: the same measurement of base against base, in other batches and under an update too small to
            matter; None where base against base could not differ.
        items, controls, checks, notes, details: as measured on the tuned view.
        parts: further means beside the value.
        decides: whether a PASS answers the axis; the shape of a curve can only qualify another probe's answer.
        optional: whether it leaves the axis alone, however it came out: what it looks for, an adapter need not do.
        headline: what to say of the adapter where this names the diagnosis; "" for the words of its axis.
        question, passing, caveat: what it asks, what a PASS means and what it does not mean, in plain words.
        curve, table: beside the value, where there are any.
        better: which way of the value is better: higher, lower or two-sided; "" where the value alone says neither.
        toll: of a collateral value, the same in units that a user knows.
        limit: tolerance that the value is held against, in `unit`; None where there is none, and in records of a time
            when it was not kept.
        through_template: whether all items were asked through a chat template, so that a wrong one spoils them.
    """

    name: str
    kind: str
    axis: str
    verdict: Verdict
    reason: str
    unit: str = ""
    value: float | None = None
    interval: tuple[float, float] | None = None
    null: NullSummary | None = None
    noise_floor: float | None = None
    items: tuple[Item, ...] = ()
    controls: tuple[Item, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    decides: bool = True
    optional: bool = False
    headline: str = ""
    parts: tuple[PartResult, ...] = ()
    question: str = ""
    passing: str = ""
    caveat: str = ""
    curve: Curve | None = None
    table: Table | None = None
    better: str = ""
    toll: Toll | None = None
    limit: float | None = None
    through_template: bool = False


@dataclass(frozen=True, slots=True)
class AxisResult:
    """One of the six questions, answered."""

    axis: str
    verdict: Verdict
    reason: str
    probes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NullsUsed:
    """How the run's nulls were drawn.

    Attributes:
        count, seeds, design, rank_scale, init_scale, energy: as drawn; those that were asked.
        smallest_rank_p: 1 / (count + 1).
        planned: how many would have been asked at most; 0 in records of a time when all were.
        panel: most items that they answered for a probe that they decide; None for all of them.
        look: at which look it was decided, 1 or 2; 0 for a run of a single one, or where nulls decide nothing.
        assumption: the sentence behind the p-values.
    """

    count: int
    seeds: tuple[int, ...]
    design: str
    rank_scale: float
    init_scale: float
    smallest_rank_p: float
    assumption: str
    energy: str = "rank"
    planned: int = 0
    panel: int | None = None
    look: int = 0


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """A whole run.

    Attributes:
        diagnosis: in one word, and `headline` in one sentence.
        axes, probes: in order.
        nulls: how they were drawn.
        alpha, seed: of the tests and of everything random.
        files: that took part.
        engine: versions, batch layout, features.
        libraries: name to version.
        timings: seconds, tokens evaluated, tokens whose answers came from the store, and tokens of views that were
            begun ahead and not needed; differs between equal runs, as `started_at` does.
        remarks: on the spec, such as fields without effect.
        schema_version: of this record.
        format: how dialogues became text.
        settings: what the run was asked for beside its files and suite, by spec or command line, with a spec's keys;
            empty in records of a time when it was not kept.
        learned: content, manner or neither, in a sentence with its numbers; "" where nothing tells.
        texts: what was asked in full, by the key of its item; empty where the user left texts out.
        replies: what base and tuned model say to a few prompts.
        heat: where in a few texts the probability moved.
        score: the composite score of the `sway` project; shown, never a verdict.
    """

    diagnosis: Diagnosis
    headline: str
    axes: tuple[AxisResult, ...]
    probes: tuple[ProbeResult, ...]
    nulls: NullsUsed
    alpha: float
    seed: int
    files: tuple[FileRecord, ...] = ()
    engine: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    started_at: str = ""
    remarks: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
    format: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    learned: str = ""
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replies: tuple[Reply, ...] = ()
    heat: tuple[Heat, ...] = ()
    score: Score | None = None

    def asked_of(self, item: Item) -> tuple[str, ...]:
        """What was asked of an item, in full; empty where texts were left out."""
        return item.asked or self.texts.get(item.key, ())
