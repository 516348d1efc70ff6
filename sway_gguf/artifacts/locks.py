"""Locks that end with their process, however it ends. Knows open files; not what they are for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FAR = 1 << 40
"""Windows locks bytes, and keeps others from reading them: one far beyond any file's end is in nobody's way."""


def locked(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file until it is closed; False where another holds it, be it in this very process.

    A shared lock stands beside other shared ones. Windows has none: there it is always had, and holds nobody off.

    Raises:
        OSError: this file system knows no locks.
    """
    try:
        _lock(descriptor, shared)
    except (BlockingIOError, PermissionError):
        return False
    return True


try:
    import fcntl
except ImportError:
    import msvcrt

    def _lock(descriptor: int, shared: bool) -> None:
        if not shared:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:

    def _lock(descriptor: int, shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Whether this process has `folder` to itself while the block lasts; others are to ask in the same way.

    Raises:
        OSError: the folder cannot be written.
    """
    # The file stays: removing it would let a third process lock another file of the same name.
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        alone = True
        with suppress(OSError):
            alone = locked(descriptor)
        yield alone
    finally:
        os.close(descriptor)
