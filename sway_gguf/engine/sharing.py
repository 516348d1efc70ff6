"""What token sequences begin with alike is read once, for all of them: which do so together, and in which calls.

Sequences with common beginnings form a tree. A branch of it is fed once, with the ids of all sequences below it, into
a cache that they share; so a unit of four texts of 16 tokens behind the same 64 takes 128 tokens, where one by one
they take 320. Pure: knows tokens and limits, nothing of llama.cpp or of who asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from sway_gguf.core.common import common
from sway_gguf.engine.packing import Branch, Group, Job, Limits, Stretch, stream_length

LEAST_SAVED = 0.25
"""Share of a unit's tokens that must be saved. Its numbers differ from those of a sequence alone by rounding."""
_CELLS_OF_A_TOKEN = 4096
"""A token costs twice as much where it is held against this many cells, and it is held against its whole unit.

Measured with 135 million weights: 3,300. Larger models have more to do beside; larger units would cost them less.
"""
_TOKENS_OF_A_CALL = 16
"""What a call costs beside its tokens, in tokens; measured, 4 to 9."""


def shared_groups(jobs: Sequence[Job], limits: Limits) -> list[Group]:
    """The units in which beginnings are shared; a job that gains nothing is in none of them.

    In the order of their tokens jobs of one tree are neighbours. The best cuts of that order, and what is left alone,
    are found from its beginning on, by what each unit costs.
    """
    order = sorted(range(len(jobs)), key=lambda index: (jobs[index].tokens, jobs[index].first_output, index))
    costs, begins = [0.0], list[int]()
    known = [0, *(common(jobs[one].tokens, jobs[other].tokens) for one, other in pairwise(order))]
    for stop in range(1, len(order) + 1):
        last = jobs[order[stop - 1]]
        best, begin = costs[-1] + _cost(len(last.tokens), _outputs(last), limits, whole=False), stop - 1
        tokens = outputs = alone = 0
        for first in range(stop - 1, max(-1, stop - 1 - limits.streams), -1):
            job, after = jobs[order[first]], first + 1
            alone += len(job.tokens)
            tokens += len(job.tokens) - (known[after] if after < stop else 0)
            outputs += _outputs(job) - (_twice(job, jobs[order[after]], known[after]) if after < stop else 0)
            if tokens > limits.cells:
                break
            cost = costs[first] + _cost(tokens, outputs, limits)
            if tokens <= (1 - LEAST_SAVED) * alone and cost < best:
                best, begin = cost, first
        costs.append(best)
        begins.append(begin)
    return [_group(jobs, unit, limits) for unit in _units(order, begins)]


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


def _units(order: Sequence[int], begins: Sequence[int]) -> list[Sequence[int]]:
    """The units of several jobs, from where the best unit that ends at each place begins."""
    units, stop = list[Sequence[int]](), len(order)
    while stop:
        first = begins[stop - 1]
        if stop - first > 1:
            units.append(order[first:stop])
        stop = first
    return units[::-1]


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
