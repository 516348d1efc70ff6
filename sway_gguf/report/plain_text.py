"""The terminal report as text for a file or a log. Knows how wide it is; the report is drawn elsewhere."""

from __future__ import annotations

import io

from sway_gguf.core.gate import GateDecision
from sway_gguf.core.result import SuiteResult
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.terminal import print_result

MARK = "sway-gguf report"
"""What the first line begins with, by which such a file is known as ours."""
_WIDTH = 120


def text_report(result: SuiteResult, decision: GateDecision | None = None) -> str:
    """The report without colours, 120 columns wide, what a gate decided below it."""
    buffer = io.StringIO()
    console = PlainConsole(buffer, width=_WIDTH)
    print_result(result, console)
    if decision is not None:
        console.print(f"\ngate {decision.outcome}")
        for line in decision.lines:
            told = " (informational)" if line.informational else ""
            console.print(f"  {line.outcome}  {line.subject}{told}: {line.reason}", highlight=False)
    lines = [f"{MARK}, {result.started_at}".rstrip(", "), "", *buffer.getvalue().splitlines()]
    return "\n".join(line.rstrip() for line in lines) + "\n"
