"""Hashes of what took part. Knows files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Of a file's contents, or of all files in a folder by name, in hexadecimal."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
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
