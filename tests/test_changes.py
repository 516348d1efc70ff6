"""What changed between runs: hand-derived values, antisymmetry, and how often chance is called a change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sway_gguf.core.comparison import Movement
from sway_gguf.core.gate import Outcome
from sway_gguf.core.measurement import Item
from sway_gguf.core.result import ProbeResult, SuiteResult, Verdict
from sway_gguf.core.result_json import from_json
from sway_gguf.stats import paired
from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.paired import paired_change, swap_p
from sway_gguf.verdict.changes import changes
from sway_gguf.verdict.regression import regressions

RESULTS = Path(__file__).parent / "results"


def stored(name: str) -> SuiteResult:
    path = RESULTS / f"v1-{name}.json"
    return from_json(path.read_text(encoding="utf-8"), path.name)


def run_with(values: dict[str, list[float]], floor: float = 0.0, better: str = "higher") -> SuiteResult:
    """A result whose probes have these items."""
    probes = tuple(
        ProbeResult(
            name,
            "delta_kl",
            "signal",
            Verdict.PASS,
            "",
            value=sum(found) / len(found),
            items=tuple(Item(f"chapter{place % 2}:item {place}", value) for place, value in enumerate(found)),
            noise_floor=floor,
            better=better,
        )
        for name, found in values.items()
    )
    return replace(stored("healthy"), probes=probes)


def test_six_pairs_that_all_moved_up_by_one_have_p_one_in_thirty_two() -> None:
    # Of the 64 ways to swap six pairs, two (none, all) give a difference as large as 1 in size.
    found = paired_change([[0.0] * 6], [[1.0] * 6], seed=0)
    assert (found.delta, found.p, found.interval) == (1.0, 2 / 64, (1.0, 1.0))


def test_ties_count_as_large_and_equal_lists_have_p_one() -> None:
    assert paired_change([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], seed=0).p == 1.0
    # Differences 1, 1, 0: the sum is 2 in size for 2 of 4 signs of the first two, whatever the third's.
    assert paired_change([[0.0, 0.0, 5.0]], [[1.0, 1.0, 5.0]], seed=0).p == 0.5


def test_what_controls_gained_is_taken_off_on_either_side() -> None:
    found = paired_change([[2.0] * 6, [1.0] * 5], [[5.0] * 6, [3.0] * 5], seed=0)
    assert found.delta == (5 - 3) - (2 - 1)
    assert found.interval == (1.0, 1.0)


@pytest.mark.parametrize(("old", "new"), [("healthy", "damaging"), ("healthy", "noise"), ("noise", "no-op")])
def test_comparing_the_other_way_round_turns_every_sign(old: str, new: str) -> None:
    there, back = changes(stored(old), stored(new)), changes(stored(new), stored(old))
    turned = {Movement.BETTER: Movement.WORSE, Movement.WORSE: Movement.BETTER}
    for one, other in zip(there, back, strict=True):
        assert other.movement == turned.get(one.movement, one.movement)
        assert (one.delta is None) == (other.delta is None)
        if one.delta is not None and other.delta is not None:
            assert other.delta == pytest.approx(-one.delta)
            assert other.p == one.p


@pytest.mark.parametrize("name", ["healthy", "damaging", "no-op", "noise", "init"])
def test_a_result_against_itself_shows_no_change(name: str) -> None:
    found = changes(stored(name), stored(name))
    assert {change.movement for change in found} <= {Movement.UNDETECTED, Movement.UNTESTED}
    assert all(change.delta in (None, 0.0) and not change.regressed for change in found)


def test_values_are_those_of_the_results() -> None:
    old, new = stored("healthy"), stored("damaging")
    for change in changes(old, new):
        before = next(probe for probe in old.probes if probe.name == change.name)
        assert change.old == (None if before.value is None else pytest.approx(before.value))


def test_damage_is_found_and_called_worse_and_its_items_named_worst_first() -> None:
    found = {change.name: change for change in changes(stored("healthy"), stored("damaging"))}
    prose = found["external_perplexity"]
    assert prose.movement == Movement.WORSE
    assert prose.regressed == len(prose.items) == 21
    assert [item.delta for item in prose.items] == sorted(item.delta for item in prose.items)


def test_less_is_better_where_the_rule_says_so_and_no_way_is_where_it_says_nothing() -> None:
    low, high = [0.0, 0.1, 0.2, 0.3, 0.2, 0.1, 0.0, 0.1], [1.0, 1.1, 1.3, 1.2, 1.3, 1.1, 1.1, 1.0]
    for better, outcome in (("higher", Movement.BETTER), ("lower", Movement.WORSE), ("", Movement.DIFFERENT)):
        (change,) = changes(run_with({"a": low}, better=better), run_with({"a": high}, better=better))
        assert change.movement == outcome


def test_a_change_under_the_numerical_floor_is_within_noise_however_sure() -> None:
    old, new = run_with({"a": [1.0] * 10}, floor=0.2), run_with({"a": [1.1] * 10}, floor=0.1)
    (change,) = changes(old, new)
    assert change.movement == Movement.WITHIN_NOISE
    assert change.p is not None
    assert change.p < 0.05


def test_few_items_say_so_and_holm_takes_all_probes_together() -> None:
    (few,) = changes(run_with({"a": [0.0] * 5}), run_with({"a": [1.0] * 5}))
    assert (few.movement, few.p) == (Movement.UNDETECTED, 2 / 32)
    assert few.reason.startswith("5 items are too few")
    six, flat = [0.0] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    old, new = run_with({"a": six, "b": flat}), run_with({"a": [1.0] * 6, "b": flat})
    first, second = changes(old, new)
    assert (first.p, first.holm_p, first.movement) == (2 / 64, 4 / 64, Movement.UNDETECTED)
    assert second.holm_p == 1.0


def test_of_more_items_than_a_power_of_two_can_count_no_change_is_told_too() -> None:
    rng = np.random.default_rng(0)
    old, new = (rng.normal(size=1100).tolist() for _ in range(2))
    one, other = run_with({"a": old}), run_with({"a": new})
    (change,) = changes(one, other)
    assert (change.movement, change.reason) == (Movement.UNDETECTED, "no change was detected")
    assert {line.outcome for pair in ((one, other), (other, one)) for line in regressions(*pair)} == {Outcome.PASS}


def test_what_regressed_items_share_is_said_only_where_others_lack_it() -> None:
    old = run_with({"a": [1.0] * 12})
    new = run_with({"a": [0.0, 1.2] * 6})
    (change,) = changes(old, new)
    assert change.regressed == 6
    assert change.shared == ("section chapter0",)


@pytest.mark.parametrize("noise", ["normal", "cauchy", "mostly ties"])
@pytest.mark.parametrize("count", [6, 8, 16])
def test_noise_of_any_shape_is_called_a_change_in_no_more_than_one_run_of_twenty(noise: str, count: int) -> None:
    rng, runs, wrong = np.random.default_rng(count), 300, 0
    draw = {
        "normal": lambda: rng.normal(size=count),
        "cauchy": lambda: rng.standard_cauchy(count),
        "mostly ties": lambda: rng.integers(0, 2, count).astype(float),
    }[noise]
    for run in range(runs):
        shared = rng.normal(size=count) * 3
        old, new = shared + draw(), shared + draw()
        wrong += _p_alone(old, new, run) < 0.05
    assert wrong <= 0.05 * runs + 2.6 * (0.05 * 0.95 * runs) ** 0.5


def _p_alone(old: np.ndarray, new: np.ndarray, seed: int) -> float:
    return swap_p([old], [new], float(contrast(new)) - float(contrast(old)), seed)


def test_ways_drawn_in_blocks_are_the_ways_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(2, 40))
    at_once = _p_alone(old, new, 3)
    monkeypatch.setattr(paired, "_BLOCK", 999)
    assert _p_alone(old, new, 3) == at_once


@pytest.mark.parametrize(("better", "outcome"), [("higher", Outcome.PASS), ("lower", Outcome.INCONCLUSIVE)])
def test_too_few_items_that_all_rose_are_open_only_where_lower_is_better(better: str, outcome: Outcome) -> None:
    (line,) = regressions(*(run_with({"a": [value] * 5}, better=better) for value in (0.0, 1.0)))
    assert line.outcome == outcome
