"""Token sequences side by side in batches, each in a stream of its own; and a long text's windows.

Pure: knows lengths and limits, nothing of llama.cpp or of queries. What sequences have in common is `sharing.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CELL = 256
"""llama.cpp rounds a stream's length up to this many tokens."""


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
    """Sort jobs by length and cut them into groups of one context shape each.

    Args:
        jobs: in any order.
        limits: of a batch.
        whole: take only as many side by side as fit whole into one call; otherwise as many as there are streams,
            for jobs that advance by one token at a time.
    """
    order = sorted(range(len(jobs)), key=lambda index: (-len(jobs[index].tokens), index))
    groups: list[Group] = []
    start = 0
    while start < len(order):
        longest = jobs[order[start]]
        length = stream_length(len(longest.tokens))
        streams = max(1, min(limits.streams, limits.cells // length))
        if whole:
            streams = min(streams, _whole_jobs(longest, limits))
        chosen = order[start : start + streams]
        same = [index for index in chosen if stream_length(len(jobs[index].tokens)) == length]
        branches = (Branch((p,), 0, len(jobs[i].tokens), jobs[i].first_output) for p, i in enumerate(same))
        groups.append(Group(streams, length, tuple(same), tuple(branches)))
        start += len(same)
    return groups


def _whole_jobs(job: Job, limits: Limits) -> int:
    """How many jobs like this fit into one call, as a power of two: few streams in long steps run faster than many
    in short ones."""
    fitting = min(limits.outputs // (len(job.tokens) - job.first_output), limits.batch // len(job.tokens))
    return 1 << max(0, fitting.bit_length() - 1)


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
