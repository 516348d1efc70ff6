"""Draws what a server was found to serve. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.names import file_name
from sway_gguf.core.plain import json_text
from sway_gguf.core.served import Fit, Heard, Served, Serves
from sway_gguf.report import numbers

_STYLES = {
    Serves.TUNED: "bold black on green",
    Serves.BASE: "bold white on red",
    Serves.ELSE: "bold white on red",
    Serves.UNSURE: "bold black on magenta",
}
_SHOWN = 6
"""Candidates in a table: the nearest, and always tuned and base."""
_ALWAYS = ("tuned", "base")


def print_served(found: Served, console: Console) -> None:
    """The verdict, then for each way of asking how near the server came to what."""
    server = f"server   {found.url}" + (f"  {found.model}" if found.model else "")
    console.print(Text(server, style="dim"))
    against = " + ".join(found.adapters) or file_name(found.adapter)
    console.print(Text(f"against  {file_name(found.base)}, {against}", style="dim"))
    console.print(Text(f"format   {found.format}", style="dim"))
    console.print(Padding(Text.assemble((f" {found.serves} ", _STYLES[found.serves]), "  ", sentence(found)), (1, 0)))
    for way in found.heard:
        console.print(Text.assemble((f"as {way.asked_as}: ", "bold"), way_sentence(way)))
        console.print(Padding(_table(way), (0, 0, 1, 2)))
    for remark in found.remarks:
        console.print(Text(remark))
    console.print(
        Text(
            "Distance: Jensen-Shannon divergence over the tokens that the server names and all others together, nats; "
            "of greedy replies the share that differs. p: that the server is as near to this as to the nearest, by "
            "flipping the signs of the prompts' differences, corrected for all that was thought of. "
            f"{found.requests} requests.",
            style="dim",
        )
    )


def sentence(found: Served) -> str:
    """The verdict in words, with its p."""
    return f"{found.sentence} p {numbers.p_value(found.p)}"


def way_sentence(way: Heard) -> str:
    """What one way of asking brought, in a line."""
    return f"{way.serves}, {way.reason} ({way.prompts} prompts, {way.evidence} of {way.endpoint})"


def record_of(found: Served, *, indent: int | None = 1) -> str:
    """As JSON, with a final newline."""
    return json_text(asdict(found), indent=indent) + "\n"


def change_line(at: str, found: Served, before: Served | None) -> str:
    """One line of a watch: what is served, and whether that is news."""
    news = f" (was: {before.serves})" if before is not None and before.serves != found.serves else ""
    nearest = "; ".join(f"as {way.asked_as} {way.reason}" for way in found.heard)
    return f"{at}  {found.serves}{news}  p {numbers.p_value(found.p)}; {nearest}"


def _table(way: Heard) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("if it served", overflow="fold")
    table.add_column("distance", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    for fit in _worth_showing(way.fits):
        table.add_row(Text(fit.name), numbers.number(fit.distance), numbers.p_value(fit.p))
    return table


def _worth_showing(fits: Sequence[Fit]) -> Iterator[Fit]:
    for place, fit in enumerate(fits):
        if place < _SHOWN or fit.name in _ALWAYS:
            yield fit
