"""Digests of files, kept in the answer store's file. Knows paths and stamps as bytes and numbers; reads no file."""

from __future__ import annotations

import os
import time
from hashlib import blake2b

from sway_gguf.engine.store_file import StoreFile

_MOST = 10_000
"""Files that are remembered; those seen longest ago make room."""


class RememberedDigests:
    """A `Memory` of `artifacts.digest` that outlasts the process; a file in trouble remembers nothing.

    Args:
        file: where they are kept.
    """

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def recall(self, path: bytes, stamp: tuple[int, ...]) -> str | None:
        """The digest that the file at `path` had under exactly this stamp."""

        def looked_up() -> str | None:
            row = self._file.one("SELECT digest, checksum FROM digests WHERE path = ?", (path,))
            if row is None or row[1] != _checksum(path, stamp, row[0]):
                return None
            return str(row[0])

        return self._file.tried(looked_up, None)

    def remember(self, path: bytes, stamp: tuple[int, ...], digest: str) -> None:
        """Keep a file's digest in place of what was known of this path."""
        row = (path, digest, _checksum(path, stamp, digest), int(time.time()))

        def kept() -> None:
            with self._file.writing():
                self._file.each(
                    "INSERT OR REPLACE INTO digests (path, digest, checksum, used) VALUES (?, ?, ?, ?)", [row]
                )
                self._file.each(
                    "DELETE FROM digests WHERE path IN (SELECT path FROM digests ORDER BY used DESC LIMIT -1 OFFSET ?)",
                    [(_MOST,)],
                )

        self._file.tried(kept, None)

    def places(self, digest: str) -> list[bytes]:
        """Paths at which a file of this digest was seen, the latest first; it may have gone or changed since."""

        def looked_up() -> list[bytes]:
            rows = self._file.all("SELECT path FROM digests WHERE digest = ? ORDER BY used DESC", (digest,))
            return [path for (path,) in rows if isinstance(path, bytes)]

        return self._file.tried(looked_up, [])

    def name(self, digest: str) -> str:
        """The name of the file of this digest that was seen last, without its folder; "" where none is remembered."""
        return next((os.path.basename(os.fsdecode(place)) for place in self.places(digest)), "")


def _checksum(path: bytes, stamp: tuple[int, ...], digest: object) -> bytes:
    """Of all three together: the stamp itself need not be kept to be compared, and no damage goes unseen."""
    return blake2b(repr((path, stamp, digest)).encode(), digest_size=16).digest()
