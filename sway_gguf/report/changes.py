"""Draws what changed between runs, in the terminal and as Markdown. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.comparison import Comparison, Movement, ProbeChange
from sway_gguf.core.result import Verdict
from sway_gguf.report import numbers
from sway_gguf.report.markdown_text import END, row, table_head, words
from sway_gguf.report.terminal import folded

_STYLES = {
    Movement.BETTER: "bold green",
    Movement.WORSE: "bold red",
    Movement.DIFFERENT: "bold yellow",
}
_ITEMS = 5
_NAME_WIDTH = 15
_LINE = 4000
"""Most characters of a line of Markdown."""


def print_changes(comparisons: Sequence[Comparison], console: Console) -> None:
    """What differs, a table with columns for each newer result, and what got worse."""
    for comparison in comparisons:
        for line in lines_above(comparison):
            console.print(Text(line))
    for drawn in _tables(comparisons, console.width):
        console.print(Padding(drawn, (1, 0, 0, 0)))
    for comparison in comparisons:
        for line in lines_below(comparison):
            console.print(Padding(Text(line), (1, 0, 0, 0)))
    console.print(Padding(Text(legend(comparisons), style="dim"), (1, 0, 0, 0)))


def _tables(comparisons: Sequence[Comparison], width: int) -> Iterator[Table]:
    """One table of all, as roomy as the width allows; one of each comparison where no word of all would stay whole."""
    headings = column_headings(comparisons)
    for intervals, most in ((True, width), (True, _NAME_WIDTH), (False, width), (False, _NAME_WIDTH)):
        rows = [[folded(name, most), *cells] for name, *cells in table_rows(comparisons, intervals=intervals)]
        rows = [[cell.replace(Verdict.INCONCLUSIVE, "INCONCL.") for cell in cells] for cells in rows]
        columns = [*zip(headings, *rows, strict=True)]
        lines = [_widest(column, "\n") for column in columns]
        if sum(lines) + 2 * (len(columns) - 1) <= width:
            yield _table(columns, lines, 2)
            return
    # Words stay whole, so that no number is cut in two; what room is left goes to columns from the first on.
    found = [_widest(column, None) for column in columns]
    for gap in (2, 1):
        left = width - sum(found) - gap * (len(columns) - 1)
        if left < 0 and (gap == 2 or len(comparisons) > 1):
            continue
        for place, line in enumerate(lines):
            more = min(max(0, left), line - found[place])
            found[place], left = found[place] + more, left - more
        yield _table(columns, found, gap)
        return
    for comparison in comparisons:
        yield from _tables([comparison], width)


def _widest(column: Sequence[str], break_at: str | None) -> int:
    return max(len(part) for cell in column for part in cell.split(break_at) or [""])


def _table(columns: Sequence[Sequence[str]], widths: Sequence[int], gap: int) -> Table:
    table = Table(box=None, padding=(0, gap, 0, 0), show_header=True, header_style="dim", pad_edge=False)
    for place, (heading, *_) in enumerate(columns):
        table.add_column(heading, justify="right" if place else "left", overflow="fold", width=widths[place])
    for name, *cells in [*zip(*columns, strict=True)][1:]:
        table.add_row(name, *map(_cell, cells))
    return table


def markdown_changes(comparisons: Sequence[Comparison]) -> str:
    """The same as Markdown, between marks by which a comment and a file are known as ours."""
    headings, rows = column_headings(comparisons), table_rows(comparisons, intervals=True)
    lines = [f"- {words(line, _LINE)}" for comparison in comparisons for line in lines_above(comparison)]
    lines += ["", table_head(*map(words, headings), right=True), *(row(*map(words, cells)) for cells in rows), ""]
    lines += [f"- {words(line, _LINE)}" for comparison in comparisons for line in lines_below(comparison)]
    return "\n".join(["<!-- sway-gguf:compare -->", "", *lines, "", words(legend(comparisons)), "", END]) + "\n"


def _cell(shown: str) -> Text:
    style = next((style for movement, style in _STYLES.items() if shown.split(" ")[0] == movement), "")
    return Text(shown, style=style)


def lines_above(comparison: Comparison) -> list[str]:
    """Diagnoses, what differs, axes that changed, and probes that one result alone has."""
    old, new = comparison.old_name, comparison.new_name
    lines = [f"{old} ({comparison.old_diagnosis}) → {new} ({comparison.new_diagnosis})"]
    lines += [f"differs in {each.name}: {each.old} → {each.new}" for each in comparison.conditions]
    lines += [f"axis {axis.axis}: {axis.old} → {axis.new}" for axis in comparison.axes if axis.old != axis.new]
    for name, probes in ((old, comparison.only_old), (new, comparison.only_new)):
        if probes:
            lines.append(f"in {name} alone: {', '.join(probes)}")
    for probe in comparison.probes:
        left_out = len(probe.only_old) + len(probe.only_new)
        if left_out:
            lines.append(f"{probe.name}: {left_out} items in one result alone were left out")
    return lines


def column_headings(comparisons: Sequence[Comparison]) -> list[str]:
    """Of the table; the last is of what became of a probe."""
    one = len(comparisons) == 1
    found = ["probe", "old"]
    for comparison in comparisons:
        found += ["new" if one else comparison.new_name, "Δ", "p, n", ""]
    return found


def table_rows(comparisons: Sequence[Comparison], *, intervals: bool) -> list[list[str]]:
    """One per probe that was measured on both sides of some comparison."""
    names = dict.fromkeys(probe.name for each in comparisons for probe in each.probes if probe.delta is not None)
    return [_row(name, comparisons, intervals) for name in names]


def _row(name: str, comparisons: Sequence[Comparison], intervals: bool) -> list[str]:
    found = [next((p for p in each.probes if p.name == name), None) for each in comparisons]
    first = next(probe for probe in found if probe is not None)
    cells = [name, numbers.plus_minus(first.old, first.old_interval)]
    for probe in found:
        cells += _change(probe, intervals) if probe else [numbers.MISSING] * 4
    return cells


def _change(probe: ProbeChange, intervals: bool) -> list[str]:
    tested = probe.p is not None
    verdict = f" {probe.old_verdict} → {probe.new_verdict}" if probe.old_verdict != probe.new_verdict else ""
    delta = numbers.number(probe.delta, signed=True)
    if intervals and probe.interval and probe.delta:
        delta += f" ({numbers.span(probe.interval)})"
    return [
        numbers.plus_minus(probe.new, probe.new_interval),
        delta,
        f"p={numbers.p_value(probe.holm_p)}, n={len(probe.items)}" if tested else "no test",
        f"{probe.movement}{verdict}",
    ]


def lines_below(comparison: Comparison) -> list[str]:
    """For each probe that got worse, its items, the worst first, and what they share."""
    lines = []
    for probe in comparison.probes:
        if probe.movement != Movement.WORSE:
            continue
        worst = ", ".join(f"{i.label} {numbers.number(i.delta, signed=True)}" for i in probe.items[:_ITEMS])
        shared = f"; what they share: {', '.join(probe.shared)}" if probe.shared else ""
        lines.append(
            f"{comparison.new_name}, {probe.name}: {probe.regressed} of {len(probe.items)} items got worse beyond "
            f"rounding, most of all {worst}{shared}"
        )
    return lines


def legend(comparisons: Sequence[Comparison]) -> str:
    """What the table's marks mean."""
    return (
        "Values ± the farther end of their 95% interval; Δ over the same items, with its 95% interval where there "
        "is room; p two-sided by "
        "swapping old and new within pairs, after Holm's correction over the probes. ~ nothing detected at "
        f"{comparisons[0].alpha:g}; within noise: no more than rounding makes; no test: values only."
    )
