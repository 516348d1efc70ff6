"""How prompts are read before replies to them are written: side by side, and what all of them begin with once.

llama.cpp evaluates at once what is equally long in neighbouring streams. So the prompts stand by length, the shortest
first, and advance together; where it takes few tokens to let a shorter one go along, it is filled up, and what fills is
forgotten. A few tokens of a stream run through other kernels than more of them, whose numbers agree bit for bit: so no
stream advances by fewer. The last token of each prompt is left, for with it the writing begins.

Pure: knows lengths and limits, nothing of llama.cpp or of what a token says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sway_gguf.core.common import common
from sway_gguf.engine.packing import STEP, Limits

LEAST = 4
"""From so many tokens on, in a stream and in all, the numbers are the same however many there are (on x86)."""
_WORTH = 16
"""Tokens that a call costs beside its own: so many are filled up to save one, and so many are read once for all."""


class Manner(NamedTuple):
    """How prompts may be read.

    Attributes:
        together: side by side; otherwise each as if it were the only one.
        step: tokens that llama.cpp evaluates at once (-ub).
    """

    together: bool = True
    step: int = STEP


@dataclass(frozen=True, slots=True)
class Call:
    """Streams `first` up to `behind` are fed at the positions from `start` up to `stop`, also where a prompt ends
    before."""

    first: int
    behind: int
    start: int
    stop: int

    @property
    def tokens(self) -> int:
        """Fed in it."""
        return (self.behind - self.first) * (self.stop - self.start)

    def halves(self) -> list[Call]:
        """The same in two calls, where it feeds more than a token of each stream."""
        middle = (self.start + self.stop + 1) // 2
        parts = (Call(self.first, self.behind, self.start, middle), Call(self.first, self.behind, middle, self.stop))
        return [part for part in parts if part.tokens]


@dataclass(frozen=True, slots=True)
class Reading:
    """How some prompts are read, up to the last token of each.

    Attributes:
        order: the prompts by stream.
        beginning: what all begin with, in the first stream, whence it is copied to the others; () where nothing is.
        rest: all else.
    """

    order: tuple[int, ...]
    beginning: tuple[Call, ...]
    rest: tuple[Call, ...]

    @property
    def tokens(self) -> int:
        """Fed in all calls."""
        return sum(call.tokens for call in (*self.beginning, *self.rest))


def reading_of(prompts: Sequence[Sequence[int]], limits: Limits, manner: Manner, *, rerun: bool = False) -> Reading:
    """The calls that read `prompts`.

    Args:
        prompts: none of them empty.
        limits: of a batch.
        manner: how they may be read.
        rerun: take each call in two.
    """
    order = sorted(range(len(prompts)), key=lambda place: (len(prompts[place]), place))
    lengths = [len(prompts[place]) - 1 for place in order]
    # A recurrent state cannot be filled up and forgotten, and small steps leave a stream too few tokens.
    together = manner.together and limits.share and min(limits.batch, manner.step) >= 2 * LEAST * len(prompts)
    alike = _alike([prompts[place] for place in order]) if together else 0
    beginning = [*_side_by_side([alike], 0, limits, manner.step)]
    if together:
        rest = [*_side_by_side(lengths, alike, limits, manner.step)]
    else:
        rest = [
            Call(stream, stream + 1, call.start, call.stop)
            for stream, length in enumerate(lengths)
            for call in _side_by_side([length], 0, limits, manner.step)
        ]
    if rerun:
        beginning, rest = ([half for call in calls for half in call.halves()] for calls in (beginning, rest))
    return Reading(tuple(order), tuple(beginning), tuple(rest))


def _alike(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all begin with, as many as are worth it; each has enough left to go on with."""
    found = min((common(prompts[0], other) for other in prompts[1:]), default=0)
    found = min(found, len(prompts[0]) - 1 - LEAST)
    return found if found >= _WORTH else 0


def _side_by_side(lengths: Sequence[int], position: int, limits: Limits, step: int) -> Iterator[Call]:
    """Calls that take streams of these lengths, ascending, from a position to their ends."""
    fills = limits.share  # A recurrent state forgets nothing.
    first, behind = 0, len(lengths)
    while True:
        while first < behind and lengths[first] <= position:
            first += 1
        if first == behind:
            return
        end = _end(lengths, first, position, fills)
        most = max(1, min(limits.batch, step) // (behind - first))
        pieces = -(-(end - position) // most)
        for left in range(pieces, 0, -1):
            # Split evenly: none is left with a few tokens.
            stop = position + -(-(end - position) // left)
            yield Call(first, behind, position, stop)
            position = stop


def _end(lengths: Sequence[int], first: int, position: int, fills: bool) -> int:
    """How far the streams from `first` on go together: beyond the ends of shorter ones while few tokens fill, or where
    fewer than LEAST would be left."""
    end, filled = lengths[first], 0
    if not fills:
        return end
    for ended in range(first + 1, len(lengths)):
        further = lengths[ended] - end
        filled += (ended - first) * further
        if filled > _WORTH and further >= LEAST and end - position >= LEAST:
            break
        end = lengths[ended]
    return max(end, position + LEAST)
