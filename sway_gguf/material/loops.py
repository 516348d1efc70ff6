"""Replies that repeat themselves without end. Knows token ids only."""

from __future__ import annotations

from collections.abc import Sequence

_TIMES, _LEAST = 3, 12


def loops(reply: Sequence[int]) -> bool:
    """Whether the end of a reply is one stretch over and over: at least three times, and over at least twelve tokens.

    The last time may be cut off, as it is where a reply ran into its limit.
    """
    run: list[int]
    for period in range(1, len(reply) // _TIMES + 1):
        run = list(reply[-max(_TIMES * period, _LEAST) :])
        if len(run) >= _LEAST and run[period:] == run[:-period]:
            return True
    return False
