"""Draws the plan of a run. Renders records and nothing else."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from sway_gguf.core.plan import Plan, Speed
from sway_gguf.report import numbers


def print_plan(plan: Plan, console: Console) -> None:
    """Files, a row per probe with its queries and tokens, and the sums."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("probe")
    table.add_column("axis")
    table.add_column("queries", justify="right")
    table.add_column("tokens", justify="right")
    table.add_column("", overflow="fold")
    for probe in plan.probes:
        if probe.skipped:
            missing = numbers.MISSING
            table.add_row(probe.name, probe.axis, missing, missing, f"skipped: {probe.skipped}", style="dim")
        else:
            table.add_row(probe.name, probe.axis, str(probe.queries), numbers.count(probe.tokens))
    if plan.shown:
        table.add_row("replies shown", numbers.MISSING, str(plan.shown[0]), numbers.count(plan.shown[1]))
    console.print("\n".join(f"{role:8} {name}" for role, name in plan.named.items()) + "\n")
    console.print(table)
    most = numbers.count(sum(plan.tokens.values()))
    tokens = f"{most} tokens to evaluate"
    if plan.least < sum(plan.tokens.values()):
        tokens = (
            f"{numbers.count(plan.least)} tokens to evaluate where the first look at the nulls decides and nothing is "
            f"damaged, {most} at most"
        )
    views = ", ".join(f"{name} {numbers.count(amount)}" for name, amount in plan.tokens.items())
    console.print(f"\n{plan.views} views, {plan.queries} distinct queries, {tokens} ({views}); replies may end sooner.")
    if plan.tokens:
        console.print(time_line(plan.least, plan.speed))
    for remark in plan.remarks:
        console.print(remark, markup=False)


def time_line(tokens: float, speed: Speed | None) -> str:
    """How long so many tokens will take, and how that is known."""
    if speed is None:
        return "How long that takes is not known yet for this base: a run measures it, and --budget 5m keeps to a time."
    foreseen = f"{numbers.about(tokens / speed.rate)} at {_rate(speed.rate)} tokens/s"
    if speed.guessed:
        return f"Not measured yet for this base; {foreseen}, guessed from another base's speed here and its size."
    return f"{foreseen[0].upper()}{foreseen[1:]}, as last measured."


def _rate(value: float) -> str:
    """Two digits that count, of a number that varies by more than the third."""
    return numbers.number(value, digits=2) if value < 100 else numbers.count(float(f"{value:.2g}"))
