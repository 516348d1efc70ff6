"""Lays jobs out in calls: what shares its beginning in units that read it once, all else side by side.

The layout depends on the jobs and the limits alone, never on the view, so every view runs the same batches. A rerun,
which is there to show what the layout does to the numbers, takes each of those calls in two parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sway_gguf.engine.packing import Group, Job, Limits, Stretch, group_jobs, parts_of, steps
from sway_gguf.engine.sharing import filled_calls, halves, shared_groups


def lay_out(jobs: Sequence[Job], limits: Limits) -> list[Group]:
    """Groups in which every job stands once."""
    shared = shared_groups(jobs, limits) if limits.share else []
    taken = {index for group in shared for index in group.jobs}
    rest = [index for index in range(len(jobs)) if index not in taken]
    apart = group_jobs([jobs[index] for index in rest], limits)
    return [*shared, *(replace(group, jobs=tuple(rest[place] for place in group.jobs)) for group in apart)]


def calls_of(jobs: Sequence[Job], group: Group, limits: Limits) -> Iterator[list[Stretch]]:
    """The calls that read a group."""
    if group.shared:
        return filled_calls(group.branches, limits)
    return steps([jobs[index] for index in group.jobs], limits)


def runs_of(group: Group, call: Sequence[Stretch], rerun: bool) -> list[list[Stretch]]:
    """A call of a group as it is run: whole, or for a rerun in two parts."""
    return halves(call) if rerun and group.shared else parts_of(call, rerun)


def tokens_of(groups: Sequence[Group]) -> int:
    """Tokens that are fed for `groups`."""
    return sum(branch.stop - branch.start for group in groups for branch in group.branches)


Batches = frozenset[tuple[int, int, frozenset[tuple[int, int, int]]]]
"""Of one job: first token, last token and mates (job, first token, last token) for each call it takes part in."""


def batches_of(jobs: Sequence[Job], limits: Limits, *, rerun: bool = False) -> list[Batches]:
    """What each job is evaluated in, to tell whether two layouts differ for it."""
    found: list[set[tuple[int, int, frozenset[tuple[int, int, int]]]]] = [set() for _ in jobs]
    for group in lay_out(jobs, limits):
        for call in calls_of(jobs, group, limits):
            for part in runs_of(group, call, rerun):
                mates = frozenset(
                    (group.jobs[place], s.start, s.stop) for s in part for place in group.branches[s.place].places
                )
                for index, start, stop in mates:
                    found[index].add((start, stop, mates - {(index, start, stop)}))
    return [frozenset(batches) for batches in found]
