"""The panel: drawn by seed and content alone, so that it stands whatever stands beside it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as s

from sway_gguf.core.dialogue import exchange
from sway_gguf.core.panel import panel_of, sample_of
from sway_gguf.core.sections import Section

ITEMS = s.lists(s.text(max_size=5), unique=True, max_size=40)


@given(ITEMS, s.integers(0, 40), s.integers(0, 40), s.integers(0, 5))
def test_a_larger_panel_holds_the_smaller_in_the_order_of_the_items(
    items: list[str], one: int, other: int, seed: int
) -> None:
    small, large = (panel_of(items, most, seed) for most in sorted((one, other)))
    assert set(small) <= set(large)
    assert len(large) == min(max(one, other), len(items))
    assert large == [item for item in items if item in large]


@given(ITEMS, s.text(max_size=5), s.integers(1, 40), s.integers(0, 5))
def test_one_more_item_changes_a_panel_by_one_at_most(items: list[str], more: str, most: int, seed: int) -> None:
    before, after = set(panel_of(items, most, seed)), set(panel_of([*items, more], most, seed))
    assert len(after - before) <= 1


def test_another_seed_draws_another_panel() -> None:
    items = [f"item {number}" for number in range(40)]
    panels = {tuple(panel_of(items, 8, seed)) for seed in range(20)}
    assert len(panels) == 20
    drawn = [sum(item in panel for panel in panels) for item in items]
    assert max(drawn) < 20


def test_a_dialogue_is_drawn_by_its_turns_whatever_a_template_writes_around_them() -> None:
    """Some templates write the date."""
    units = [Section(f"{n}", f"reply {n}", f"ask {n}", dialogue=exchange(f"ask {n}")) for n in range(40)]
    tomorrow = [replace(unit, prompt=f"Today is Friday. {unit.prompt}") for unit in units]
    assert [unit.id for unit in sample_of(units, 8)] == [unit.id for unit in sample_of(tomorrow, 8)]


def test_a_unit_is_drawn_by_what_it_says_whatever_its_line() -> None:
    units = [Section(id=f"line {number}", text=f"text {number}") for number in range(40)]
    later = [Section(id=f"line {number + 1}", text=unit.text) for number, unit in enumerate(units)]
    assert [unit.text for unit in sample_of(units, 8)] == [unit.text for unit in sample_of(later, 8)]
    assert {unit.text for unit in sample_of(units, 8)} <= {unit.text for unit in sample_of(later, 20)}
