"""Rows of CSV and TSV files under the names in their first row. Knows how cells are written, not what they say."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, unreadable

CELLS = {".csv": ",", ".tsv": "\t"}
"""Endings of such files, and what parts their cells; a .csv whose first row knows no comma may have semicolons."""
_MOST_CELL = 64 << 20
"""Characters: a quotation mark that is never closed would take all that follows for one cell."""


def cells(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("path, row n", record) of each row below the first; an empty cell is left out, as a key without a value is.

    Raises:
        UserError: the file cannot be read, or a row has more cells than there are names.
    """
    check_input(path, "a CSV file")
    csv.field_size_limit(_MOST_CELL)
    count = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            parted = CELLS[path.suffix.lower()]
            names = file.readline(_MOST_CELL)
            file.seek(0)
            if parted == "," and "," not in names and ";" in names:
                parted = ";"
            for row in csv.DictReader(file, delimiter=parted, strict=True):
                count += 1
                where = f"{path}, row {count}"
                if None in row:
                    raise UserError(
                        f"{where}: more cells than the first row has names; quote cells that hold {parted!r}"
                    )
                yield where, {name: cell for name, cell in row.items() if cell}
    except OSError as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read behind row {count} ({error}); write the file again") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text behind row {count}; save it as UTF-8") from error
