"""Names and counts in a sentence: some of many, all of a few, or too few. Knows words only."""

from __future__ import annotations

from collections.abc import Sequence


def few(names: Sequence[str], most: int = 3) -> str:
    """The first ones, and how many more there are: "a, b and 5 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def listed(names: Sequence[str]) -> str:
    """All of one or more: "a", "a and b", "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def too_few(count: int, wanted: int, one: str, many: str) -> str:
    """That there are fewer than `wanted`, and what to do: "1 item is too few; give 4 or more in addition"."""
    return f"{count} {f'{one} is' if count == 1 else f'{many} are'} too few; give {wanted - count} or more in addition"
