"""A sweep's table as Parquet, by way of pyarrow, an extra. Knows rows and files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from sway_gguf.artifacts.whole import whole
from sway_gguf.core.errors import UserError
from sway_gguf.core.sweep import CellRow, flat

NAME = "table.parquet"


def write_parquet(rows: Sequence[CellRow], folder: Path) -> Path | None:
    """Write the table, a column for each axis and each probe's value; None where pyarrow is not installed.

    Raises:
        UserError: the folder cannot be written.
    """
    if not rows or find_spec("pyarrow") is None:
        return None
    import pyarrow
    import pyarrow.parquet

    records = [flat(row) for row in rows]
    names = dict.fromkeys(name for record in records for name in record)
    table = pyarrow.table({name: [record.get(name) for record in records] for name in names})
    try:
        with whole(folder / NAME) as partial:
            pyarrow.parquet.write_table(table, partial)
    except OSError as error:
        raise UserError(f"{folder / NAME}: cannot be written ({error.strerror or error})") from error
    return folder / NAME
