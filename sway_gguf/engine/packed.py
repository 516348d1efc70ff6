"""Runs token jobs through contexts in packed batches, and reduces the logits as they come.

Knows jobs, views and contexts; neither queries nor what an answer means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Changes
from sway_gguf.core.views import BASE, View, is_rerun
from sway_gguf.engine.batch import Piece
from sway_gguf.engine.contexts import ContextPool
from sway_gguf.engine.layout import calls_of, runs_of
from sway_gguf.engine.open_view import OnTokens
from sway_gguf.engine.packing import Group, Job, Limits, Stretch
from sway_gguf.engine.reduce import NotFiniteError, changes, log_softmax_row, target_logprobs


class JobError(Exception):
    """The logits of a job are not finite. `job` is its index."""

    def __init__(self, job: int) -> None:
        super().__init__(f"job {job} gave a number that is not finite")
        self.job = job


def score(
    pool: ContextPool, view: View, jobs: Sequence[Job], group: Group, limits: Limits, progress: OnTokens
) -> list[NDArray[np.float64] | NDArray[np.float32]]:
    """Per job of a group the log-probabilities of its targets [targets], or a whole row [V] where it has none.

    Raises:
        JobError: a number is not finite.
    """
    found: list[list[NDArray[Any]]] = [[] for _ in jobs]
    context = pool.cleared(view, group.streams, group.length, limits, unified=group.shared)
    for call in _calls(jobs, group, limits, progress):
        for part in runs_of(group, call, is_rerun(view)):
            logits = context.decode(_pieces(jobs, group, part))
            for out in _outputs(jobs, group, part):
                with _blaming(out.job):
                    found[out.job].append(_reduced(logits[out.rows], jobs[out.job], out.done))
    return [np.concatenate(parts) for parts in found]


def compare(
    pool: ContextPool, view: View, jobs: Sequence[Job], group: Group, limits: Limits, progress: OnTokens
) -> list[list[Changes]]:
    """Per job of a group how `view` differs from the base at its targets, in pieces; both run side by side.

    What either reads is told as tokens.

    Raises:
        JobError: a number is not finite.
    """
    found: list[list[Changes]] = [[] for _ in jobs]
    ours = pool.cleared(view, group.streams, group.length, limits, unified=group.shared)
    base = pool.cleared(BASE, group.streams, group.length, limits, unified=group.shared, companion=True)
    for call in _calls(jobs, group, limits, progress, models=2):
        before = base.decode(_pieces(jobs, group, call))
        origin = {(out.job, out.branch): out.rows.start - out.done for out in _outputs(jobs, group, call)}
        for part in runs_of(group, call, is_rerun(view)):
            after = ours.decode(_pieces(jobs, group, part))
            for out in _outputs(jobs, group, part):
                count, first = out.rows.stop - out.rows.start, origin[out.job, out.branch] + out.done
                targets = jobs[out.job].targets[out.done : out.done + count]
                with _blaming(out.job):
                    found[out.job].append(changes(before[first : first + count], after[out.rows], targets))
    return found


@contextmanager
def _blaming(job: int) -> Iterator[None]:
    """Turns the error of a reduction into one that names the job."""
    try:
        yield
    except NotFiniteError as error:
        raise JobError(job) from error


def _calls(
    jobs: Sequence[Job], group: Group, limits: Limits, progress: OnTokens, models: int = 1
) -> Iterator[list[Stretch]]:
    for stretches in calls_of(jobs, group, limits):
        yield stretches
        progress(models * sum(stretch.stop - stretch.start for stretch in stretches))


def _pieces(jobs: Sequence[Job], group: Group, stretches: Sequence[Stretch]) -> list[Piece]:
    found = []
    for stretch in stretches:
        branch = group.branches[stretch.place]
        tokens = jobs[group.jobs[branch.places[0]]].tokens[stretch.start : stretch.stop]
        found.append(Piece(branch.places, stretch.start, tokens, branch.first_output - stretch.start))
    return found


class _Output(NamedTuple):
    """What a batch gives of one job: its rows among the logits, and how many of its outputs came before."""

    job: int
    branch: int
    rows: slice
    done: int


def _outputs(jobs: Sequence[Job], group: Group, stretches: Sequence[Stretch]) -> Iterator[_Output]:
    """The outputs of a batch, per stretch and job that wants any; what jobs have in common is given to each."""
    row = 0
    for stretch in stretches:
        branch = group.branches[stretch.place]
        first = max(stretch.start, branch.first_output)
        stop = row + max(0, stretch.stop - first)
        for index in (group.jobs[place] for place in branch.places):
            own = max(first, jobs[index].first_output)
            if own < stretch.stop:
                yield _Output(index, stretch.place, slice(row + own - first, stop), own - jobs[index].first_output)
        row = stop


def _reduced(logits: NDArray[np.float32], job: Job, done: int) -> NDArray[Any]:
    if not job.targets:
        return log_softmax_row(logits[0])
    return target_logprobs(logits, job.targets[done : done + len(logits)])
