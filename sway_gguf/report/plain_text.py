"""The terminal report as text for a file or a log. Knows how wide it is; report and decision are drawn elsewhere."""

from __future__ import annotations

import io

from sway_gguf.core.gate import GateDecision
from sway_gguf.core.result import SuiteResult
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.gate import print_decision
from sway_gguf.report.terminal import print_result

MARK = "sway-gguf report"
END = "end of the sway-gguf report"
"""What such a file begins and ends with, by which it is known as ours."""
_WIDTH = 120


def text_report(result: SuiteResult, decision: GateDecision | None = None) -> str:
    """The report without colours, 120 columns wide, what a gate decided below it."""
    buffer = io.StringIO()
    console = PlainConsole(buffer, width=_WIDTH)
    print_result(result, console)
    if decision is not None:
        print_decision(decision, console)
    lines = [f"{MARK}, {result.started_at}".rstrip(", "), "", *buffer.getvalue().splitlines(), "", END]
    return "\n".join(line.rstrip() for line in lines) + "\n"
