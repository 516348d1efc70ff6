"""Which files the user named: one, several, patterns such as data/*.jsonl, and folders that `datasets` saved.

Knows names; what is in the files is read elsewhere. Patterns are expanded here since not every shell does.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sway_gguf.core.errors import UserError
from sway_gguf.material.tables import TRAINED, dataset_files, splits

Files = Path | Sequence[Path] | None
"""What an option or a field names: nothing, one file, folder or pattern, or several."""
_HELD_OUT = (
    "test",
    "heldout",
    "held_out",
    "held-out",
    "holdout",
    "eval",
    "evaluation",
    "validation",
    "valid",
    "val",
    "dev",
)
_APART = _HELD_OUT[1:5]
"""Words that say it of a file whose other part says nothing."""
_TRAIN = re.compile(r"(?<![a-z])train(?:ing)?(?![a-z])", re.IGNORECASE)
_PART = re.compile(r"-\d{5}-of-\d{5}$")


def data_files(given: Files) -> list[Path]:
    """The files themselves, in order, each once.

    Raises:
        UserError: a pattern that nothing matches, or a folder that `datasets` did not save.
    """
    found = (file for path in named(given) for each in _matching(path) for file in _of(each))
    return list(dict.fromkeys(found))


def shown(given: Files) -> str:
    """What was named, for a line that is about all of it; "" for nothing."""
    paths = named(given)
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else "".join(map(str, paths))


def origin(given: Files) -> str:
    """Where an item stands, for a line about it: items of several files carry their file's name."""
    paths = named(given)
    return str(paths[0]) if len(paths) == 1 else "data"


def as_named(given: Files) -> Path | list[Path] | None:
    """As a spec has it: nothing, one path, or a list of several."""
    paths = named(given)
    return (paths or None) if len(paths) != 1 else paths[0]


def held_out_beside(given: Files) -> list[Path]:
    """Files beside the data that are by name what was kept out of training: test.jsonl beside train.jsonl and the like.

    Of each file the first that is there: the words for a test come before those for a validation.

    Raises:
        UserError: as `data_files`.
    """
    data = set(data_files(given))
    found = (other for path in named(given) for each in _matching(path) for other in _beside(each))
    return [path for path in dict.fromkeys(found) if not data & set(_of(path))]


def named(given: Files) -> list[Path]:
    """What was named, as it was."""
    return [] if given is None else [given] if isinstance(given, Path) else list(given)


def _matching(path: Path) -> list[Path]:
    """`path`, or what it matches where it is a pattern and nothing of that very name is there."""
    if os.path.lexists(path) or not glob.has_magic(str(path)):
        return [path]
    found: list[Path] = []
    with suppress(ValueError):  # A name with a character of no name.
        found = sorted(map(Path, glob.glob(str(path), recursive=True)))
    if not found:
        raise UserError(f"{path}: no file matches this pattern; check it")
    return found


def _of(path: Path) -> list[Path]:
    return dataset_files(path) if os.path.isdir(path) else [path]


def _beside(path: Path) -> list[Path]:
    """What was kept out of training beside one file, or beside one split in a saved folder."""
    if os.path.isdir(path) and (parts := splits(path)):
        return [path / word for word in _HELD_OUT if word in parts and TRAINED in parts][:1]
    ending = path.suffix if not os.path.isdir(path) else ""
    stem = path.name.removesuffix(ending)
    part = _PART.search(stem)
    whole, numbered = (stem[: part.start()], "-[0-9]*-of-[0-9]*") if part else (stem, "")
    if _TRAIN.search(whole):
        names = [_TRAIN.sub(word, whole) for word in _HELD_OUT]
    else:
        names = [f"{whole}{mark}{word}" for mark in "_-." for word in _APART]
    for name in names:
        if found := sorted(path.parent.glob(f"{glob.escape(name)}{numbered}{glob.escape(ending)}")):
            return found
    return []
