"""When a run has seen enough nulls, and which damage is to be held against size. Has no rule of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from sway_gguf.core.result import Verdict
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.looks import near, overwhelming, settled
from sway_gguf.verdict.reading import Reading


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a run asks between its visits, of the readings so far.

    Attributes:
        settled: whether no further null could change a verdict.
        overwhelming: names of probes that the first look settled.
        near: names of probes that one more null of the first look may settle.
        damaged: names of probes that nulls do not decide and that did not pass, but for those that could not tell.
    """

    settled: Callable[[Sequence[Reading]], bool]
    overwhelming: Callable[[Sequence[Reading]], Collection[str]]
    near: Callable[[Sequence[Reading]], Collection[str]]
    damaged: Callable[[Sequence[Reading]], Collection[str]]


TO_THE_END = Decisions(
    settled=lambda readings: False,
    overwhelming=lambda readings: (),
    near=lambda readings: (),
    damaged=lambda readings: [reading.name for reading in readings],
)
"""Every null that is planned."""


def decisions_of(first: int | None, *, alpha: float) -> Decisions:
    """Those of a run whose first look takes `first` nulls; of a single look where that is None."""

    def damaged(readings: Sequence[Reading]) -> Collection[str]:
        others = [reading for reading in readings if not (reading.rule.by_nulls or reading.tuned.undecided)]
        return [found.name for found in judge(others, alpha=alpha) if found.verdict != Verdict.PASS]

    if first is None:
        return replace(TO_THE_END, damaged=damaged)
    return Decisions(
        settled=lambda readings: settled(readings, first),
        overwhelming=lambda readings: [readings[place].name for place in overwhelming(readings, first)],
        near=lambda readings: [readings[place].name for place in near(readings, first)],
        damaged=damaged,
    )
