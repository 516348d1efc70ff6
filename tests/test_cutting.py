"""Units that hang on what is in them: one member more changes the unit it falls into; all others stay as they were."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.engine.cutting import cut
from sway_gguf.engine.layout import lay_out
from sway_gguf.engine.packing import Group, Job, Limits, group_jobs
from sway_gguf.engine.sharing import shared_groups
from tests.test_sharing import forests

SMALL = Limits(batch=64, outputs=32, streams=6, cells=1024)
jobs_of_texts = st.lists(
    st.lists(st.integers(0, 9), min_size=1, max_size=30).flatmap(
        lambda text: st.integers(0, len(text) - 1).map(lambda first: Job(tuple(text), first))
    ),
    max_size=40,
    unique=True,
)


def test_a_row_is_parted_where_neighbours_are_furthest_apart() -> None:
    # 0 and 1 are close, 2 is far from them, 3 to 5 are close again; three may stand together.
    def at_most_three(first: int, stop: int) -> float:
        return 1 if stop - first <= 3 else math.inf

    assert cut([5, 1, 3, 4, 4], at_most_three) == [(0, 2), (2, 3), (3, 6)]
    assert cut([5, 1, 3, 4], at_most_three) == [(0, 2), (2, 5)]
    assert cut([], at_most_three) == [(0, 1)]


def test_a_branch_is_a_unit_where_that_is_cheaper_than_its_parts() -> None:
    def cost(first: int, stop: int) -> float:
        return {1: 10, 2: 15, 3: 50, 4: 29}[stop - first]

    assert cut([3, 1, 2], cost) == [(0, 4)]  # 29 for all, against twice 15
    assert cut([3, 1], cost) == [(0, 2), (2, 3)]


@given(st.lists(st.integers(0, 200), unique=True, max_size=60), st.integers(1, 8))
def test_units_are_the_largest_branches_that_may_be_one(keys: list[int], most: int) -> None:
    """Held against the tree built from above: numbers by their bits, from the highest."""

    def halves(row: list[int], bit: int) -> list[list[int]]:
        if len(row) <= most or bit < 0:
            return [row] if row else []
        low, high = ([key for key in row if key >> bit & 1 == side] for side in (0, 1))
        return [*halves(low, bit - 1), *halves(high, bit - 1)]

    row = sorted(keys)
    if not row:
        return
    closeness = [-(one ^ other).bit_length() for one, other in pairwise(row)]
    found = cut(closeness, lambda first, stop: 1 if stop - first <= most else math.inf)
    assert [row[first:stop] for first, stop in found] == halves(row, 8)


def _units(jobs: list[Job], groups: list[Group]) -> set[tuple[Job, ...]]:
    return {tuple(jobs[index] for index in group.jobs) for group in groups}


@given(jobs_of_texts, st.booleans(), st.data())
def test_one_job_more_changes_one_group_of_those_that_share_nothing(
    jobs: list[Job], whole: bool, data: st.DataObject
) -> None:
    if not jobs:
        return
    one, rest = jobs[0], jobs[1:]
    turned = data.draw(st.permutations(jobs))
    before, after = (_units(each, group_jobs(each, SMALL, whole=whole)) for each in (rest, turned))
    assert len(before - after) <= 1
    moved = {job for unit in before - after for job in unit} | {one}
    assert {job for unit in after - before for job in unit} == moved


@given(forests(), st.data())
def test_one_job_more_changes_what_may_be_one_unit_of_those_that_share(jobs: list[Job], data: st.DataObject) -> None:
    jobs = list(dict.fromkeys(jobs))
    one = data.draw(st.sampled_from(jobs))
    rest = [job for job in jobs if job != one]
    before, after = (_units(each, shared_groups(each, SMALL)) for each in (rest, jobs))
    changed = [job for unit in before - after for job in unit]
    assert len(changed) <= SMALL.streams


def test_a_long_row_of_one_tree_is_cut_without_recursion() -> None:
    jobs = [Job(tuple(range(length)), 0) for length in range(1, 3000, 2)]
    limit = Limits(batch=2048, outputs=256, streams=32, cells=8192)
    groups = lay_out(jobs, limit)
    assert sorted(index for group in groups for index in group.jobs) == list(range(len(jobs)))


def test_many_texts_behind_one_beginning_keep_their_units_when_one_more_comes() -> None:
    """96 dialogues under one system turn: counted off, one more at the front would shift every unit."""
    limit = Limits(batch=2048, outputs=256, streams=32, cells=8192)
    system = tuple(range(5000, 5060))
    jobs = [Job((*system, *range(100 * kind, 100 * kind + 40)), 80) for kind in range(1, 98)]
    before, after = (_units(each, lay_out(each, limit)) for each in (jobs[1:], jobs))
    assert len(before) > 6
    assert sum(map(len, before - after)) <= limit.streams
    assert sum(map(len, before & after)) > 64
