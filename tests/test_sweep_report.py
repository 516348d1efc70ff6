"""A sweep drawn: grids by suite, seeds in one box, sums, errors by kind, the plan and its minutes."""

from __future__ import annotations

import io

from sway_gguf.core.plan import Speed
from sway_gguf.core.result import Verdict
from sway_gguf.core.sweep import CellRow, PlannedPart
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.grid import grids, sums, verdict_of
from sway_gguf.report.sweep import print_sweep, print_sweep_plan, row_line


def row(
    number: int, *, base: str = "b", adapter: str = "a", scale: float = 1.0, seed: int = 0, suite: str = "check",
    diagnosis: str = "healthy", headline: str = "", lift: float | None = None, seconds: float = 2.0,
) -> CellRow:  # fmt: skip
    return CellRow(f"{number:024x}", base, adapter, scale, seed, suite, diagnosis, headline, lift=lift, seconds=seconds)


def drawn(rows: list[CellRow], width: int = 120) -> str:
    console = PlainConsole(io.StringIO(), width=width)
    print_sweep(rows, {"table": "out/table.jsonl"}, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_adapters_and_scales_stand_down_and_bases_across_in_the_order_of_the_sweep() -> None:
    rows = [
        row(1, base="z", adapter="late"), row(2, base="a", adapter="late"),
        row(3, base="z", adapter="early", scale=0.5), row(4, base="a", suite="own.yaml"),
    ]  # fmt: skip
    first, second = grids(rows)
    assert (first.suite, first.bases) == ("check", ("z", "a"))
    assert [line.name for line in first.lines] == ["late", "early × 0.5"]
    assert [len(box.rows) for box in first.lines[1].boxes] == [1, 0]
    assert (second.suite, second.bases) == ("own.yaml", ("a",))


def test_seeds_of_a_place_share_a_box_with_mean_and_worst() -> None:
    rows = [
        row(1, seed=0, lift=1.0), row(2, seed=1, lift=2.0), row(3, seed=2, diagnosis="noise"),
    ]  # fmt: skip
    (box,) = grids(rows)[0].lines[0].boxes
    assert box.words == "healthy 2, noise 1"
    assert box.lift == 1.5
    assert box.verdict == Verdict.FAIL
    assert box.figures == "lift +1.5"


def test_of_two_rows_in_one_place_the_later_one_stands() -> None:
    old, new = row(1, diagnosis="noise"), row(2)
    assert grids([old, new])[0].lines[0].boxes[0].rows == (new,)


def test_a_diagnosis_has_the_colour_of_a_verdict() -> None:
    found = [
        verdict_of(row(1, diagnosis=name)) for name in ("healthy", "inconclusive", "noise", "broken", "ERROR", "?")
    ]
    assert found == ["PASS", "INCONCLUSIVE", "FAIL", "FAIL", "ERROR", "FAIL"]


def test_sums_name_what_came_out_and_errors_last() -> None:
    assert sums([row(1)]) == "1 cell: 1 healthy"
    rows = [row(1, diagnosis="ERROR"), row(2, diagnosis="ERROR"), row(3), row(4, diagnosis="noise"), row(5)]
    assert sums(rows) == "5 cells: 2 healthy, 1 noise, 2 ERROR"


def test_errors_of_one_kind_are_told_once() -> None:
    rows = [row(n, base=f"b{n}", diagnosis="ERROR", headline="a.gguf: damaged") for n in range(3)]
    text = drawn([*rows, row(9, base="b9", diagnosis="ERROR", headline="gone")])
    assert text.count("damaged") == 1
    assert "ERROR a on b0, check, seed 0 and 2 more: a.gguf: damaged" in text
    assert "ERROR a on b9, check, seed 0: gone" in text
    assert "out/table.jsonl" in text


def test_a_finished_cell_is_one_line() -> None:
    assert row_line(row(1, lift=2.5)).plain == "a on b, check, seed 0  healthy, lift +2.5 (2.0 s)"
    failed = row(1, scale=0.5, diagnosis="ERROR", headline="why")
    assert row_line(failed).plain == "a × 0.5 on b, check, seed 0  ERROR: why"


def plan_text(*parts: PlannedPart, workers: int = 1) -> str:
    console = PlainConsole(io.StringIO(), width=120)
    print_sweep_plan(parts, workers, console)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_the_plan_multiplies_cells_tokens_and_speed() -> None:
    part = PlannedPart("b", "check", cells=13, done=1, tokens=30_000, speed=Speed(1000.0))
    assert part.seconds == 360.0
    assert "13 cells, 12 to measure. About 6 min; less" in plan_text(part)
    assert "About 3 min for each of 2 workers" in plan_text(part, workers=2)


def test_the_plan_says_what_it_does_not_know() -> None:
    unknown, broken = PlannedPart("b", "check", 2, 0, 100), PlannedPart("c", "check", 2, 0, trouble="c: no file")
    assert "not known yet" in plan_text(unknown, broken)
    assert "ERROR: c: no file" in plan_text(unknown, broken)
    assert "Nothing takes time." in plan_text(PlannedPart("b", "check", 2, 2, 100, Speed(1.0)))
    known = PlannedPart("d", "check", 2, 0, 100, Speed(10.0))
    assert "About 20 s, and bases without a known speed beside" in plan_text(unknown, known)
