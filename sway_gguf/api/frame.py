"""A result, and what changed from one to another, as a pandas data frame. Knows records and pandas, an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sway_gguf.core.comparison import Comparison, ProbeChange
from sway_gguf.core.errors import UserError
from sway_gguf.core.result import ProbeResult, SuiteResult
from sway_gguf.spec.options import nearest

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
P = TypeVar("P", ProbeResult, ProbeChange)
Way = tuple[list[str], Callable[[P], Iterator[Row]]]
"""What a row is of: the columns that name it, and the rows of one probe."""


def frame(result: SuiteResult, rows: str) -> pd.DataFrame:
    """One row for each probe, by its name; or for each item of each probe, by the probe's name and the item's label.

    Args:
        result: of a run.
        rows: "probes" or "items".

    Raises:
        UserError: pandas is not installed, or `rows` is neither.
    """
    return _frame(result.probes, rows, _ROWS)


def changes_frame(comparison: Comparison, rows: str) -> pd.DataFrame:
    """One row for each probe in both results; or for each item in both.

    Raises:
        UserError: as `frame` has it.
    """
    return _frame(comparison.probes, rows, _CHANGES)


def _frame(probes: Sequence[P], rows: str, ways: Mapping[str, Way[P]]) -> pd.DataFrame:
    if rows not in ways:
        raise UserError(f"rows: {rows!r} is neither 'probes' nor 'items', {nearest(str(rows), ways)}")
    try:
        import pandas as pd
    except ImportError:
        raise UserError("to_frame() needs pandas; pip install 'sway-gguf[pandas]'") from None
    index, row_of = ways[rows]
    found = [row for probe in probes for row in row_of(probe)]
    return pd.DataFrame(found, columns=None if found else index).set_index(index)


def _probe(probe: ProbeResult) -> Iterator[Row]:
    low, high = probe.interval or (None, None)
    null = probe.null
    yield {
        "probe": probe.name,
        "axis": probe.axis,
        "kind": probe.kind,
        "verdict": str(probe.verdict),
        "value": probe.value,
        "unit": probe.unit,
        "low": low,
        "high": high,
        "null_mean": null.mean if null else None,
        "null_sd": null.sd if null else None,
        "z": null.z if null else None,
        "rank_p": null.rank_p if null else None,
        "family_p": null.family_p if null else None,
        "holm_p": null.holm_p if null else None,
        "noise_floor": probe.noise_floor,
        "items": len(probe.items),
        "reason": probe.reason,
    }


def _items(probe: ProbeResult) -> Iterator[Row]:
    for item in probe.items:
        low, high = item.nulls or (None, None)
        yield {
            "probe": probe.name,
            "item": item.label,
            "key": item.key,
            "value": item.value,
            "unit": probe.unit,
            "null_low": low,
            "null_high": high,
        }


def _change(probe: ProbeChange) -> Iterator[Row]:
    low, high = probe.interval or (None, None)
    yield {
        "probe": probe.name,
        "axis": probe.axis,
        "movement": str(probe.movement),
        "old": probe.old,
        "new": probe.new,
        "delta": probe.delta,
        "low": low,
        "high": high,
        "unit": probe.unit,
        "p": probe.p,
        "holm_p": probe.holm_p,
        "noise_floor": probe.floor,
        "items": len(probe.items),
        "regressed": probe.regressed,
        "old_verdict": str(probe.old_verdict),
        "new_verdict": str(probe.new_verdict),
        "reason": probe.reason,
    }


def _item_changes(probe: ProbeChange) -> Iterator[Row]:
    for item in probe.items:
        yield {
            "probe": probe.name,
            "item": item.label,
            "key": item.key,
            "old": item.old,
            "new": item.new,
            "delta": item.delta,
            "unit": probe.unit,
        }


_ROWS: Mapping[str, Way[ProbeResult]] = {"probes": (["probe"], _probe), "items": (["probe", "item"], _items)}
_CHANGES: Mapping[str, Way[ProbeChange]] = {
    "probes": (["probe"], _change),
    "items": (["probe", "item"], _item_changes),
}
