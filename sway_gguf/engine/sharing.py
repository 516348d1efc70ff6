"""What token sequences begin with alike is read once, for all of them: which do so together, and in which calls.

Sequences with common beginnings form a tree. A branch of it is fed once, with the ids of all sequences below it, into
a cache that they share; so a unit of four texts of 16 tokens behind the same 64 takes 128 tokens, where one by one
they take 320. Pure: knows tokens and limits, nothing of llama.cpp or of who asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby, pairwise

import numpy as np

from sway_gguf.core.common import common
from sway_gguf.engine.cutting import cut
from sway_gguf.engine.packing import Branch, Group, Job, Limits, Stretch, stream_length

LEAST_SAVED = 0.25
"""Share of a unit's tokens that must be saved. Its numbers differ from those of a sequence alone by rounding."""
_CELLS_OF_A_TOKEN = 4096
"""A token costs twice as much where it is held against this many cells, and it is held against its whole unit.

Measured with 135 million weights: 3,300. Larger models have more to do beside; larger units would cost them less.
"""
_TOKENS_OF_A_CALL = 16
"""What a call costs beside its tokens, in tokens; measured, 4 to 9."""
_WIDTH = 4
"""Bytes of a scattered token."""
_SCATTER = np.uint32(0x9E3779B1)
"""Odd, so that no two tokens become one number (Knuth's multiplicative hashing: 2³² by the golden ratio)."""


def shared_groups(jobs: Sequence[Job], limits: Limits) -> list[Group]:
    """The units in which beginnings are shared; a job that gains nothing is in none of them.

    In the order of their tokens jobs of one tree are neighbours. The cheapest units that are whole branches of it are
    taken, and what is left alone.
    """
    if not jobs:
        return []
    keys = [*map(_scattered, jobs)]
    order = sorted(range(len(jobs)), key=lambda index: (keys[index], jobs[index].first_output, jobs[index].targets))
    row = [jobs[index] for index in order]
    known = [common(one.tokens, other.tokens) for one, other in pairwise(row)]
    alone = [0, *accumulate(len(job.tokens) for job in row)]
    again = [0, *accumulate(known)]
    wanted = [0, *accumulate(map(_outputs, row))]
    twice = [0, *accumulate(_twice(one, other, both) for (one, other), both in zip(pairwise(row), known, strict=True))]

    def cost(first: int, stop: int) -> float:
        apart = alone[stop] - alone[first]
        tokens = apart - (again[stop - 1] - again[first])
        outputs = wanted[stop] - wanted[first] - (twice[stop - 1] - twice[first])
        if stop - first == 1:
            return _cost(tokens, outputs, limits, whole=False)
        fits = stop - first <= limits.streams and tokens <= limits.cells
        return _cost(tokens, outputs, limits) if fits and tokens <= (1 - LEAST_SAVED) * apart else math.inf

    pairs = zip(pairwise(order), known, strict=True)
    closeness = [_closeness(keys[one], keys[other], both) for (one, other), both in pairs]
    return [_group(jobs, order[first:stop], limits) for first, stop in cut(closeness, cost) if stop - first > 1]


def _scattered(job: Job) -> bytes:
    """A job's tokens by numbers that scatter, in order: what follows one beginning parts by halves, whatever it is."""
    return (np.array(job.tokens, np.uint32) * _SCATTER).astype(">u4").tobytes()


def _closeness(one: bytes, other: bytes, both: int) -> tuple[int, int]:
    """How far two neighbours are alike: so many tokens, and bits of the next; what ends there is closest."""
    here, there = one[_WIDTH * both :][:_WIDTH], other[_WIDTH * both :][:_WIDTH]
    if not here:
        return both, 8 * _WIDTH
    return both, 8 * _WIDTH - (int.from_bytes(here, "big") ^ int.from_bytes(there, "big")).bit_length()


def _cost(tokens: int, outputs: int, limits: Limits, *, whole: bool = True) -> float:
    """What reading so much costs, in tokens; a job that is not `whole` a unit shares its calls with others."""
    calls = max(tokens / limits.batch, outputs / limits.outputs)
    calling = _TOKENS_OF_A_CALL * (math.ceil(calls) if whole else calls)
    return tokens * (1 + stream_length(tokens) / _CELLS_OF_A_TOKEN) + calling


def _outputs(job: Job) -> int:
    return len(job.tokens) - job.first_output


def _twice(one: Job, other: Job, known: int) -> int:
    """Outputs that both want of the `known` tokens that they have in common."""
    return max(0, known - max(one.first_output, other.first_output))


def _group(jobs: Sequence[Job], unit: Sequence[int], limits: Limits) -> Group:
    branches = tuple(_branches([jobs[index] for index in unit], range(len(unit)), 0))
    length = stream_length(sum(branch.stop - branch.start for branch in branches))
    return Group(limits.streams, length, tuple(unit), branches, shared=True)


def _branches(jobs: Sequence[Job], places: Sequence[int], start: int) -> Iterator[Branch]:
    """The tree of the jobs at `places`, in the order of their tokens and alike up to `start`; parents come first."""
    stop = common(jobs[places[0]].tokens, jobs[places[-1]].tokens)
    if stop > start:
        yield Branch(tuple(places), start, stop, min(jobs[place].first_output for place in places))
    longer = (place for place in places if len(jobs[place].tokens) > stop)
    for _, alike in groupby(longer, key=lambda place: jobs[place].tokens[stop]):
        yield from _branches(jobs, [*alike], stop)


def filled_calls(branches: Sequence[Branch], limits: Limits) -> Iterator[list[Stretch]]:
    """A shared group's calls, each filled up with what comes next; what a branch grows on is read before it."""
    call, tokens, outputs = list[Stretch](), 0, 0
    for place, branch in enumerate(branches):
        position = branch.start
        while position < branch.stop:
            silent = max(0, branch.first_output - position)
            width = min(branch.stop - position, limits.batch - tokens, silent + limits.outputs - outputs)
            if width:
                call.append(Stretch(place, position, position + width))
                position, tokens, outputs = position + width, tokens + width, outputs + max(0, width - silent)
            else:
                yield call
                call, tokens, outputs = [], 0, 0
    if call:
        yield call


def halves(call: Sequence[Stretch]) -> list[list[Stretch]]:
    """A shared group's call in two: the first half of its tokens, then the rest."""
    parts: tuple[list[Stretch], list[Stretch]] = ([], [])
    left = (sum(stretch.stop - stretch.start for stretch in call) + 1) // 2
    for stretch in call:
        middle = min(stretch.start + left, stretch.stop)
        left -= middle - stretch.start
        for part, start, stop in zip(parts, (stretch.start, middle), (middle, stretch.stop), strict=True):
            if start < stop:
                part.append(Stretch(stretch.place, start, stop))
    return [part for part in parts if part]
