"""Hashes of what took part. Knows files and folders, and what a memory of hashes is asked; not how one is kept."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

_LARGE = 1 << 20
"""Bytes from which on a remembered hash is taken; reading less takes no time that anyone notices."""
_PIECE = 1 << 20
"""Bytes read at a time: a fraction of a millisecond."""
_SETTLED = 2_000_000_000
"""Nanoseconds that a file has to be older than its reading: the coarsest clock of a file system ticks every 2 s, and a
write within one tick leaves no trace in a file's times."""


class GivenUpError(Exception):
    """Nobody wants the hash any more."""


class Memory(Protocol):
    """Hashes of files under what their file system says of them, kept between runs."""

    def recall(self, path: bytes, stamp: tuple[int, ...]) -> str | None:
        """The hash that the file at `path` had under exactly this stamp; None where it is not known."""

    def remember(self, path: bytes, stamp: tuple[int, ...], digest: str) -> None:
        """Keep a file's hash in place of what was known of this path."""


_memory: Memory | None = None
_here = threading.local()


def give_up_on(event: threading.Event) -> None:
    """Have this thread raise `GivenUpError` in the midst of a file from the moment that `event` is set."""
    _here.event = event


@contextmanager
def remembering(memory: Memory | None) -> Iterator[None]:
    """Within the block, hashes of large files that have not changed come from `memory`, in every thread.

    A file counts as unchanged where its resolved path, size, inode and both its times (of the last writing, which
    programs may set, and of the last change of any kind, which they may not) are as they were.
    """
    global _memory
    before, _memory = _memory, memory
    try:
        yield
    finally:
        _memory = before


def sha256_of(path: Path) -> str:
    """Of a file's contents, or of all files in a folder by name, in hexadecimal; see `remembering`."""
    if not path.is_dir():
        return _sha256_of_file(path, _memory)
    whole = hashlib.sha256()
    for part in sorted(path.iterdir()):
        if part.is_file():
            whole.update(f"{part.name} {sha256_of(part)}\n".encode())
    return whole.hexdigest()


def sha256_of_all(paths: Sequence[Path]) -> str:
    """Of one file's contents, or of several files' hashes in order, in hexadecimal."""
    if len(paths) == 1:
        return sha256_of(paths[0])
    return hashlib.sha256("".join(map(sha256_of, paths)).encode()).hexdigest()


def _sha256_of_file(path: Path, memory: Memory | None) -> str:
    with path.open("rb") as file:
        if memory is None:
            return _contents(file)
        status, name, began = os.fstat(file.fileno()), os.fsencode(path.resolve()), time.time_ns()
        stamp = _own_stamp(status)
        known = memory.recall(name, stamp)
        if known is not None and status.st_size >= _LARGE:
            return known
        found = _contents(file)
        settled = began - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED
        if found != known and settled and _own_stamp(os.fstat(file.fileno())) == stamp:
            memory.remember(name, stamp, found)
        return found


def _contents(file: BinaryIO) -> str:
    """sha256 of what is left of an open file, in hexadecimal."""
    whole, room = hashlib.sha256(), memoryview(bytearray(_PIECE))
    event: threading.Event | None = getattr(_here, "event", None)
    while size := file.readinto(room):  # type: ignore[attr-defined]
        whole.update(room[:size])
        if event is not None and event.is_set():
            raise GivenUpError
    return whole.hexdigest()


def _own_stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, size, time and place of each file: what changes with every write, and costs no reading."""


def stamp_of(paths: Iterable[Path]) -> Stamp:
    """What tells without reading them whether files are as they were.

    Raises:
        OSError: one is not there.
    """
    found = ((str(path), path.stat()) for path in paths)
    return tuple((name, status.st_size, status.st_mtime_ns, status.st_ino) for name, status in found)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if not path.is_dir() else sum(p.stat().st_size for p in path.iterdir() if p.is_file())
