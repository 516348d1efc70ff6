"""Workflow commands of GitHub Actions: a result as annotations, and other lines kept from being commands.

The syntax is that of the runner's own parser (actions/runner, ActionCommand.cs). Renders records and nothing else.
"""

from __future__ import annotations

import re

from sway_gguf.core.gate import GateDecision, Outcome
from sway_gguf.core.plain import one_line
from sway_gguf.core.result import Diagnosis, SuiteResult, Verdict

_LEVELS = {
    Verdict.ERROR.value: "error",
    Verdict.FAIL.value: "error",
    Verdict.WARN.value: "warning",
    Verdict.INCONCLUSIVE.value: "warning",
}
_COMMAND = re.compile(r"^(\s*:)(?=:)", re.MULTILINE)


def annotated(result: SuiteResult, decision: GateDecision | None = None) -> list[str]:
    """A line for the diagnosis and one for every axis, or line of a gate, that did not pass.

    GitHub shows ten of a kind for a step. What does not count is a notice.
    """
    if decision:
        level = {Outcome.FAIL: "error", Outcome.INCONCLUSIVE: "warning"}.get(decision.outcome, "notice")
        lines = [_command(level, f"sway-gguf gate: {decision.outcome}", result.headline)]
        for line in decision.lines:
            if line.word in _LEVELS:
                level = "notice" if line.informational else _LEVELS[line.word]
                lines.append(_command(level, f"{line.subject}: {line.word}", line.reason))
        return lines
    level = {Diagnosis.HEALTHY: "notice", Diagnosis.INCONCLUSIVE: "warning"}.get(result.diagnosis, "error")
    lines = [_command(level, f"sway-gguf: {result.diagnosis}", result.headline)]
    return lines + [
        _command(_LEVELS[axis.verdict.value], f"{axis.axis}: {axis.verdict}", axis.reason)
        for axis in result.axes
        if axis.verdict.value in _LEVELS
    ]


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return one_line(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def disarmed(text: str) -> str:
    """`text` in which no line is a command: a model's words may look like one."""
    return _COMMAND.sub(r"\1 ", text).replace("##[", "## [")
