"""Token sequences side by side in batches, each in a stream of its own; and a long text's windows.

Pure: knows lengths and limits, nothing of llama.cpp or of queries. What sequences have in common is `sharing.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, pairwise
from math import inf

import numpy as np

from sway_gguf.engine.cutting import cut

CELL = 256
"""llama.cpp rounds a stream's length up to this many tokens."""
STEP = 512
"""Tokens that llama.cpp takes at a time (-ub) unless it is told otherwise: more of them in one call save nothing."""


@dataclass(frozen=True, slots=True)
class Job:
    """One sequence to evaluate.

    Attributes:
        tokens: what is fed, at positions 0, 1, …
        first_output: logits are wanted from this position to the last.
        targets: for each of those positions the token whose log-probability is wanted, or () for the whole
            distribution at the last position.
    """

    tokens: tuple[int, ...]
    first_output: int
    targets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one batch may hold.

    Attributes:
        batch: tokens per call of llama.cpp.
        outputs: positions with logits per call; bounds the logits buffer.
        streams: sequences per context.
        cells: tokens per context, over all streams.
        share: whether the model can read a token for several sequences at once.
    """

    batch: int
    outputs: int
    streams: int
    cells: int
    share: bool = True

    def side_by_side(self, length: int) -> int:
        """Most sequences of so many tokens in one context."""
        return max(1, min(self.streams, self.cells // length))


@dataclass(frozen=True, slots=True)
class Branch:
    """Tokens start … stop, the same in the jobs at these places of a group and read once for all of them.

    Attributes:
        places: of the jobs.
        start, stop: positions.
        first_output: one of the jobs wants logits from this position on, none before.
    """

    places: tuple[int, ...]
    start: int
    stop: int
    first_output: int


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that run side by side in one context.

    Attributes:
        streams, length: the context's shape.
        jobs: indices of jobs; a job's place is the id of its sequence.
        branches: what is read: a whole job each, the longest first; or, shared, what jobs have in common before
            that in which they differ.
        shared: whether tokens belong to several sequences, all of which have `length` tokens together; otherwise each
            has a stream of so many.
    """

    streams: int
    length: int
    jobs: tuple[int, ...]
    branches: tuple[Branch, ...]
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tokens start … stop of the branch in `place` of its group, evaluated in one call."""

    place: int
    start: int
    stop: int


def group_jobs(jobs: Sequence[Job], limits: Limits, *, whole: bool = True) -> list[Group]:
    """Groups of one context shape each, of jobs of like length; one job more changes the group that it falls into.

    A group that is read whole fills a step of llama.cpp's at most: the smaller it is, the less is read again with a
    job that is new.

    Args:
        jobs: in any order.
        limits: of a batch.
        whole: take only as many side by side as fit whole into one call; otherwise as many as there are streams,
            for jobs that advance by one token at a time.
    """
    if not jobs:
        return []
    keys = [_key(job) for job in jobs]
    order = sorted(range(len(jobs)), key=keys.__getitem__, reverse=True)
    row = [jobs[index] for index in order]
    tokens = [0, *accumulate(len(job.tokens) for job in row)]
    outputs = [0, *accumulate(len(job.tokens) - job.first_output for job in row)]

    def cost(first: int, stop: int) -> float:
        length = stream_length(len(row[first].tokens))
        fits = stop - first <= limits.side_by_side(length) and length == stream_length(len(row[stop - 1].tokens))
        if whole:
            fits = fits and tokens[stop] - tokens[first] <= min(limits.batch, STEP)
            fits = fits and outputs[stop] - outputs[first] <= limits.outputs
        return 1.0 if fits or stop - first == 1 else inf

    closeness = [-(keys[one] ^ keys[other]).bit_length() for one, other in pairwise(order)]
    return [_group(jobs, order[first:stop], limits) for first, stop in cut(closeness, cost)]


def _key(job: Job) -> int:
    """Orders jobs by length, and those of one length by a digest of what they are."""
    digest = blake2b(np.array((job.first_output, *job.tokens, *job.targets), "<i8").tobytes(), digest_size=8).digest()
    return len(job.tokens) - 1 << 64 | int.from_bytes(digest, "big")


def _group(jobs: Sequence[Job], chosen: Sequence[int], limits: Limits) -> Group:
    """Of jobs by their indices, the longest first. Streams are a power of two, so that few shapes are needed."""
    length = stream_length(len(jobs[chosen[0]].tokens))
    streams = min(1 << (len(chosen) - 1).bit_length(), limits.side_by_side(length))
    branches = (Branch((p,), 0, len(jobs[i].tokens), jobs[i].first_output) for p, i in enumerate(chosen))
    return Group(streams, length, tuple(chosen), tuple(branches))


def stream_length(tokens: int) -> int:
    """Room for `tokens`: a power of two times `CELL`, so that few shapes of context are needed."""
    length = CELL
    while length < tokens:
        length *= 2
    return length


def steps(jobs: Sequence[Job], limits: Limits) -> Iterator[list[Stretch]]:
    """Cut a group's jobs (longest first) into calls: all streams advance together by as much as fits."""
    position, longest = 0, len(jobs[0].tokens)
    while position < longest:
        active = [place for place, job in enumerate(jobs) if len(job.tokens) > position]
        width = _widest(jobs, active, position, limits)
        yield [Stretch(p, position, min(position + width, len(jobs[p].tokens))) for p in active]
        position += width


def _widest(jobs: Sequence[Job], active: Sequence[int], position: int, limits: Limits) -> int:
    """Most positions by which every active job can advance within the limits; at least one."""

    def fits(width: int) -> bool:
        tokens = outputs = 0
        for place in active:
            stop = min(position + width, len(jobs[place].tokens))
            tokens += stop - position
            outputs += max(0, stop - max(position, jobs[place].first_output))
        return tokens <= limits.batch and outputs <= limits.outputs

    low, high = 1, max(len(jobs[place].tokens) for place in active) - position
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def parts_of(call: Sequence[Stretch], rerun: bool) -> list[list[Stretch]]:
    """A call as it is, or for a rerun in two: each stretch by halves, or half of the streams where each is one token.

    Every stretch of a rerun has another width, or other mates; only a lone token stays as it is.
    """
    if not rerun:
        return [list(call)]
    if all(stretch.stop - stretch.start == 1 for stretch in call):
        half = (len(call) + 1) // 2
        return [list(part) for part in (call[:half], call[half:]) if part]
    middles = [(stretch, (stretch.start + stretch.stop + 1) // 2) for stretch in call]
    return [
        [Stretch(s.place, s.start, middle) for s, middle in middles],
        [Stretch(s.place, middle, s.stop) for s, middle in middles if middle < s.stop],
    ]


def windows(tokens: Sequence[int], first_target: int, width: int, bos: int | None) -> list[Job]:
    """Jobs that score tokens[first_target:] with at most `width` tokens fed at a time.

    A text that fits is one job. A longer one is read in windows that advance by half a width: each token is
    scored once and, past the first window, with at least width / 2 tokens of text before it. A later
    window opens with BOS where the text does, as llama.cpp's own perplexity tool has it.

    Raises:
        ValueError: `first_target` is 0 (nothing stands before the first token) or `width` is below 4.
    """
    if first_target < 1:
        raise ValueError("the first token of a text has nothing before it to be scored from")
    if width < 4:
        raise ValueError(f"windows of {width} tokens leave no context")
    if len(tokens) - 1 <= width:
        return [Job(tuple(tokens[:-1]), first_target - 1, tuple(tokens[first_target:]))]
    opening = [bos] if bos is not None and tokens[0] == bos else []
    jobs: list[Job] = []
    target = first_target
    while target < len(tokens):
        jobs.append(_window(tokens, target, width, opening))
        target += len(jobs[-1].targets)
    return jobs


def _window(tokens: Sequence[int], target: int, width: int, opening: list[int]) -> Job:
    begin = max(0, target - width // 2)
    opening = opening if begin else []
    body = list(tokens[begin : begin + width - len(opening)])[: len(tokens) - 1 - begin]
    first = len(opening) + target - 1 - begin
    return Job(tuple(opening + body), first, tuple(tokens[target : begin + len(body) + 1]))
