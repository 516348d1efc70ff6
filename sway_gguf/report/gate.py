"""Draws a gate's decision: the outcome, then what brought it about. Renders records and nothing else."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.gate import GateDecision, GateLine, Outcome

_STYLES = {
    Outcome.PASS: "bold black on green",
    Outcome.FAIL: "bold white on red",
    Outcome.INCONCLUSIVE: "bold black on magenta",
}
_COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "bold magenta"}


def print_decision(decision: GateDecision, console: Console) -> None:
    """The outcome in a sentence, and a line for all that failed, is open, was asked for or passed with a warning."""
    console.print(Padding(Text.assemble(*_headline(decision)), (1, 0, 0, 0)))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for line in decision.lines:
        if told(line):
            shown = f"({line.word})" if line.informational else line.word
            style = "dim" if line.informational else "bold yellow" if line.warning else _COLOURS[line.outcome]
            table.add_row(Text(shown, style=style), Text(line.subject), Text(line.reason, style="dim"))
    if table.row_count:
        console.print(table)


def sentence(decision: GateDecision) -> str:
    """What the outcome means for a build."""
    if decision.outcome == Outcome.INCONCLUSIVE:
        if decision.strict:
            return "The evidence does not decide, and the gate is strict."
        return "The evidence does not decide. The build goes on; with --strict it would stop (exit code 3)."
    return "Nothing asked of this run failed." if decision.outcome == Outcome.PASS else "It must not ship as it is."


def told(line: GateLine) -> bool:
    """Whether a person needs to see it: not an axis that plainly passed, nor a probe that speaks through its axis."""
    kind = line.subject.split(" ", 1)[0]
    if line.informational and kind in ("axis", "probe", "diagnosis"):
        return False
    return line.warning or line.outcome != Outcome.PASS or kind not in ("axis", "probe", "diagnosis")


def _headline(decision: GateDecision) -> list[tuple[str, str] | str]:
    return [(f" GATE {decision.outcome} ", _STYLES[decision.outcome]), "  ", sentence(decision)]
