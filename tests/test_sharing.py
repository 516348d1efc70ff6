"""Shared beginnings: read once for all, in an order that can be read, within every limit, and only where it pays."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.engine.layout import batches_of, calls_of, lay_out, runs_of, tokens_of
from sway_gguf.engine.packing import Branch, Group, Job, Limits, Stretch, group_jobs
from sway_gguf.engine.sharing import LEAST_SAVED, filled_calls, halves, shared_groups

WIDE = Limits(batch=2048, outputs=256, streams=32, cells=8192)


@st.composite
def forests(draw: st.DrawFn) -> list[Job]:
    """Jobs that grow on one another at random: few tokens, so that beginnings meet by chance too."""
    tokens = st.lists(st.integers(0, 3), max_size=40)
    texts: list[tuple[int, ...]] = []
    for _ in range(draw(st.integers(1, 16))):
        begun = draw(st.sampled_from(texts)) if texts and draw(st.booleans()) else ()
        kept = begun[: draw(st.integers(0, len(begun)))]
        texts.append((*kept, *draw(tokens)) or (0,))
    return [Job(text, draw(st.integers(0, len(text) - 1))) for text in texts]


limits = st.builds(
    Limits, batch=st.integers(8, 256), outputs=st.integers(8, 128), streams=st.integers(1, 12), cells=st.just(1024)
)


def text(*parts: tuple[int, int]) -> tuple[int, ...]:
    """Tokens: so many of each kind."""
    return tuple(kind for kind, count in parts for _ in range(count))


def test_four_endings_behind_one_beginning_by_hand() -> None:
    # 4 × (64 + 16) = 320 tokens one by one; 64 + 4 × 16 = 128 where the beginning is read once.
    jobs = [Job(text((9, 64), (kind, 16)), 63, (0,) * 17) for kind in range(4)]
    (group,) = lay_out(jobs, WIDE)
    assert group == Group(
        streams=32,
        length=256,
        jobs=(0, 2, 1, 3),  # In the order of their tokens times an odd number, by which they scatter.
        branches=(Branch((0, 1, 2, 3), 0, 64, 63), *(Branch((place,), 64, 80, 63) for place in range(4))),
        shared=True,
    )
    assert tokens_of([group]) == 128
    (call,) = calls_of(jobs, group, WIDE)
    assert call == [Stretch(0, 0, 64), *(Stretch(place, 64, 80) for place in range(1, 5))]
    assert runs_of(group, call, rerun=True) == [[call[0]], call[1:]]


def test_beginnings_of_beginnings_are_shared_level_by_level() -> None:
    # A system turn of 40, two dialogues of 30 on it, each with two replies; the longer reply begins with the shorter.
    jobs = [
        Job(text((9, 40), (dialogue, 30), *rest), 70)
        for dialogue in (1, 2)
        for rest in ([(5, 4)], [(5, 4), (6, 8)], [(7, 10)])
    ]
    (group,) = lay_out(jobs, WIDE)
    assert group.branches == (
        Branch((0, 1, 2, 3, 4, 5), 0, 40, 70),
        Branch((0, 1, 2), 40, 70, 70),
        Branch((0, 1), 70, 74, 70),
        Branch((1,), 74, 82, 70),
        Branch((2,), 70, 80, 70),
        Branch((3, 4, 5), 40, 70, 70),
        Branch((3, 4), 70, 74, 70),
        Branch((4,), 74, 82, 70),
        Branch((5,), 70, 80, 70),
    )


def test_equal_jobs_are_read_once_and_each_keeps_what_it_wants() -> None:
    same = text((9, 60))
    jobs = [Job(same, 59), Job(same, 0, same), Job(same, 30, same[30:])]
    (group,) = lay_out(jobs, WIDE)
    assert group.branches == (Branch((0, 1, 2), 0, 60, 0),)
    assert group.jobs == (1, 2, 0)


def test_filler_is_read_once_for_all_prompts_behind_it() -> None:
    filler = tuple(range(1000, 2024))
    jobs = [Job((*filler[:size], prompt, *range(20)), size + 20) for size in (256, 512, 1024) for prompt in range(8)]
    assert sum(len(job.tokens) for job in jobs) == 8 * (256 + 512 + 1024 + 3 * 21)
    assert tokens_of(lay_out(jobs, WIDE)) == 1024 + 24 * 21


def test_what_has_little_in_common_is_laid_out_as_if_nothing_were_shared() -> None:
    # A beginning of 20 in texts of 100 saves less than a fifth, however many there are.
    jobs = [Job(text((9, 20), (kind, 80)), 50) for kind in range(12)]
    assert lay_out(jobs, WIDE) == group_jobs(jobs, WIDE)


def test_what_shares_nothing_stays_apart_from_what_does() -> None:
    pair = [Job(text((9, 90), (kind, 10)), 90) for kind in (1, 2)]
    others = [Job(text((kind, 200)), 0) for kind in (3, 4)]
    shared, *apart = lay_out([others[0], *pair, others[1]], WIDE)
    assert shared.shared
    assert sorted(shared.jobs) == [1, 2]
    assert sorted(index for group in apart for index in group.jobs) == [0, 3]
    assert [group.branches for group in apart] == [group.branches for group in group_jobs(others, WIDE)]


def test_a_model_that_cannot_share_does_not() -> None:
    jobs = [Job(text((9, 64), (kind, 16)), 63) for kind in range(4)]
    alone = Limits(batch=2048, outputs=256, streams=32, cells=8192, share=False)
    assert lay_out(jobs, alone) == group_jobs(jobs, alone)


@given(forests(), limits)
def test_each_job_is_read_whole_in_order_and_within_the_limits(jobs: list[Job], limit: Limits) -> None:
    groups = lay_out(jobs, limit)
    assert sorted(index for group in groups for index in group.jobs) == list(range(len(jobs)))
    for group in groups:
        assert len(group.jobs) <= group.streams
        for rerun in (False, True):
            runs = [part for call in calls_of(jobs, group, limit) for part in runs_of(group, call, rerun)]
            _held_to(jobs, group, runs, limit)


def _held_to(jobs: Sequence[Job], group: Group, runs: Sequence[Sequence[Stretch]], limit: Limits) -> None:
    """Every sequence is fed its job's tokens from the first to the last, what it grows on before it."""
    fed: list[list[int]] = [[] for _ in group.jobs]
    for run in runs:
        outputs = 0
        for stretch in run:
            branch = group.branches[stretch.place]
            outputs += max(0, stretch.stop - max(stretch.start, branch.first_output))
            for place in branch.places:
                assert stretch.start == len(fed[place])
                fed[place] += jobs[group.jobs[place]].tokens[stretch.start : stretch.stop]
        assert 0 < sum(stretch.stop - stretch.start for stretch in run) <= limit.batch
        assert outputs <= limit.outputs
    assert [tuple(tokens) for tokens in fed] == [jobs[index].tokens for index in group.jobs]
    for branch in group.branches:
        alike = {jobs[group.jobs[place]].tokens[branch.start : branch.stop] for place in branch.places}
        assert len(alike) == 1
        assert branch.first_output == min(jobs[group.jobs[place]].first_output for place in branch.places)


@given(forests(), limits)
def test_a_unit_that_shares_saves_a_quarter_and_fits(jobs: list[Job], limit: Limits) -> None:
    for group in shared_groups(jobs, limit):
        alone = sum(len(jobs[index].tokens) for index in group.jobs)
        assert tokens_of([group]) <= (1 - LEAST_SAVED) * alone
        assert tokens_of([group]) <= group.length <= limit.cells


@given(forests(), limits)
def test_no_beginning_is_read_twice_in_a_unit(jobs: list[Job], limit: Limits) -> None:
    for group in shared_groups(jobs, limit):
        texts = {jobs[index].tokens for index in group.jobs}
        assert tokens_of([group]) == len({text[:stop] for text in texts for stop in range(1, len(text) + 1)})


@given(forests(), limits, st.data())
def test_units_do_not_depend_on_the_order_in_which_jobs_come(
    jobs: list[Job], limit: Limits, data: st.DataObject
) -> None:
    turned = data.draw(st.permutations(jobs))
    units = [[jobs[index] for index in group.jobs] for group in shared_groups(jobs, limit)]
    assert units == [[turned[index] for index in group.jobs] for group in shared_groups(turned, limit)]


@given(forests(), limits)
def test_a_rerun_has_other_batches_wherever_there_is_more_than_a_lone_token(jobs: list[Job], limit: Limits) -> None:
    once, again = batches_of(jobs, limit), batches_of(jobs, limit, rerun=True)
    for group in shared_groups(jobs, limit):
        cut: set[int] = set()
        for call in filled_calls(group.branches, limit):
            tokens = sum(stretch.stop - stretch.start for stretch in call)
            assert len(halves(call)) == min(2, tokens)
            if tokens > 1:
                cut |= {group.jobs[place] for stretch in call for place in group.branches[stretch.place].places}
        assert cut == {index for index in group.jobs if once[index] != again[index]}


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_no_unit_has_more_sequences_than_a_context(streams: int) -> None:
    jobs = [Job(text((9, 64), (kind, 4)), 63) for kind in range(7)]
    few = Limits(batch=2048, outputs=256, streams=streams, cells=8192)
    groups = lay_out(jobs, few)
    assert max(len(group.jobs) for group in groups) == streams
    assert any(group.shared for group in groups) == (streams > 1)
