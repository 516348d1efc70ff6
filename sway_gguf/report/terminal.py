"""Draws a result in the terminal. Renders records and nothing else; every number comes formatted from numbers.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.file_records import FileRecord
from sway_gguf.core.result import Diagnosis, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.shown import Reply
from sway_gguf.report import numbers
from sway_gguf.report.facts import NO_NULLS, look_line, tolls_of

STYLES: Mapping[str, str] = {
    Verdict.PASS: "bold green",
    Verdict.WARN: "bold yellow",
    Verdict.FAIL: "bold red",
    Verdict.ERROR: "bold red",
    Verdict.INCONCLUSIVE: "bold magenta",
    Verdict.SKIP: "dim",
}
QUESTIONS = {
    "applied": "do the logits change at all?",
    "signal": "by more than noise of its size?",
    "direction": "toward its training material?",
    "collateral": "is other text left intact?",
    "leakage": "does it recite its training text?",
    "survival": "still there in the file that ships?",
}
_WIDE = 150
"""From here on the reason of each verdict has a column that can be read."""
_NARROW = 80
"""Below, the nulls stand under the interval, and z under the value."""
_REPLY_WIDTH = 400
"""Characters of a reply: about what the tokens of a gathered one are, of whichever language."""
_STACKED = ("value\nz", "95% interval\nnulls", "p")
_HEADINGS = ("value", "95% interval", "nulls", "z", "p")
_WHOLE = ("value", "95% interval", "nulls (mean ± sd)", "z", "p", "tail p")
_NAME_WIDTH, _VERDICT_WIDTH = 11, 9
"""Characters that a name has at least, and that the longest short verdict takes with its gap."""


def print_result(result: SuiteResult, console: Console) -> None:
    """The whole report."""
    print_verdict(result, console)
    console.print(Padding(_probes(result, console.width), (1, 0, 0, 0)))
    if result.replies:
        console.print(Padding(_replies(result.replies), (1, 0, 0, 0)))
    notes = _notes(result)
    if notes:
        console.print(Padding(Group(*notes), (1, 0, 0, 0)))
    console.print(Padding(_footnotes(result), (1, 0, 0, 0)))


def print_verdict(result: SuiteResult, console: Console) -> None:
    """The files, the diagnosis and the axes."""
    console.print(_heading(result))
    console.print(Padding(diagnosis_line(result), (1, 0)))
    if result.learned:
        console.print(Padding(Text(result.learned), (0, 0, 1, 0)))
    console.print(_axes(result))


def diagnosis_line(result: SuiteResult) -> Text:
    """The diagnosis and its sentence."""
    style = {Diagnosis.HEALTHY: "bold black on green", Diagnosis.INCONCLUSIVE: "bold black on magenta"}.get(
        result.diagnosis, "bold white on red"
    )
    return Text.assemble((f" {result.diagnosis.upper()} ", style), "  ", result.headline)


def _heading(result: SuiteResult) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for record in result.files:
        table.add_row(Text(record.role, style="dim"), Text(file_line(record), overflow="fold"))
    if result.format:
        table.add_row(Text("format", style="dim"), Text(result.format, overflow="fold"))
    return table


def file_line(record: FileRecord) -> str:
    """One file in a few words."""
    return "  ".join(file_parts(record))


def file_parts(record: FileRecord) -> list[str]:
    """Its path, and what is in it."""
    parts = [record.path]
    if record.base:
        types = "/".join(list(record.base.types)[:2])
        parts.append(f"{record.base.architecture}, {numbers.parameters(record.base.parameters)}, {types}")
    if record.adapter:
        ranks = "/".join(map(str, record.adapter.ranks))
        scale = "" if record.adapter.scale == 1.0 else f"scale {record.adapter.scale:g}, "
        parts.append(f"{scale}rank {ranks}, alpha {record.adapter.alpha:g}, {record.adapter.modules} modules")
    return parts


def _axes(result: SuiteResult) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for axis in result.axes:
        answer = Text(QUESTIONS[axis.axis], style="dim" if axis.verdict == Verdict.SKIP else "")
        answer.append(f"  {axis.reason}", style="dim")
        table.add_row(Text(axis.axis, style="bold"), verdict_text(axis.verdict), answer)
    return table


def verdict_text(verdict: Verdict, short: bool = False) -> Text:
    """A verdict in its colour; the long one cut where space is short."""
    text = "INCONCL." if short and verdict == Verdict.INCONCLUSIVE else str(verdict)
    return Text(text, style=STYLES[verdict])


def _probes(result: SuiteResult, width: int) -> RenderableType:
    """A row for each probe. What a narrow terminal has no column for stands on a second line of the row."""
    wide, stacked = width >= _WIDE, width < _NARROW
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False, expand=wide)
    headings: Sequence[str] = _STACKED if stacked else _WHOLE if wide else _HEADINGS
    rows = [_numbers(probe, wide=wide, stacked=stacked) for probe in result.probes]
    columns = zip(headings, *rows, strict=True)
    taken = sum(1 + max(len(line) for cell in column for line in cell.split("\n")) for column in columns)
    room = max(_NAME_WIDTH, width - taken - _VERDICT_WIDTH)
    table.add_column("probe", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    if wide:
        table.add_column("unit", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    if wide:
        table.add_column("why", overflow="fold", ratio=1)
    for probe, cells in zip(result.probes, rows, strict=True):
        name, verdict = probe.name if wide else folded(probe.name, room), verdict_text(probe.verdict, short=not wide)
        if wide:
            table.add_row(name, *cells, Text(probe.unit, style="dim"), verdict, Text(probe.reason, style="dim"))
        else:
            table.add_row(name, *cells, verdict)
    return table


def _numbers(probe: ProbeResult, *, wide: bool, stacked: bool) -> list[str]:
    """A probe's cells between its name and its verdict; two lines each where they are stacked."""
    null, digits = probe.null, 3 if wide else 2
    value, interval = numbers.number(probe.value), numbers.span(probe.interval)
    z, p = numbers.z_score(null.z if null else None), numbers.p_value(null.p if null else None)
    spread = (
        f"{numbers.number(null.mean, digits=digits)}±{numbers.number(null.sd, digits=digits)}"
        if null
        else numbers.MISSING
    )
    if stacked:
        return [f"{value}\n{z}", f"{interval}\n{spread}", p] if null else [value, interval, p]
    return [value, interval, spread, z, p, *([numbers.p_value(null.holm_p if null else None)] if wide else [])]


def folded(name: str, width: int) -> str:
    """A name on lines of at most `width`, broken behind underscores and spaces where it has any."""
    lines = [""]
    for part in re.split(r"(?<=[_ ])", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(piece[i : i + width] for piece in lines for i in range(0, max(1, len(piece)), width))


def _replies(replies: Sequence[Reply]) -> RenderableType:
    """Requests with what base and tuned model say, and what the data does."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for reply in replies:
        table.add_row(Text("asked", style="bold"), Text(f"{_flat(reply.request)}  ({reply.origin})", style="bold"))
        for who, words in (("base", reply.base), ("tuned", reply.tuned), ("wanted", reply.wanted)):
            if words or who != "wanted":
                table.add_row(Text(who, style="dim"), Text(_flat(words)))
    return table


def _flat(words: str) -> str:
    """On one line, the end cut off where it is long."""
    flat = " ".join(words.split()) or "(nothing)"
    return flat if len(flat) <= _REPLY_WIDTH else f"{flat[: _REPLY_WIDTH - 1]}…"


def _notes(result: SuiteResult) -> list[RenderableType]:
    notes = [(probe.name, note) for probe in result.probes for note in (*tolls_of(probe), *probe.notes)]
    notes += [("spec", remark) for remark in result.remarks]
    notes += [(probe.name, _profile(probe)) for probe in result.probes if probe.null and probe.null.by_rank]
    return [Text.assemble((f"{name}: ", "bold"), f"{note}.") for name, note in notes]


def _profile(probe: ProbeResult) -> str:
    """z among nulls of other ranks."""
    assert probe.null is not None
    found = (f"×{scale} z {numbers.z_score(nulls.z)}" for scale, nulls in probe.null.by_rank.items())
    return f"among nulls of other ranks: {', '.join(found)}"


def _footnotes(result: SuiteResult) -> RenderableType:
    nulls, timings = result.nulls, result.timings
    lines = [_judged_by_nulls(result) if nulls.count else NO_NULLS]
    if look := look_line(nulls):
        lines.append(look)
    floors = [probe.noise_floor for probe in result.probes if probe.kind == "applied" and probe.noise_floor is not None]
    if floors:
        lines.append(
            "Numerical noise (base against base in other batches, under a negligible update): "
            f"{numbers.number(max(floors))} nats in a log-probability."
        )
    if result.score:
        lines.append(
            f"Composite score {result.score.overall:.2f}, as the sway project computes it; no verdict hangs on it."
        )
    lines.append(f"{pace(timings)}.")
    return Group(*(Text(line, style="dim") for line in lines))


def _judged_by_nulls(result: SuiteResult) -> str:
    nulls = result.nulls
    return (
        f"{nulls.assumption} p is the rank p over all probes that nulls decide together. A pass needs an effect beyond "
        "zero and beyond every null, this p, and the tail p below alpha after Holm's correction, or by far below it at "
        "the first look, whose p is that one; "
        f"{nulls.count} nulls ({nulls.design}), smallest rank p {numbers.p_value(nulls.smallest_rank_p)}, "
        f"alpha {result.alpha:g}, seed {result.seed}."
    )


def pace(timings: Mapping[str, float]) -> str:
    """Tokens, seconds and their ratio; told apart is what came from the store, which took no time, and what was begun
    ahead and not needed, which did."""
    tokens, seconds = timings["tokens"], timings["run_seconds"]
    stored, dropped = (timings.get(name, 0.0) for name in ("tokens_from_store", "tokens_dropped"))
    took = numbers.seconds(seconds)
    if stored and not tokens:
        return f"{numbers.count(stored)} tokens from the store, none evaluated, in {took}"
    rate = f"{numbers.count((tokens + dropped) / max(seconds, 1e-9))} tokens/s"
    more = f", and {numbers.count(stored)} from the store" if stored else ""
    vain = f"; {numbers.count(dropped)} more, begun ahead, were not needed" if dropped else ""
    return f"{numbers.count(tokens)} tokens in {took} ({rate}){more}{vain}"
