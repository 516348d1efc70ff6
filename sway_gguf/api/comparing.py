"""`compare`: what changed between two results. Knows arguments; which test tells stands in `verdict.changes`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sway_gguf.api.arguments import PathLike
from sway_gguf.api.result import Result
from sway_gguf.choose.compare import compare as compared
from sway_gguf.cli.baselines import read_baseline
from sway_gguf.core.comparison import Comparison, ProbeChange
from sway_gguf.core.errors import UnknownNameError
from sway_gguf.core.result import SuiteResult
from sway_gguf.report.changes import markdown_changes
from sway_gguf.spec.options import nearest


class Changes(Mapping[str, ProbeChange]):
    """What changed from one result to another: a mapping from a probe's name to what became of it.

    Args:
        record: everything there is.
    """

    def __init__(self, record: Comparison) -> None:
        self.record = record
        self._probes = {probe.name: probe for probe in record.probes}

    @property
    def regressed(self) -> bool:
        """Whether a probe got worse beyond chance and noise, or an axis fails that did not."""
        return self.record.regressed

    def __getitem__(self, name: str) -> ProbeChange:
        """What became of the probe `name`.

        Raises:
            UnknownNameError: it is not in both; a `KeyError` too.
        """
        try:
            return self._probes[name]
        except KeyError:
            raise UnknownNameError(f"{name!r} is no probe of both runs, {nearest(str(name), self._probes)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._probes)

    def __len__(self) -> int:
        return len(self._probes)

    def __repr__(self) -> str:
        moved = ", ".join(f"{name} {probe.movement}" for name, probe in self._probes.items())
        return f"<sway_gguf.Changes {self.record.old_diagnosis} → {self.record.new_diagnosis}: {moved}>"

    def _repr_markdown_(self) -> str:
        """The table of changes as a notebook shows it."""
        return markdown_changes([self.record])


def compare(old: Result | PathLike, new: Result | PathLike, *, lenient: bool = False) -> Changes:
    """What changed from `old` to `new`, paired item by item; as the command `sway-gguf compare` does.

    Args:
        old, new: results, their paths, or the names of baselines.
        lenient: compare the items that are in both, where others differ.

    Raises:
        UserError: a file is wrong, or the runs asked different items.
    """
    return Changes(compared(*_named(old, "old"), *_named(new, "new"), lenient=lenient))


def _named(given: Result | PathLike, name: str) -> tuple[str, SuiteResult]:
    return (name, given.record) if isinstance(given, Result) else (str(given), read_baseline(str(given)))
