"""`Result`: a run's outcome as a notebook wants it, and `load_result`. Wraps a record of `core`; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sway_gguf.api.arguments import PathLike, path_of
from sway_gguf.api.named import Named
from sway_gguf.core.result import AxisResult, Diagnosis, ProbeResult, SuiteResult
from sway_gguf.core.result_json import read_result

if TYPE_CHECKING:
    import pandas as pd


class Result(Named[ProbeResult]):
    """The outcome of a run: a mapping from a probe's name to what it found.

    Args:
        record: everything there is, as result.json holds it.
    """

    def __init__(self, record: SuiteResult) -> None:
        self.record = record
        super().__init__(record.probes, "this run")

    @property
    def diagnosis(self) -> Diagnosis:
        """The run in one word, such as "healthy" or "noise"; a `str`."""
        return self.record.diagnosis

    @property
    def headline(self) -> str:
        """The run in one sentence."""
        return self.record.headline

    @property
    def axes(self) -> Mapping[str, AxisResult]:
        """The six questions in order, by name: applied, signal, direction, collateral, leakage, survival."""
        return {axis.axis: axis for axis in self.record.axes}

    def to_frame(self, rows: str = "probes") -> pd.DataFrame:
        """The numbers as a pandas data frame.

        Args:
            rows: "probes", one row for each by its name; or "items", one row for each item that a probe averages over.

        Raises:
            UserError: pandas is not installed, or `rows` is neither.
        """
        from sway_gguf.api.frame import frame

        return frame(self.record, rows)

    def save(self, path: PathLike, *, force: bool = False) -> Path:
        """Write the result, in the format that the name's ending says; whole or not at all.

        Args:
            path: where to. What is there is replaced where it is a result of ours, an input of the run never.
            force: replace another file, too.

        Raises:
            UserError: an ending that no format has, or a file that cannot be written or may not be replaced.
        """
        from sway_gguf.api.saving import save

        return save(self.record, path_of(path, "path"), force=force)

    def __repr__(self) -> str:
        return f"<sway_gguf.Result {self.diagnosis}: {self.headline}>"

    def _repr_html_(self) -> str:
        """The verdict as a notebook shows it."""
        from sway_gguf.report.card import card

        return card(self.record)


def result_of(given: Result | PathLike, what: str) -> Result:
    """A result that a caller has, or the one of a file or a baseline's name.

    Args:
        given: by the caller.
        what: it is, for the error.

    Raises:
        UserError: it is none of these.
    """
    if isinstance(given, Result):
        return given
    from sway_gguf.cli.baselines import read_baseline

    return Result(read_baseline(str(path_of(given, what))))


def load_result(path: PathLike) -> Result:
    """Read a result.json, of this release or an older one.

    Raises:
        UserError: it cannot be read or is none.
    """
    return Result(read_result(path_of(path, "path")))
