"""Whether a path is a file that can be read to its end. Knows the file system; not what a file holds."""

from __future__ import annotations

import stat
from pathlib import Path

from sway_gguf.core.errors import UserError

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def plain_file(path: Path, wanted: str) -> int:
    """Bytes of the regular file at `path`, links followed. A pipe would never end, a device may not.

    Args:
        path: the file.
        wanted: what to give in its place, such as "the .gguf file inside it".

    Raises:
        UserError: it is not there, cannot be looked at, or is no regular file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({why}); check the path") from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for matches, name in _KINDS if matches(found.st_mode)), "no regular file")
        raise UserError(f"{path}: this is {kind}; give {wanted}")
    return found.st_size
