"""Files of records: JSONL, a list in a .json file, and tables. Knows how they are written, not what they say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, read_utf8, unreadable
from sway_gguf.core.json_text import parse_json
from sway_gguf.material.cells import CELLS, cells
from sway_gguf.material.tables import TABLES, rows

_MOST_LINE = 64 << 20
"""Characters of one line of JSONL."""
LINES = {".jsonl", ".ndjson"}
"""Endings of files with an object per line."""


def holds_records(path: Path) -> bool:
    """By the ending."""
    return path.suffix.lower() in {*LINES, ".json", *CELLS, *TABLES}


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("path, line n", object) of each record of a file, one at a time but for a .json list, which is read whole.

    Raises:
        UserError: the file cannot be read, or a record is no JSON object; by its number.
    """
    ending = path.suffix.lower()
    if ending in TABLES:
        return rows(path)
    if ending in CELLS:
        return cells(path)
    return _listed(path) if ending == ".json" and _opens_with_a_list(path) else _lines(path)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    check_input(path, "a JSONL file")
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for count, line in enumerate(iter(partial(file.readline, _MOST_LINE), ""), 1):
                where = f"{path}, line {count}"
                if len(line) == _MOST_LINE:
                    raise UserError(f"{where}: longer than {_MOST_LINE:,} characters; give one JSON object per line")
                if line.strip():
                    yield where, _object(parse_json(line, where, "mend or remove the line"), where)
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {_first_undecodable(path)}: not UTF-8 text; save it as UTF-8") from error


def _first_undecodable(path: Path) -> int:
    """Number of the first line that is not UTF-8; text is decoded in blocks, so the error itself does not tell."""
    with path.open("rb") as file:
        for count, line in enumerate(iter(partial(file.readline, 4 * _MOST_LINE), b""), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return count
    return 1


def _opens_with_a_list(path: Path) -> bool:
    """Whether the first character is a list's; objects one per line stand in many a .json file too."""
    check_input(path, "a JSON file")
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except OSError as error:
        raise unreadable(path, error) from error


def _listed(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    found = parse_json(read_utf8(path, "a JSON file; longer ones as JSONL"), str(path), "mend the file")
    if not isinstance(found, list):
        raise UserError(f"{path}: a list of objects is wanted, not {type(found).__name__}")
    for count, record in enumerate(found, 1):
        where = f"{path}, record {count}"
        yield where, _object(record, where)


def _object(record: Any, where: str) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise UserError(f"{where}: a JSON object is wanted, not {type(record).__name__}")
    return record
