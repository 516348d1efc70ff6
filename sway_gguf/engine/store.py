"""The answer store: what the model answered, on disk, so that nothing is asked twice.

Knows requests and values as bytes, their checksums and their room. Knows nothing of models, of what a request says, or
of where users keep their stores. A store that cannot be used never costs a run its verdict: `trouble` says why in one
line, and from then on it knows nothing and keeps nothing.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b, sha256
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sway_gguf.engine.store_file import Row, StoreFile

BOUND = 2 << 30
"""Bytes that a store may fill where nobody says how many."""
_LOWER = 0.95
"""Part of the bound that stays filled when room is made, so that it is made seldom."""
_LOOKS = 256
"""Room is looked at whenever so small a part of the bound was written."""
_LARGEST_PART = 4
"""A value that fills more than this part of the bound would drive out too much else."""
_TOUCH_AFTER = 3600
"""Seconds within which a row that is read again is not marked again as used: reading is to stay reading."""
_TOUCHES = 1000
_CHUNK = 200
"""Rows removed in one transaction at most; nobody waits longer for the file than these take."""

_SIZE = "coalesce(length(request) + length(value), 0)"
BEGINNING = 4096
"""Bytes of a request that are unpacked where its end is not wanted."""
_LOOKED_AT = 1000
"""Rows read in one go, where all of them are looked at."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a store holds.

    Attributes:
        entries: answers.
        digests: files whose digests are remembered.
        size: bytes of its files on disk.
        oldest, newest: when the first and the last of its answers were kept, seconds since 1970; None without any.
    """

    entries: int
    digests: int
    size: int
    oldest: int | None
    newest: int | None


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a store.

    Attributes:
        entries: answers.
        size: bytes of their requests and values.
    """

    entries: int
    size: int


class AnswerStore:
    """Answers by what was asked; its methods may be called by several threads at once, and raise nothing.

    Args:
        file: where they are kept.
        bound: bytes that it may fill; what was not used for longest makes room.

    Attributes:
        file: as given.
        asked, found: requests so far, and those of them that were answered.
    """

    def __init__(self, file: StoreFile, bound: int = BOUND) -> None:
        self.file = file
        self._bound = bound
        self._written = bound  # so that the first value written looks at the room
        self._touched: set[bytes] = set()
        self.asked = self.found = 0

    @property
    def on(self) -> bool:
        """Whether it is in use."""
        return self.file.on

    @property
    def trouble(self) -> str:
        """One line that says why it is not in use; "" where it is, and where nobody wants one."""
        return self.file.trouble

    def get(self, request: bytes) -> bytes | None:
        """What was kept for exactly this request, bit for bit; None where nothing was.

        A row that is not as it was written is removed, and is no answer.
        """
        key = sha256(request).digest()

        def looked_up() -> bytes | None:
            value = self._read(key)
            self.asked += 1
            self.found += value is not None
            return value

        return self.file.tried(looked_up, None)

    def put(self, request: bytes, value: bytes) -> None:
        """Keep the value of a request; when this returns, other processes see it, and our own end cannot undo it."""
        self.put_many([(request, value)])

    def put_many(self, answers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep several values at once, in one transaction."""
        if self.on:
            rows = [_row(request, value) for request, value in answers if len(value) <= self._bound // _LARGEST_PART]
            self.file.tried(lambda: self._write(rows), None)

    def remove(self, request: bytes) -> None:
        """Forget what was kept for this request."""
        key = sha256(request).digest()
        self.file.tried(lambda: self._drop("key", key), None)

    def sample(self, count: int) -> list[tuple[bytes, bytes]]:
        """Some requests with their values, drawn at random; what is damaged among them is removed instead."""

        def drawn() -> list[tuple[bytes, bytes]]:
            rows = self.file.all("SELECT id FROM answers ORDER BY random() LIMIT ?", (count,))
            return [pair for (row,) in rows if (pair := self._whole(row))]

        return self.file.tried(drawn, [])

    def holding(self) -> Holding | None:
        """What it holds; None where it is not in use."""
        return self.file.tried(self._holding, None)

    def shares(self, of: Callable[[bytes], str]) -> dict[str, Share]:
        """Its answers by what `of` reads in the first `BEGINNING` bytes of a request, the largest share first."""
        nothing: dict[str, Share] = {}
        found = self.file.tried(lambda: self._shares(of), nothing)
        return dict(sorted(found.items(), key=lambda share: (-share[1].size, share[0])))

    def clear(self, unused_for: float | None = None) -> int:
        """Forget everything, or answers unused for so many seconds; the room goes back to the disk.

        Returns:
            Answers removed.
        """
        return self.file.tried(lambda: self._clear(unused_for), 0)

    def close(self) -> None:
        """Write down what was used, and let go of the file. Closing twice does no harm."""
        self.file.tried(self._touch, None)
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self, key: bytes) -> bytes | None:
        row = self.file.one("SELECT value, checksum, used FROM answers WHERE key = ?", (key,))
        if row is None:
            return None
        value, checksum, used = row
        if not isinstance(value, bytes) or checksum != _checksum(key, value):
            self._drop("key", key)
            return None
        # A stamp of the future is one of a clock that has been set back: it would outlive all others.
        if not isinstance(used, int) or abs(time.time() - used) > _TOUCH_AFTER:
            self._touched.add(key)
            if len(self._touched) >= _TOUCHES:
                self._touch()
        return value

    def _touch(self) -> None:
        if self._touched:
            now = int(time.time())
            with self.file.writing():
                self.file.each("UPDATE answers SET used = ? WHERE key = ?", [(now, key) for key in self._touched])
            self._touched.clear()

    def _write(self, rows: list[Row]) -> None:
        with self.file.writing():
            self.file.each(
                "INSERT OR REPLACE INTO answers (key, request, value, checksum, made, used) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
        self._written += sum(len(row[1]) + len(row[2]) for row in rows)
        if self._written > self._bound // _LOOKS:
            self._written = 0
            self._make_room()

    def _make_room(self) -> None:
        """Remove what was not used for longest until the bound holds; later values are written in its place."""
        if self.file.filled() <= self._bound:
            return
        self._touch()
        while (excess := self.file.filled() - int(self._bound * _LOWER)) > 0:
            if not self._drop_rows("ORDER BY used LIMIT ?", (_CHUNK,), excess):
                break
        self.file.shrink(self._bound)

    def _drop(self, column: str, value: object) -> None:
        with self.file.writing():
            self.file.each(f"DELETE FROM answers WHERE {column} = ?", [(value,)])

    def _drop_rows(self, which: str, values: Row, most: float = float("inf")) -> int:
        """Remove rows, in their order, until about `most` bytes are free; how many."""
        with self.file.writing():
            rows = self.file.all(f"SELECT id, {_SIZE} FROM answers {which}", values)
            upto = accumulate(size for _, size in rows)
            places = [(place,) for (place, size), end in zip(rows, upto, strict=True) if end - size < most]
            return self.file.each("DELETE FROM answers WHERE id = ?", places) if places else 0

    def _whole(self, place: int) -> tuple[bytes, bytes] | None:
        """The request and the value of a row."""
        row = self.file.one("SELECT key, request, value, checksum FROM answers WHERE id = ?", (place,))
        if row is None:
            return None
        key, packed, value, checksum = row
        request = _unpacked(packed)
        sound = isinstance(key, bytes) and isinstance(value, bytes) and checksum == _checksum(key, value)
        if sound and request is not None and sha256(request).digest() == key:
            return request, value
        self._drop("id", place)
        return None

    def _holding(self) -> Holding:
        # What is damaged may be of any type.
        times = "CAST(min(made) AS INTEGER), CAST(max(made) AS INTEGER)"
        ((entries, oldest, newest),) = self.file.all(f"SELECT count(*), {times} FROM answers")
        ((digests,),) = self.file.all("SELECT count(*) FROM digests")
        return Holding(entries, digests, self.file.size(), oldest, newest)

    def _shares(self, of: Callable[[bytes], str]) -> dict[str, Share]:
        found: dict[str, Share] = {}
        last, some = -1, f"SELECT request, {_SIZE}, id FROM answers WHERE id > ? ORDER BY id LIMIT ?"
        while rows := self.file.all(some, (last, _LOOKED_AT)):
            for packed, size, _ in rows:
                share = found.get(name := of(_begun(packed)), Share(0, 0))
                found[name] = Share(share.entries + 1, share.size + size)
            last = rows[-1][-1]
        return found

    def _clear(self, unused_for: float | None) -> int:
        self._touch()
        count, until = 0, float("inf") if unused_for is None else time.time() - unused_for
        while dropped := self._drop_rows("WHERE used <= ? ORDER BY used LIMIT ?", (until, _CHUNK)):
            count += dropped
        if unused_for is None:
            with self.file.writing():
                self.file.each("DELETE FROM digests", [()])
        self.file.shrink(0)
        return count


def open_store(folder: Path | None, bound: int = BOUND) -> AnswerStore:
    """The store in a folder, which is made where it is not there; None gives one that is off. Raises nothing."""
    return AnswerStore(StoreFile(folder), bound)


def _row(request: bytes, value: bytes) -> Row:
    now, key = int(time.time()), sha256(request).digest()
    return key, zlib.compress(request, 1), value, _checksum(key, value), now, now


def _checksum(key: bytes, value: bytes) -> bytes:
    checksum = blake2b(key, digest_size=16)
    checksum.update(value)
    return checksum.digest()


def _begun(packed: Any) -> bytes:
    """The beginning of a request; b"" where it cannot be unpacked."""
    try:
        return zlib.decompressobj().decompress(packed, BEGINNING)
    except (zlib.error, TypeError):
        return b""


def _unpacked(packed: Any) -> bytes | None:
    try:
        return zlib.decompress(packed)
    except (zlib.error, TypeError):
        return None
