"""The gate on a run: a baseline read before the work, a decision after it. Knows files of results; weighs nothing."""

from __future__ import annotations

from pathlib import Path

from sway_gguf.core.gate import GateDecision, GateRules
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.result_json import read_result
from sway_gguf.verdict.gate import decide


class GateOnRun:
    """What is asked of a run.

    Args:
        rules: beside the verdicts.
        baseline: a result.json, read at once.

    Raises:
        UserError: the baseline is no result.
    """

    def __init__(self, rules: GateRules, baseline: Path | None = None) -> None:
        self._rules = rules
        self._baseline = None if baseline is None else read_result(baseline)

    def __call__(self, result: SuiteResult) -> GateDecision:
        """The decision."""
        return decide(result, self._rules, self._baseline)
