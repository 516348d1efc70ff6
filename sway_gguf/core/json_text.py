"""JSON that others wrote: parsed, or told in one line what is wrong with it. Knows JSON; not what it means."""

from __future__ import annotations

import json
import math
from typing import Any

from sway_gguf.core.errors import UserError


def parse_json(text: str, where: str, mend: str) -> Any:
    """The value that `text` stands for.

    NaN and Infinity are read, as Python's own writer leaves them; halves of surrogate pairs are refused: no file and
    no tokenizer takes them.

    Args:
        text: of one document.
        where: the file, with the line where it is one of many.
        mend: what to do about it, for the error.

    Raises:
        UserError: not JSON, nested too deeply, a number too long to be read, or half of a surrogate pair.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if "\n" in text.strip() else f"column {error.colno}"
        raise UserError(f"{where}: not JSON ({error.msg} at {place}); {mend}") from None
    except RecursionError:
        raise UserError(f"{where}: its JSON is nested too deeply to be read; {mend}") from None
    except ValueError as error:
        raise UserError(f"{where}: its JSON cannot be read ({error}); {mend}") from None
    if "\\ud" in text.lower() and not _encodes(value):
        raise UserError(f"{where}: holds half of a surrogate pair (such as \\ud800), which is no character; {mend}")
    return value


def number(value: Any, where: str) -> float:
    """A number of parsed JSON or a pickle as a float; NaN and infinities pass.

    Raises:
        UserError: it is none, or too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where} is {_shown(value)}; a number is wanted")
    try:
        return float(value)
    except OverflowError:
        raise UserError(f"{where} is larger than any float") from None


def whole(value: Any, where: str) -> int:
    """A number that counts something: not negative, without a fraction, below 2⁵³.

    Raises:
        UserError: it is none.
    """
    found = number(value, where)
    if not (math.isfinite(found) and 0 <= found < 2**53 and found == int(found)):
        raise UserError(f"{where} is {found:g}; a count is wanted")
    return int(found)


def _encodes(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)[:60]
