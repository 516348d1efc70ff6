"""The one folder that requests may read from: every path is followed through its links and held to it.

Knows paths; not what a file is for. What it says never tells whether something outside is there.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from sway_gguf.core.errors import UserError

_MOST_ENTRIES = 10_000
"""Of a folder that a request names."""


class Root:
    """A folder and what lies in it.

    Raises:
        UserError: it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        if not self.folder.is_dir():
            raise UserError(f"{folder}: no folder; give --root the one with your models and data")

    def asked(self, word: str) -> Path:
        """The path that a request names, relative to the folder; a pattern such as data/*.jsonl is one too.

        Raises:
            UserError: absolute, with "..", outside by a link, or with a character that no path has.
        """
        either = (PurePosixPath(word), PureWindowsPath(word))
        if not word.strip() or "\0" in word or word.startswith("~") or any(p.is_absolute() or p.anchor for p in either):
            raise UserError(f"{word!r}: a path relative to the served folder is wanted")
        if any(".." in path.parts for path in either):
            raise UserError(f"{word!r}: '..' leads out of the served folder; name what lies in it")
        return self.held(self.folder / word)

    def held(self, path: Path) -> Path:
        """`path`, once it and all that it matches or holds lie in the folder, links followed.

        Raises:
            UserError: something lies outside.
        """
        for each in _named_by(path):
            try:
                inside = each.resolve().is_relative_to(self.folder)
            except (OSError, ValueError, RuntimeError):
                inside = False
            if not inside:
                raise UserError(f"{self.shown(path)}: leads out of the served folder; put the file itself there")
        return path

    def shown(self, path: Path) -> str:
        """A path as a request would name it."""
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else path.name


def _named_by(path: Path) -> Iterator[Path]:
    """The path, what a pattern matches, and what folders hold."""
    yield _fixed(path)
    magic = glob.has_magic(str(path)) and not os.path.exists(path)
    found = [Path(each) for each in glob.iglob(str(path), recursive=True)] if magic else [path]
    for each in found:
        yield each
        if os.path.isdir(each):  # False too of a name that no system has.
            for number, entry in enumerate(each.rglob("*")):
                if number >= _MOST_ENTRIES:
                    raise UserError(f"{each.name}: more than {_MOST_ENTRIES:,} files; name a smaller folder")
                yield entry


def _fixed(path: Path) -> Path:
    """The part of a pattern that stands before its first wildcard."""
    kept = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if glob.has_magic(part) and not os.path.exists(kept / part):
            break
        kept /= part
    return kept
