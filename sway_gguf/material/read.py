"""Reads training material: Markdown, plain text, or files of records. Does not know what is measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.sections import Canary, Material, Paraphrase, Preference, Section, Unit
from sway_gguf.material.dlm import read_dlm
from sway_gguf.material.files import Files, data_files
from sway_gguf.material.records import holds_records, records
from sway_gguf.material.shapes import unit_of

_HEADING = re.compile(r"#{1,6}\s")
_FENCE = re.compile(r"^\s*(```|~~~)")


def read_text(path: Path) -> str:
    """A text file's contents, without a byte order mark.

    Raises:
        UserError: it is no regular file, cannot be read, is not UTF-8, too long, or empty.
    """
    text = read_utf8(path)
    if not text.strip():
        raise UserError(f"{path}: the file is empty; give a file with text in it")
    return text


def read_material(given: Files) -> Material:
    """What data files hold, by their endings: records, .md / .markdown, .dlm, anything else plain text.

    Raises:
        UserError: a file cannot be read or holds nothing of use; errors in records name the line.
    """
    return material_of(iter_units(given))


def iter_units(given: Files) -> Iterator[Unit]:
    """The same, one unit at a time; files of records may have any length.

    Raises:
        UserError: as `read_material`.
    """
    files = data_files(given)
    for path in files:
        yield from _units(path, f"{path.name}, " if len(files) > 1 else "")


def _units(path: Path, prefix: str) -> Iterator[Unit]:
    """Of one file; names that it does not give itself begin with `prefix`."""
    ending, empty = path.suffix.lower(), True
    if holds_records(path):
        for where, record in records(path):
            empty = False
            yield unit_of(record, str(record.get("id") or prefix + where.rpartition(", ")[2]), where)
        if empty:
            raise UserError(f"{path}: the file is empty; give a file with text in it")
    elif ending == ".dlm":
        yield from read_dlm(path)
    else:
        text = read_text(path)
        yield from _markdown(text) if ending in {".md", ".markdown"} else _plain(text, prefix)


def paragraphs(text: str) -> list[str]:
    """Paragraphs of plain text: what blank lines part."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _plain(text: str, prefix: str) -> list[Section]:
    return [Section(f"{prefix}paragraph {i}", part) for i, part in enumerate(paragraphs(text), 1)]


def _markdown(text: str) -> list[Section]:
    """One section per heading that has text of its own; what stands before the first is "preamble"."""
    title, fenced = "preamble", False
    lines: list[str] = []
    found: list[tuple[str, str]] = []
    for line in [*text.splitlines(), "# end"]:
        heading = None if fenced else _HEADING.match(line)
        if _FENCE.match(line):
            fenced = not fenced
        if heading:
            body = "\n".join(lines).strip()
            if body:
                found.append((title, body))
            title, lines = _title(line) or "untitled", []
        else:
            lines.append(line)
    if fenced and (body := "\n".join(lines[:-1]).strip()):
        found.append((title, body))
    return [Section(name, body) for name, body in found]


def _title(heading: str) -> str:
    """Of a heading's line, without the marks before it and those that may stand after it."""
    return heading.lstrip("#").strip().rstrip("#").rstrip()


def material_of(units: Iterable[Unit]) -> Material:
    """Units sorted by what they are, order kept."""
    found = list(units)
    return Material(
        sections=tuple(unit for unit in found if isinstance(unit, Section)),
        preferences=tuple(unit for unit in found if isinstance(unit, Preference)),
        paraphrases=tuple(unit for unit in found if isinstance(unit, Paraphrase)),
        canaries=tuple(unit for unit in found if isinstance(unit, Canary)),
    )
