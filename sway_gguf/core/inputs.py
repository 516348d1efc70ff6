"""How a file that the user gave is opened: a regular file, of a size that fits where it is read whole.

Pipes and devices are refused, process substitution among them: inputs are read more than once (to check, to hash, to
measure), and /dev/zero never ends. Knows paths and sizes; not what a file holds.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sway_gguf.core.errors import UserError

_NO_TEXT = {
    b"GGUF\x02\0": "a GGUF file",
    b"GGUF\x03\0": "a GGUF file",
    b"\x1f\x8b": "packed by gzip (unpack it)",
    b"\x28\xb5\x2f\xfd": "packed by zstd (unpack it)",
    b"PK\x03\x04": "an archive or an office document",
    b"PAR1\x15": "a Parquet file (its name has to end in .parquet)",
    b"%PDF-": "a PDF",
}
"""How files begin that are often given for a text; a text may well begin with GGUF or PK."""
MOST_TEXT = 256 << 20
"""Bytes of a text that is read whole."""


def at_home(path: Path | str) -> Path:
    """A path as a file names it, with a leading ~ or ~somebody written out; as it is where there is no such home."""
    word = str(path)
    try:
        os.fsencode(word)
    except UnicodeEncodeError:  # Python takes names to be ASCII here, as in locale C; those on the disk are UTF-8
        word = os.fsdecode(word.encode("utf-8", "surrogateescape"))
    try:
        return Path(os.path.expanduser(word))
    except ValueError:  # no user's name has a NUL in it
        return Path(word)


def check_input(path: Path, give: str = "a file") -> int:
    """The size in bytes of a regular file.

    Args:
        path: of the file.
        give: what is wanted, for the error, such as "a text file".

    Raises:
        UserError: there is none, it cannot be looked at, or it is a directory, a pipe, a socket or a device.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f"{path}: this is a directory; give {give}")
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: no regular file but a pipe or a device; save its contents and give {give}")
    return found.st_size


def read_bytes(path: Path, give: str = "a file", most: int = MOST_TEXT) -> bytes:
    """A regular file's contents.

    Raises:
        UserError: as `check_input`, or it cannot be read, or is longer than `most` bytes.
    """
    size = check_input(path, give)
    if size > most:
        raise UserError(f"{path}: {size:,} bytes, and at most {most:,} are read here; give {give} of that size")
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise unreadable(path, error) from error


def read_utf8(path: Path, give: str = "a text file", most: int = MOST_TEXT) -> str:
    """A regular file's text with "\\n" for every kind of line end, without a byte order mark.

    Raises:
        UserError: as `read_bytes`, or it is not UTF-8.
    """
    return read_exact(path, give, most).replace("\r\n", "\n").replace("\r", "\n")


def read_exact(path: Path, give: str = "a text file", most: int = MOST_TEXT) -> str:
    """As `read_utf8`, line ends as they are.

    Raises:
        UserError: as `read_utf8`.
    """
    if check_input(path, give) and (other := _other_than_text(path)):
        raise UserError(f"{path}: this is {other}, and {give} is wanted here")
    try:
        return read_bytes(path, give, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _other_than_text(path: Path) -> str:
    """What a file is that begins as no text does, such as a model where two words were swapped; else ""."""
    try:
        with path.open("rb") as file:
            begun = file.read(8)
    except OSError as error:
        raise unreadable(path, error) from error
    return next((what for magic, what in _NO_TEXT.items() if begun.startswith(magic)), "")


def unreadable(path: Path, error: OSError | ValueError) -> UserError:
    """The line for a file that the system does not let us read."""
    reason = error.strerror if isinstance(error, OSError) else None
    return UserError(f"{path}: cannot be read ({reason or error}); check the path")
