"""Names of files: the last part of a path, and which names can be files on every system. Opens nothing."""

from __future__ import annotations

import re
import unicodedata

_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[\d¹²³]) *(?:\..*)?", re.IGNORECASE)
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_LONGEST = 240


def file_name(path: str) -> str:
    """The last part of a path, as any system writes it; the path itself where it has none, such as "/"."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path


def is_device(name: str) -> bool:
    """Whether Windows takes it for a device, whatever ending it has."""
    return bool(_DEVICE.fullmatch(name))


def unfit(path: str) -> str:
    """Why a path with "/" is none that stays below a folder on every system; "" where it is one."""
    parts = path.split("/")
    if path.startswith("/") or ":" in path:
        return "an absolute path"
    if ".." in parts:
        return "it leads out of the folder"
    if _UNFIT.search(path):
        return "a character that some systems do not allow"
    if any(is_device(part) for part in parts):
        return "the name of a device on Windows"
    if any(not part or part == "." or part[-1] in ". " for part in parts):
        return "no file name"
    try:
        long = any(len(part.encode()) > _LONGEST for part in parts) or len(path) > 2 * _LONGEST
    except UnicodeEncodeError:
        return "no valid text"
    return "too long" if long else ""


def folded(path: str) -> str:
    """What is one for all paths that some system takes for the same file."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
