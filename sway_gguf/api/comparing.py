"""`compare`: what changed between two runs of one suite. Wraps a record; pairs nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sway_gguf.api.arguments import PathLike
from sway_gguf.api.named import Named
from sway_gguf.api.result import Result, result_of
from sway_gguf.choose.compare import compare as compared
from sway_gguf.core.comparison import AxisChange, Comparison, Movement, ProbeChange

if TYPE_CHECKING:
    import pandas as pd

_SILENT = (Movement.UNDETECTED, Movement.WITHIN_NOISE, Movement.UNTESTED)


class Changes(Named[ProbeChange]):
    """What changed from one result to another: a mapping from a probe's name to what became of it.

    Args:
        record: everything there is, as `compare --json` writes it.
    """

    def __init__(self, record: Comparison) -> None:
        self.record = record
        super().__init__(record.probes, "both runs")

    @property
    def regressed(self) -> bool:
        """Whether a probe got worse beyond chance and noise, or an axis fails that did not."""
        return self.record.regressed

    @property
    def axes(self) -> Mapping[str, AxisChange]:
        """The axes in both results, by name."""
        return {axis.axis: axis for axis in self.record.axes}

    def to_frame(self, rows: str = "probes") -> pd.DataFrame:
        """The numbers as a pandas data frame.

        Args:
            rows: "probes", one row for each by its name; or "items", one row for each item in both results.

        Raises:
            UserError: pandas is not installed, or `rows` is neither.
        """
        from sway_gguf.api.frame import changes_frame

        return changes_frame(self.record, rows)

    def __repr__(self) -> str:
        """The diagnoses, and each probe and axis that moved: what pytest shows of a failed assert."""
        word = "regressed" if self.regressed else "no regression"
        moved = [f"\n  {p.name}: {p.movement}, {p.reason}" for p in self.values() if p.movement not in _SILENT]
        moved += [f"\n  axis {a.axis}: {a.old} → {a.new}" for a in self.record.axes if a.old != a.new]
        diagnoses = f"{self.record.old_diagnosis} → {self.record.new_diagnosis}"
        return f"<sway_gguf.Changes {diagnoses}, {word}{''.join(moved)}>"

    def _repr_html_(self) -> str:
        """The changes as a notebook shows them."""
        from sway_gguf.report.card import changes_card

        return changes_card(self.record)


def compare(old: Result | PathLike, new: Result | PathLike, *, lenient: bool = False) -> Changes:
    """What changed from `old` to `new`; as the command `sway-gguf compare` does.

    Args:
        old, new: results of one suite, their paths, or names of baselines that are kept in the current folder.
        lenient: compare the items that are in both where they did not ask the same.

    Raises:
        UserError: a file is wrong, no probe is in both, or items differ.
    """
    sides = [
        (what if isinstance(given, Result) else str(given), result_of(given, what).record)
        for what, given in (("old", old), ("new", new))
    ]
    return Changes(compared(*sides[0], *sides[1], lenient=lenient))
