"""Files that appear whole or not at all, and what a killed process left of them. Knows paths; not what is written."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sway_gguf.artifacts.locks import locked

_SUFFIX = ".sway-part"
_SHOWN = 40
"""Characters of the target's name in the temporary one, which must not become too long for the file system."""
_SHORT = re.compile(r"\d requested and \d+ written")
"""What NumPy says where a file took less than it was given."""
_held: dict[Path, int] = {}
"""Descriptors of this process's files in the making; each holds the lock that says that its owner lives."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` where the block ends well, and goes where not.

    A link is followed: what it points to is replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    with scratch(target) as partial:
        yield partial
        if os.name == "nt":  # where an open file cannot be renamed
            os.close(_held.pop(partial))
        os.replace(partial, target)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """An empty file beside `path` that is gone after the block, and with the next `scratch` there after a kill.

    Raises:
        OSError: the folder cannot be written.
    """
    sweep(path.parent)
    partial = _claimed(path)
    try:
        yield partial
    except OSError as error:
        # NumPy says how many numbers it wrote, and not why it stopped.
        if error.errno is None and _SHORT.search(str(error)):
            raise OSError(errno.ENOSPC, "not all of it could be written: the disk may be full", str(path)) from error
        raise
    finally:
        if partial in _held:
            os.close(_held.pop(partial))
        partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`; files of living ones are locked and stay."""
    for left in folder.glob(f".*{_SUFFIX}"):
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDWR)
            try:
                dead = locked(descriptor)
                if dead and os.name != "nt":
                    left.unlink()
            finally:
                os.close(descriptor)
            if dead and os.name == "nt":
                left.unlink()


def _claimed(path: Path) -> Path:
    """A new file, held open and locked."""
    while True:
        partial = path.with_name(f".{path.name[:_SHOWN]}.{secrets.token_hex(4)}{_SUFFIX}")
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        ours = True
        with suppress(OSError):  # no locks on this file system: then no sweep removes anything either
            ours = locked(descriptor)
        # Before it was locked, a sweep may have taken it for a dead one's.
        if ours and partial.exists():
            _held[partial] = descriptor
            return partial
        os.close(descriptor)
        partial.unlink(missing_ok=True)
