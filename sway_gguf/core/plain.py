"""Text of users, models and files as text: what a terminal would obey or hide is spelled out. Knows characters only."""

from __future__ import annotations

import json
import math
import re
from typing import Any

# Control characters but newline and tab, line separators, marks that turn the direction of writing, invisible ones
# that can hide words, what neither XML nor YAML has, and halves of surrogate pairs. Joiners stay: Persian and emoji
# need them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def plain(text: str) -> str:
    """`text` with every character that a terminal would obey or hide written as an escape, such as \\x1b."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """`plain` text on one line."""
    return plain(re.sub(r"\s*[\r\n]+\s*", " ", text.strip()))


def json_text(value: Any, *, indent: int | None = None, strict: bool = True) -> str:
    """`value` as JSON that any terminal and any UTF-8 file can hold: the same characters are escaped in it.

    Numbers that are not finite, which JSON does not have, become null where it is not `strict`.

    Raises:
        ValueError: a number that is not finite.
    """
    if not strict:
        value = _finite(value)
    return _UNSAFE.sub(_json_escape, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def ascii_json(text: str) -> str:
    """JSON `text` with every character beyond ASCII escaped; it means the same."""
    return re.sub("[^\x00-\x7f]", _json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    """A character as JSON spells it, in UTF-16 units."""
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
