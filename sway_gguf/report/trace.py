"""Draws where the time of a run went. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from sway_gguf.core.trace import Total, Trace
from sway_gguf.report import numbers


def print_trace(trace: Trace, console: Console) -> None:
    """By view, by kind of query, and the slowest batches."""
    _totals("view", trace.views, console)
    _totals("kind of query", trace.kinds, console)
    table = _table("slowest batches", "kind of query", "streams", "tokens", "time")
    for batch in trace.slowest:
        table.add_row(
            batch.view, batch.kind, str(batch.streams), numbers.count(batch.tokens), numbers.seconds(batch.seconds)
        )
    console.print(table)
    whole = trace.whole
    console.print(
        f"\n{numbers.count(whole.batches)} batches, {numbers.count(whole.tokens)} tokens in "
        f"{numbers.seconds(whole.seconds)} of llama.cpp."
    )
    if trace.cut:
        console.print("The last line is cut, as where a run was killed; it is left out.")


def _totals(name: str, totals: Sequence[Total], console: Console) -> None:
    table = _table(name, "batches", "tokens", "time", "tokens/s")
    for total in totals:
        rate = numbers.count(total.tokens / max(total.seconds, 1e-9))
        table.add_row(
            total.name, numbers.count(total.batches), numbers.count(total.tokens), numbers.seconds(total.seconds), rate
        )
    console.print(table)
    console.print()


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="left" if name == "kind of query" else "right", overflow="fold")
    return table
