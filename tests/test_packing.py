"""Batches: every token fed once, every limit kept, every target scored once with enough before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.engine.layout import batches_of
from sway_gguf.engine.packing import (
    CELL,
    Job,
    Limits,
    group_jobs,
    parts_of,
    steps,
    stream_length,
    windows,
)

jobs_lists = st.lists(
    st.integers(1, 700).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))), min_size=1, max_size=20
).map(lambda pairs: [Job((place, *range(n - 1)), first) for place, (n, first) in enumerate(pairs)])
limits = st.builds(
    Limits, batch=st.integers(32, 512), outputs=st.integers(32, 256), streams=st.integers(1, 32), cells=st.just(4096)
)


@given(jobs_lists, limits)
def test_every_job_is_in_one_group_that_has_room_for_it(jobs: list[Job], limit: Limits) -> None:
    groups = group_jobs(jobs, limit)
    assert sorted(index for group in groups for index in group.jobs) == list(range(len(jobs)))
    for group in groups:
        assert len(group.jobs) <= group.streams <= limit.streams
        assert all(len(jobs[index].tokens) <= group.length for index in group.jobs)


@given(jobs_lists, limits)
def test_steps_feed_every_token_once_in_order_and_within_the_limits(jobs: list[Job], limit: Limits) -> None:
    for group in group_jobs(jobs, limit):
        mates = [jobs[index] for index in group.jobs]
        fed = [0] * len(mates)
        for stretches in steps(mates, limit):
            tokens = sum(stretch.stop - stretch.start for stretch in stretches)
            outputs = sum(
                max(0, stretch.stop - max(stretch.start, mates[stretch.place].first_output)) for stretch in stretches
            )
            assert tokens <= limit.batch
            assert outputs <= limit.outputs
            assert [stretch.place for stretch in stretches] == list(range(len(stretches)))
            for stretch in stretches:
                assert stretch.start == fed[stretch.place]
                fed[stretch.place] = stretch.stop
        assert fed == [len(job.tokens) for job in mates]


@given(jobs_lists, limits)
def test_a_rerun_feeds_the_same_tokens_in_order_within_what_a_call_holds(jobs: list[Job], limit: Limits) -> None:
    for group in group_jobs(jobs, limit):
        mates = [jobs[index] for index in group.jobs]
        for call in steps(mates, limit):
            fed = {stretch.place: stretch.start for stretch in call}
            for part in parts_of(call, rerun=True):
                assert part
                for stretch in part:
                    assert stretch.start == fed[stretch.place] < stretch.stop
                    fed[stretch.place] = stretch.stop
            assert fed == {stretch.place: stretch.stop for stretch in call}


@given(jobs_lists, limits)
def test_a_rerun_has_other_batches_for_every_job_that_can_have_them(jobs: list[Job], limit: Limits) -> None:
    once, again = batches_of(jobs, limit), batches_of(jobs, limit, rerun=True)
    for job, mine, other in zip(jobs, once, again, strict=True):
        alone = all(not mates for _, _, mates in mine)
        could_differ = len(job.tokens) > 1 or not alone
        assert (mine != other) == could_differ


def test_texts_of_a_real_vocabulary_run_in_other_batches() -> None:
    # 48 MB of logits are 256 rows of 49,152: a text of more than 128 tokens runs alone, in one call.
    jobs = [Job((length, *range(length - 1)), 0) for length in (230, 180, 121)]
    limit = Limits(batch=2048, outputs=256, streams=32, cells=8192)
    once, again = batches_of(jobs, limit), batches_of(jobs, limit, rerun=True)
    assert [sorted((start, stop) for start, stop, _ in mine) for mine in once] == [[(0, 230)], [(0, 180)], [(0, 121)]]
    assert [sorted((start, stop) for start, stop, _ in mine) for mine in again] == [
        [(0, 115), (115, 230)],
        [(0, 90), (90, 180)],
        [(0, 61), (61, 121)],
    ]


def test_streams_are_powers_of_two_cells() -> None:
    assert [stream_length(n) for n in (1, CELL, CELL + 1, 5 * CELL)] == [CELL, CELL, 2 * CELL, 8 * CELL]


def test_a_text_that_fits_is_one_job_without_its_last_token() -> None:
    assert windows([7, 8, 9], 1, 8, bos=None) == [Job((7, 8), 0, (8, 9))]


def test_windows_of_a_long_text_by_hand() -> None:
    # Width 4 on nine tokens with BOS 1: the first window feeds four, each later one BOS and three.
    found = windows([1, 11, 12, 13, 14, 15, 16, 17, 18], 1, 4, bos=1)
    assert found == [
        Job((1, 11, 12, 13), 0, (11, 12, 13, 14)),
        Job((1, 13, 14, 15), 2, (15, 16)),
        Job((1, 15, 16, 17), 2, (17, 18)),
    ]


@given(st.integers(2, 400), st.integers(8, 64), st.booleans(), st.data())
def test_every_target_is_scored_once_with_half_a_window_before_it(
    length: int, width: int, with_bos: bool, data: st.DataObject
) -> None:
    bos = 0 if with_bos else None
    tokens = [0, *range(1, length)]
    first = data.draw(st.integers(1, length - 1))
    found = windows(tokens, first, width, bos)
    assert [target for job in found for target in job.targets] == tokens[first:]
    for job in found:
        assert 0 < len(job.tokens) <= width
        assert len(job.targets) == len(job.tokens) - job.first_output
        assert job.first_output >= min(job.targets[0] - 1, width // 2 - 1)


@pytest.mark.parametrize(("first", "width"), [(0, 16), (1, 3)])
def test_windows_refuse_what_cannot_be_scored(first: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"first token|no context"):
        windows(list(range(40)), first, width, None)
