"""Runs token jobs through contexts in packed batches, and reduces the logits as they come.

Knows jobs, views and contexts; neither queries nor what an answer means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Changes
from sway_gguf.core.views import BASE, View, is_rerun
from sway_gguf.engine.batch import Piece
from sway_gguf.engine.contexts import ContextPool
from sway_gguf.engine.doors import OnTokens
from sway_gguf.engine.packing import Group, Job, Limits, Stretch, group_jobs, parts_of, steps
from sway_gguf.engine.reduce import NotFiniteError, changes, log_softmax_row, target_logprobs


class JobError(Exception):
    """The logits of a job are not finite. `job` is its index."""

    def __init__(self, job: int) -> None:
        super().__init__(f"job {job} gave a number that is not finite")
        self.job = job


def score(
    pool: ContextPool, view: View, jobs: Sequence[Job], limits: Limits, progress: OnTokens
) -> list[NDArray[np.float64] | NDArray[np.float32]]:
    """Per job the log-probabilities of its targets [targets], or a whole row [V] where it has none.

    Raises:
        JobError: a number is not finite.
    """
    found: list[list[NDArray[Any]]] = [[] for _ in jobs]
    for group in group_jobs(jobs, limits):
        context = pool.cleared(view, group.streams, group.length, limits)
        for call in _calls(jobs, group, limits, progress):
            for part in parts_of(call, is_rerun(view)):
                logits = context.decode(_pieces(jobs, group, part))
                for index, rows, done in _outputs(jobs, group, part):
                    with _blaming(index):
                        found[index].append(_reduced(logits[rows], jobs[index], done))
    return [np.concatenate(parts) for parts in found]


def compare(
    pool: ContextPool, view: View, jobs: Sequence[Job], limits: Limits, progress: OnTokens
) -> list[list[Changes]]:
    """Per job how `view` differs from the base at its targets, in pieces; both run side by side.

    Raises:
        JobError: a number is not finite.
    """
    found: list[list[Changes]] = [[] for _ in jobs]
    for group in group_jobs(jobs, limits):
        ours = pool.cleared(view, group.streams, group.length, limits)
        base = pool.cleared(BASE, group.streams, group.length, limits, companion=True)
        for call in _calls(jobs, group, limits, progress):
            before = base.decode(_pieces(jobs, group, call))
            origin = {index: rows.start - done for index, rows, done in _outputs(jobs, group, call)}
            for part in parts_of(call, is_rerun(view)):
                after = ours.decode(_pieces(jobs, group, part))
                for index, rows, done in _outputs(jobs, group, part):
                    count, first = rows.stop - rows.start, origin[index] + done
                    targets = jobs[index].targets[done : done + count]
                    with _blaming(index):
                        found[index].append(changes(before[first : first + count], after[rows], targets))
    return found


@contextmanager
def _blaming(job: int) -> Iterator[None]:
    """Turns the error of a reduction into one that names the job."""
    try:
        yield
    except NotFiniteError as error:
        raise JobError(job) from error


def _calls(jobs: Sequence[Job], group: Group, limits: Limits, progress: OnTokens) -> Iterator[list[Stretch]]:
    for stretches in steps([jobs[index] for index in group.jobs], limits):
        yield stretches
        progress(sum(stretch.stop - stretch.start for stretch in stretches))


def _pieces(jobs: Sequence[Job], group: Group, stretches: Sequence[Stretch]) -> list[Piece]:
    mates = [jobs[index] for index in group.jobs]
    return [
        Piece(s.place, s.start, mates[s.place].tokens[s.start : s.stop], mates[s.place].first_output - s.start)
        for s in stretches
    ]


def _outputs(jobs: Sequence[Job], group: Group, stretches: Sequence[Stretch]) -> Iterator[tuple[int, slice, int]]:
    """(job, its rows among the logits, how many of its outputs came before) for each stretch that has any."""
    row = 0
    for stretch in stretches:
        index = group.jobs[stretch.place]
        first = max(stretch.start, jobs[index].first_output)
        count = max(0, stretch.stop - first)
        if count:
            yield index, slice(row, row + count), first - jobs[index].first_output
        row += count


def _reduced(logits: NDArray[np.float32], job: Job, done: int) -> NDArray[Any]:
    if not job.targets:
        return log_softmax_row(logits[0])
    return target_logprobs(logits, job.targets[done : done + len(logits)])
