"""A result as a pandas data frame. Knows records and pandas, which is an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sway_gguf.core.errors import UserError
from sway_gguf.core.result import ProbeResult, SuiteResult
from sway_gguf.spec.options import nearest

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def frame(result: SuiteResult, rows: str) -> pd.DataFrame:
    """One row for each probe, by its name; or for each item of each probe, by the probe's name and the item's label.

    Args:
        result: of a run.
        rows: "probes" or "items".

    Raises:
        UserError: pandas is not installed, or `rows` is neither.
    """
    if rows not in _ROWS:
        raise UserError(f"rows: {rows!r} is neither 'probes' nor 'items', {nearest(str(rows), _ROWS)}")
    try:
        import pandas as pd
    except ImportError:
        raise UserError("to_frame() needs pandas; pip install 'sway-gguf[pandas]'") from None
    index, row_of = _ROWS[rows]
    found = [row for probe in result.probes for row in row_of(probe)]
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


_ROWS: Mapping[str, tuple[list[str], Callable[[ProbeResult], Iterator[Row]]]] = {
    "probes": (["probe"], _probe),
    "items": (["probe", "item"], _items),
}
"""By what a row is of: the columns that name it, and the rows of one probe."""
