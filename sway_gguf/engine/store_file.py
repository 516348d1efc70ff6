"""The SQLite file below the answer store: how it is opened, shared, waited for, and given up.

Knows one file in a folder, its format, and every way in which a disk may fail it; nothing of what the rows mean. An
error that SQLite gives, whatever it is, ends the use of the file and becomes one line; none reaches the caller.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sway_gguf.artifacts.locks import locked
from sway_gguf.artifacts.network import network_disk
from sway_gguf.core.plain import one_line

Value = TypeVar("Value")
Row = tuple[Any, ...]

NAME = "answers.sqlite"
SET_ASIDE = "answers.damaged.sqlite"
"""Where a damaged file goes; there is one at most."""
FORMAT = 1
"""Version of the tables; a file with a later one is left as it is."""
_OURS = 0x53574147
"""Tells our files from those of other programs: "SWAG" in SQLite's field for that."""
_TABLES = """
CREATE TABLE answers (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,
  request BLOB NOT NULL,
  value BLOB NOT NULL,
  checksum BLOB NOT NULL,
  made INTEGER NOT NULL,
  used INTEGER NOT NULL
);
CREATE INDEX answers_by_use ON answers (used);
CREATE TABLE digests (
  path BLOB PRIMARY KEY,
  digest TEXT NOT NULL,
  checksum BLOB NOT NULL,
  used INTEGER NOT NULL
)
"""
_PATIENCE = 5.0
"""Seconds to wait for other processes, whose own writing takes milliseconds."""
_NAP = 0.1
"""Seconds that SQLite itself waits, deaf to signals."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""SQLITE_ERROR too: our statements are right, so the tables are not those that we made."""
_ERRORS = (sqlite3.Error, OSError, UnicodeError, MemoryError)
"""What a file may raise: text in a damaged one need not be text, nor a length one that memory holds."""
_WAL_KEPT = 16 << 20
"""Bytes of the log that stay on disk after a large transaction."""
_PAGES = 2000
"""Pages given back to the disk in one transaction."""


class _UnusableError(Exception):
    """The file is sound, and not for us; the message says why."""


class StoreFile:
    """The tables `answers` and `digests` in one file, for several threads and processes at once.

    Args:
        folder: where it lies; made where it is not there. None for a file that nobody wants.
        vfs: a door to the disk that SQLite knows by this name, in place of its own choice.
        trouble: why there is none, where a folder was wanted and cannot be had.

    Attributes:
        path: of the file; None where nobody wants one.
        trouble: one line that says why it is not in use; "" where it is.
    """

    def __init__(self, folder: Path | None, vfs: str = "", trouble: str = "") -> None:
        self.path = folder / NAME if folder else None
        self.trouble = trouble
        self._vfs = vfs
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._guard: int | None = None
        if self.path is not None:
            try:
                self._open(self.path)
            except (*_ERRORS, _UnusableError) as error:
                self._give_up(error)

    @property
    def on(self) -> bool:
        """Whether it is in use."""
        return self._connection is not None

    def tried(self, action: Callable[[], Value], otherwise: Value) -> Value:
        """What `action` gives, alone among our threads; `otherwise` where the file is not, or no longer, in use."""
        with self._lock:
            if self._connection is None:
                return otherwise
            try:
                return action()
            except _ERRORS as error:
                self._give_up(error)
                return otherwise

    def all(self, statement: str, values: Row = ()) -> list[Row]:
        """Every row that a statement gives. Within `tried` alone, like the following."""
        return self._patiently(lambda: self._used.execute(statement, values).fetchall())

    def one(self, statement: str, values: Row = ()) -> Row | None:
        """The first row that a statement gives."""
        rows = self.all(statement, values)
        return rows[0] if rows else None

    def each(self, statement: str, values: Iterable[Row]) -> int:
        """Run a statement with each of `values`, within `writing`; the rows that it changed."""
        return self._used.executemany(statement, values).rowcount

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it or nothing. Others wait for it, so it is to be short."""
        self._patiently(lambda: self._used.execute("BEGIN IMMEDIATE"))
        try:
            yield
            self._used.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._used.execute("ROLLBACK")
            raise

    def filled(self) -> int:
        """Bytes in use; pages that wait to be written again do not count."""
        return (self._number("page_count") - self._number("freelist_count")) * self._number("page_size")

    def shrink(self, bound: int) -> None:
        """Give unused pages beyond `bound` bytes back to the disk."""
        most = bound // self._number("page_size")
        pages = self._number("page_count")
        while (excess := min(pages - most, self._number("freelist_count"), _PAGES)) > 0:
            self.all(f"PRAGMA incremental_vacuum({excess})")
            before, pages = pages, self._number("page_count")
            if pages >= before:  # another process took them first, or the file is damaged
                break
        self.all("PRAGMA wal_checkpoint(TRUNCATE)")

    def size(self) -> int:
        """Bytes of its files on disk."""
        return sum(path.stat().st_size for path in self._files() if path.exists())

    @property
    def set_aside(self) -> Path | None:
        """Where an earlier file lies that was damaged, if one does."""
        place = self.path.with_name(SET_ASIDE) if self.path else None
        return place if place and place.exists() else None

    def drop_set_aside(self) -> None:
        """Remove that file."""
        if place := self.set_aside:
            with suppress(OSError):
                place.unlink()

    def close(self) -> None:
        """Let go of the file. Closing twice does no harm."""
        with self._lock:
            connection, self._connection = self._connection, None
            guard, self._guard = self._guard, None
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
            if guard is not None:
                os.close(guard)

    @property
    def _used(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _files(self) -> list[Path]:
        assert self.path is not None
        return [self.path.with_name(self.path.name + end) for end in ("", "-wal", "-shm")]

    def _number(self, pragma: str) -> int:
        ((number,),) = self.all(f"PRAGMA {pragma}")
        return int(number)

    def _patiently(self, action: Callable[[], Value]) -> Value:
        """What `action` gives once other processes let it."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or time.monotonic() > until:
                    raise
            time.sleep(_NAP / 10)

    def _open(self, path: Path) -> None:
        if disk := network_disk(path.parent):
            raise _UnusableError(f"it would lie on a network disk ({disk}), where several machines may damage it")
        # What was said to a model is the user's own: others on the machine are kept out.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever uses the file holds this lock with others; it is moved away only by one who holds it alone.
        self._guard = os.open(path.with_name(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
        until = time.monotonic() + _PATIENCE
        while not locked(self._guard, shared=True):
            if time.monotonic() > until:
                raise _UnusableError("another process is moving it away")
            time.sleep(_NAP / 10)
        place = f"{path.absolute().as_uri()}?mode=rwc{f'&vfs={self._vfs}' if self._vfs else ''}"
        self._connection = sqlite3.connect(place, timeout=_NAP, isolation_level=None, check_same_thread=False, uri=True)
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "synchronous = NORMAL",
            f"journal_size_limit = {_WAL_KEPT}",
        ):
            self.all(f"PRAGMA {pragma}")
        self._check_whose()
        new = self._number("user_version") == 0
        if new:  # said again later it would write, and wait for whoever is writing
            self.all("PRAGMA auto_vacuum = INCREMENTAL")
        if self.all("PRAGMA journal_mode = WAL") != [("wal",)]:
            raise _UnusableError("this disk has no memory that processes share, which a store needs")
        if new:
            self._make()
        self.all("SELECT id, key, request, value, checksum, made, used FROM answers LIMIT 0")
        self.all("SELECT path, digest, checksum, used FROM digests LIMIT 0")

    def _check_whose(self) -> None:
        version, owner = self._number("user_version"), self._number("application_id")
        if owner == _OURS and version > FORMAT:
            raise _UnusableError(f"a later sway-gguf wrote it (format {version}; this one reads {FORMAT})")
        if owner != _OURS and (version or self.all("SELECT name FROM sqlite_master LIMIT 1")):
            raise _UnusableError("it is another program's database; name another folder")

    def _make(self) -> None:
        with self.writing():
            if self._number("user_version") == 0:  # no other process was faster
                for statement in _TABLES.split(";"):
                    self._used.execute(statement)
                self._used.execute(f"PRAGMA application_id = {_OURS}")
                self._used.execute(f"PRAGMA user_version = {FORMAT}")

    def _give_up(self, error: Exception) -> None:
        """End the use of the file and say why; a damaged one is set aside where nobody else has it open."""
        guard, self._guard = self._guard, None
        self.close()
        reason = str(error) or type(error).__name__
        code = _code(error)
        if code in _BUSY:
            reason = f"another process held it for more than {_PATIENCE:.0f} seconds"
        elif isinstance(error, OSError):
            reason = error.strerror or reason
        elif code in _DAMAGED or (code is None and not isinstance(error, _UnusableError)):
            reason = f"it is damaged ({reason}){self._set_aside(guard)}"
        if guard is not None:
            os.close(guard)
        self.trouble = one_line(f"the answer store {self.path} is not used: {reason}")

    def _set_aside(self, guard: int | None) -> str:
        """Move the damaged file away, so that the next run begins a new one; what was done, for the line."""
        assert self.path is not None
        whole, *logs = self._files()
        try:
            if guard is None or not locked(guard):
                return ", and stays while another process uses it"
            for log in logs:
                log.unlink(missing_ok=True)
            os.replace(whole, whole.with_name(SET_ASIDE))
        except OSError as error:
            return f", and cannot be moved away ({error.strerror})"
        return f" and was set aside as {SET_ASIDE}; the next run begins a new one"


def _code(error: Exception) -> int | None:
    """SQLite's primary code; None for what it did not find wrong itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
