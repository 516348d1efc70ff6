"""What a command tells GitHub Actions beside its report: the step's summary and annotations. Knows the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sway_gguf.cli.output import in_github, say, say_command

if TYPE_CHECKING:
    from sway_gguf.core.gate import GateDecision
    from sway_gguf.core.result import SuiteResult

SUMMARY_LIMIT = 1 << 20
"""Bytes that a step may write; more of it and none is shown."""


def announce(result: SuiteResult, decision: GateDecision | None = None) -> None:
    """Append the Markdown report to the step's summary and annotate the run; elsewhere than in GitHub Actions nothing.

    Annotations go to stderr, which the runner reads as it reads stdout, so that they are never among results. A summary
    that cannot be written costs a line, never the result.
    """
    if not in_github():
        return
    from sway_gguf.report.github import annotated
    from sway_gguf.report.markdown import markdown_report

    for line in annotated(result, decision):
        say_command(line)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path and (problem := _appended(Path(path), markdown_report(result, decision))):
        say(f"sway-gguf: {path}: the step's summary has no report ({problem})", err=True)


def _appended(path: Path, text: str) -> str:
    """Append `text`; "" or why not."""
    data = f"{text}\n".encode()
    try:
        there = path.stat().st_size if path.exists() else 0
        if there + len(data) > SUMMARY_LIMIT:
            return "the step has written all that GitHub shows"
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:
        return error.strerror or str(error)
    return ""
