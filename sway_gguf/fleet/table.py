"""A sweep's table: a line of JSON for each cell as it comes, in a folder with the cells' results.

A line is appended whole or not at all, and a table has one writer at a time; what a kill or a full disk cut off is
removed by the next one. Knows rows and files; not what measures.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sway_gguf.artifacts.locks import locked
from sway_gguf.artifacts.whole import whole
from sway_gguf.core.errors import UserError
from sway_gguf.core.sweep import CELLS, CellRow, latest, row_of_line

NAME = "table.jsonl"
_TABLES = re.compile(r"table(\.\d+-of-\d+)?\.jsonl")


def table_name(shard: tuple[int, int] | None = None) -> str:
    """Of a whole sweep's table, or of the one that a shard writes."""
    return NAME if shard is None else f"table.{shard[0]}-of-{shard[1]}.jsonl"


class Table:
    """An open table, to be made by `open_table`.

    Attributes:
        folder: it stands in.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor

    def keep(self, row: CellRow, record: str = "") -> None:
        """Write a cell's result, where one is given, and then its row: a row never names a result that is not there.

        Raises:
            UserError: the disk takes no more; the table is as it was before.
        """
        try:
            if record:
                with whole(self.folder / row.result) as partial:
                    partial.write_text(record, encoding="utf-8", newline="\n")
            self._append(row.line().encode())
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be written ({error.strerror or error}); what was measured before is kept: make "
                "room and start the sweep again"
            ) from error

    def _append(self, data: bytes) -> None:
        """Raises:
        OSError: it could not be written whole.
        """
        end = os.fstat(self._descriptor).st_size
        try:
            left = data
            while left:
                left = left[os.write(self._descriptor, left) :]
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._descriptor, end)
            raise


@contextmanager
def open_table(folder: Path, name: str = NAME) -> Iterator[Table]:
    """A table to be added to, for the length of the block.

    Raises:
        UserError: the folder cannot be made or written, or another sweep writes to this table.
    """
    path, descriptor = folder / name, -1
    try:
        (folder / CELLS).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        alone = True
        with suppress(OSError):  # a file system without locks
            alone = locked(descriptor)
        if not alone:
            raise UserError(f"{path}: another sweep writes to this table; wait for it, or give another --results")
        _heal(descriptor)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); give another --results") from error
    except UserError:
        os.close(descriptor)
        raise
    try:
        yield Table(folder, descriptor)
    finally:
        os.close(descriptor)


def _heal(descriptor: int) -> None:
    """Cut off a last line without its end."""
    size = os.fstat(descriptor).st_size
    end, step = size, 1 << 16
    while end > 0:
        start = max(0, end - step)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)


def read_rows(folder: Path, say: Callable[[str], None] = lambda line: None) -> list[CellRow]:
    """One row for each cell of all tables in a folder, shards' among them; none where there is no table.

    Args:
        folder: to look in.
        say: told of lines that cannot be read.

    Raises:
        UserError: a table cannot be read.
    """
    rows: list[CellRow] = []
    for path in tables_in(folder):
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        read = [row_of_line(line) for line in lines]
        rows += [row for row in read if row is not None]
        # Another sweep may be writing the last line at this moment.
        if broken := sum(row is None for row, line in zip(read, lines, strict=True) if line.endswith(b"\n")):
            say(f"{path}: {broken} damaged lines are left out; their cells are measured again")
    return latest(rows)


def tables_in(folder: Path) -> list[Path]:
    """Tables of a folder, that of a whole sweep first."""
    with suppress(OSError):
        found = [path for path in folder.iterdir() if _TABLES.fullmatch(path.name)]
        return sorted(found, key=lambda path: (path.name != NAME, path.name))
    return []


def merged(folders: Sequence[Path], target: Path, say: Callable[[str], None]) -> list[CellRow]:
    """Bring the tables of `folders` together in the one table of `target`, results too; its rows.

    Raises:
        UserError: a folder without a table, or one that cannot be written.
    """
    for folder in folders:
        if not tables_in(folder):
            raise UserError(f"{folder}: no table of a sweep is in it; give the folder that --results named")
    rows = {row.key: (row, target) for row in read_rows(target, say)}
    for folder in folders:
        for row in read_rows(folder, say):
            if row.key not in rows or (rows[row.key][0].failed and not row.failed):
                rows[row.key] = (row, folder)
    with open_table(target) as table:
        here = {row.key: row for row in _rows_of(target / NAME)}
        for row, folder in rows.values():
            if folder.resolve() != target.resolve() and row.result:
                _copied(folder / row.result, target / row.result)
            if here.get(row.key) != row:
                table.keep(row)
    return [row for row, _ in rows.values()]


def _rows_of(path: Path) -> list[CellRow]:
    lines = path.read_bytes().splitlines() if path.exists() else []
    return latest([row for line in lines if (row := row_of_line(line)) is not None])


def _copied(source: Path, target: Path) -> None:
    if not source.is_file():
        raise UserError(f"{source}: the table names it and it is not there; copy the folder whole")
    try:
        with whole(target) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror or error})") from error
