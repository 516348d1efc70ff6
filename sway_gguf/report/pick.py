"""Draws a pick, in the terminal and as Markdown, and what it will cost. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.pick import Estimate, Pick, PickPlan, PickRow, Standing
from sway_gguf.core.result import Verdict
from sway_gguf.report import numbers
from sway_gguf.report.markdown_text import END, code, row, table_head, words
from sway_gguf.report.plan import time_line
from sway_gguf.report.terminal import folded, pace, verdict_text

_WIDE, _NAME_WIDTH = 120, 16
How = Literal["values", "narrow", "wide", "intervals"]
"""Numbers alone; lifts with the farther end of their interval; all with it; all with both ends."""
_LIFTS = ("data", "held_out")
_STYLES = {
    Standing.WITHIN: "green",
    Standing.OPEN: "yellow",
    Standing.BEYOND: "red",
    Standing.ENDLESS: "red",
    Standing.BROKEN: "red",
}
_PASSED = {Verdict.INCONCLUSIVE: "best, but unproven"}
"""A favourite that is no winner, in words."""
_LINE = 4000


def print_pick(pick: Pick, console: Console) -> None:
    """What ships and how to run it, then a row per candidate."""
    console.print(Text.assemble(verdict_text(pick.verdict), "  ", Text(pick.summary[0], style="bold")))
    for sentence in pick.summary[1:]:
        console.print(Padding(Text(sentence), (1, 0, 0, 0)))
    if pick.command:
        # To be pasted: the terminal folds a long line, and a line break of ours would end the command.
        console.print(Text("".join(f"\n  {line}" for line in pick.command)), soft_wrap=True)
    table = _table(pick, console.width >= _WIDE)
    if Measurement.get(console, console.options.update(width=_WIDE), table).minimum <= console.width:
        console.print(Padding(table, (1, 0, 0, 0)))
    else:  # A column of single letters tells nothing.
        for each in shown_rows(pick):
            console.print(Padding(Text(", ".join([line_of(each), *marks(pick, each)])), (1, 0, 0, 0)))
    for remark in pick.remarks:
        console.print(Padding(Text(remark), (1, 0, 0, 0)))
    console.print(Padding(Text(legend(pick), style="dim"), (1, 0, 0, 0)))
    console.print(Text(f"{pace(pick.timings)}.", style="dim"))


def _table(pick: Pick, wide: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("candidate", no_wrap=True)
    for heading in headings(pick):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("collateral", no_wrap=wide, overflow="fold")
    if wide:
        table.add_column("")
    for each in shown_rows(pick):
        standing, said = Text(each.standing, style=_STYLES[each.standing]), marks(pick, each)
        last = [standing, ", ".join(said)] if wide else [Text(", ").join([standing, *map(Text, said[:1])])]
        table.add_row(
            each.name if wide else folded(each.name, _NAME_WIDTH),
            *cells(pick, each, "wide" if wide else "narrow"),
            *last,
            style="bold" if each.name == pick.winner else "",
        )
    return table


def shown_rows(pick: Pick) -> tuple[PickRow, ...]:
    """What is loaded beside every candidate alone, where something is, and every candidate."""
    return pick.rows if pick.alone is None else (pick.alone, *pick.rows)


def headings(pick: Pick) -> list[str]:
    """Of the numbers that any candidate has."""
    return [name for name, _ in _columns(pick)]


def _columns(pick: Pick) -> list[tuple[str, str]]:
    """Heading and field of each column."""
    every = (
        ("on data", "data"),
        ("held-out", "held_out"),
        ("prose", "prose"),
        ("everyday", "everyday"),
        ("leakage", "leakage"),
        ("ending", "ending"),
    )
    return [(name, field) for name, field in every if any(getattr(each, field) is not None for each in pick.rows)]


def cells(pick: Pick, each: PickRow, how: How = "intervals") -> list[str]:
    """A candidate's numbers in the order of the headings."""
    found = []
    for _, field in _columns(pick):
        told = "values" if field == "leakage" or (how == "narrow" and field not in _LIFTS) else how
        found.append(_cell(getattr(each, field), told, share=field == "leakage"))
    return found


def _cell(estimate: Estimate | None, how: How, *, share: bool = False) -> str:
    if estimate is None:
        return numbers.MISSING
    if share:
        return f"{_rounded(estimate.value):+.0%}"
    value, span = f"{_rounded(estimate.value):+.2f}", estimate.interval
    if span is None or how == "values":
        return value
    if how == "intervals":
        return f"{value} [{_rounded(span[0]):.2f}, {_rounded(span[1]):.2f}]"
    return f"{value}±{max(estimate.value - span[0], span[1] - estimate.value):.2f}"


def _rounded(value: float) -> float:
    """To two digits behind the point, without a zero that has a sign."""
    return round(value, 2) + 0.0


def marks(pick: Pick, each: PickRow) -> list[str]:
    """What is to be said of a candidate in a word each."""
    if each is pick.alone:
        return ["alone"]
    said = (
        (each.name == pick.winner, "ships"),
        (each.name == pick.favourite and not pick.winner, _PASSED.get(pick.verdict, "does not ship")),
        (each.equal and each.name != pick.favourite, "equal"),
        (each.name in pick.refused, "passed over"),
        (each.name == pick.overtrained, "over-trained"),
        (each.pareto, "Pareto"),
        (each.standing == Standing.BROKEN, each.reason),
    )
    return [word for holds, word in said if holds]


def line_of(each: PickRow) -> str:
    """A candidate on a line, as it comes."""
    if each.standing == Standing.BROKEN:
        return f"{each.name}: {each.reason}"
    named = (("held-out", each.held_out), ("on data", each.data), ("prose", each.prose), ("everyday", each.everyday))
    told = ", ".join(f"{name} {_cell(found, 'intervals')}" for name, found in named if found is not None)
    return f"{each.name}: {told} ({each.standing})"


def legend(pick: Pick) -> str:
    """What the table's numbers and marks mean."""
    chosen = (
        f"The choice was made on {pick.chosen_on} of these items; what is said of the one that ships is of the others."
        if pick.reported
        else "The choice was made on all of these items."
    )
    beside = (
        f" Every candidate was measured together with {' + '.join(pick.fixed)}, against the base; nulls turn the "
        "candidate alone."
        if pick.fixed
        else ""
    )
    nulls = (
        f" The chosen one was held against {pick.nulls} random rotations of its own update, at a level that pays for "
        f"choosing among {len(pick.rows)}."
        if pick.nulls
        else ""
    )
    return (
        "Lifts: change in log-probability beyond what unrelated text gained, nats/token; prose, everyday: change of "
        "unrelated text; leakage: share of passages that 1,000 samples newly bring out, less that of held-out ones; "
        "ending: change of what ends a reply, nats; with the 95% interval, or its farther end. "
        f"Collateral: where the change of unrelated text lies beside {pick.tolerance:g}, sure for all candidates at "
        "once. Equal: not surely worse than the best, all pairs at once. Pareto: none lifts as much at as little cost. "
        f"{chosen}{nulls}{beside}"
    )


def markdown_pick(pick: Pick) -> str:
    """The same as Markdown, between marks by which a file is known as ours."""
    lines = [f"**{pick.verdict}** {words(pick.summary[0], _LINE)}", ""]
    lines += [f"- {words(each, _LINE)}" for each in (*pick.summary[1:], *pick.remarks)]
    lines += [f"- {code(each, _LINE)}" for each in pick.command]
    lines += ["", table_head("candidate", *map(words, headings(pick)), "collateral", "", right=True)]
    lines += [
        row(words(each.name), *cells(pick, each), each.standing, words(", ".join(marks(pick, each))))
        for each in shown_rows(pick)
    ]
    return "\n".join(["<!-- sway-gguf:pick -->", "", *lines, "", words(legend(pick), _LINE), "", END]) + "\n"


def print_pick_plan(plan: PickPlan, console: Console) -> None:
    """What a pick would do."""
    named = [("base", plan.base), ("format", plan.format), ("candidates", ", ".join(plan.candidates))]
    if plan.fixed:
        named.append(("beside", f"{plan.fixed}, loaded beside every candidate, and asked alone"))
    for role, name in named:
        console.print(Text(f"{role:10} {name}", overflow="fold"))
    took = time_line(plan.least, plan.speed) if plan.speed else "How long that takes is not known yet for this base."
    console.print("\n".join(["", *_costs(plan), "", took]))
    for remark in plan.remarks:
        console.print(Text(remark))


def _costs(plan: PickPlan) -> Iterator[str]:
    count = len(plan.candidates)
    items = f"{plan.data} items of the data" + (f", {plan.held_out} held out" if plan.held_out else "")
    yield f"{items}: {numbers.count(plan.view)} tokens for the base and for each of {count} candidates."
    yield (
        f"{numbers.count(plan.least)} tokens to evaluate where the first look at the nulls of the chosen one decides, "
        f"{numbers.count(plan.most)} at most."
    )


def title_of(pick: Pick) -> str:
    """Of a page."""
    return f"sway-gguf: {pick.winner or 'none'} ships" if pick.verdict != Verdict.INCONCLUSIVE else "sway-gguf: a pick"
