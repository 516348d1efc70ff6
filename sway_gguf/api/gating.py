"""`gate`: a decision that an `assert` can hold. Knows verdicts; not how they came about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sway_gguf.api.arguments import PathLike
from sway_gguf.api.result import Result, load_result
from sway_gguf.api.running import run
from sway_gguf.core.errors import UserError
from sway_gguf.core.gate import GateDecision, GateLine, Outcome
from sway_gguf.core.measurement import AXES
from sway_gguf.core.result import AxisResult, ProbeResult, SuiteResult, Verdict
from sway_gguf.spec.model import Spec
from sway_gguf.spec.options import nearest

_OUTCOMES = {
    Verdict.FAIL: Outcome.FAIL,
    Verdict.ERROR: Outcome.FAIL,
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}
"""Of a verdict; of all others it is PASS."""
_ORDER = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)


class Decision:
    """What a gate decided: true where a build may go on, so `assert gate(…)` holds it.

    Args:
        record: the decision, as reports draw it.
        result: what it was made on.
    """

    def __init__(self, record: GateDecision, result: Result) -> None:
        self.record = record
        self.result = result

    def __bool__(self) -> bool:
        return self.exit_code == 0

    @property
    def outcome(self) -> Outcome:
        """PASS, FAIL or INCONCLUSIVE; the last stops a build where the gate is strict."""
        return self.record.outcome

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive where it is strict."""
        return self.record.exit_code

    @property
    def lines(self) -> tuple[GateLine, ...]:
        """All that was looked at, what failed first."""
        return self.record.lines

    def line(self, subject: str) -> GateLine | None:
        """The line of "axis signal" or "probe delta_kl", say; None where nothing of it was looked at."""
        return next((line for line in self.lines if line.subject == subject), None)

    def __repr__(self) -> str:
        """The outcome, and a line for everything that kept it from PASS: what pytest shows of a failed assert."""
        against = (f"\n  {line.subject}: {line.reason}" for line in self.lines if _counts(line))
        return f"<sway_gguf.Decision {self.outcome}{''.join(against)}>"

    def _repr_html_(self) -> str:
        """The verdict and the decision as a notebook shows them."""
        from sway_gguf.report.card import card

        return card(self.result.record, self.record)


def gate(given: Result | PathLike | Spec, *, require: Sequence[str] = (), strict: bool = False) -> Decision:
    """Decide whether an adapter may ship.

    It fails where an axis fails, a probe has an error, or an axis of `require` was not answered.

    Args:
        given: a result, the path of a result.json, or a spec or its path, which is run.
        require: axes that must be answered, such as ["signal", "direction"].
        strict: whether an inconclusive outcome stops a build.

    Raises:
        UserError: a file is wrong, or `require` names no axis.
        EngineError: llama.cpp failed.
    """
    wanted = axes_of(require)
    result = _judged(given)
    return Decision(_decide(result.record, wanted, strict), result)


def axes_of(names: Sequence[str]) -> tuple[str, ...]:
    """The axes that `require` names.

    Raises:
        UserError: it names something else.
    """
    named = [names] if isinstance(names, str) else list(names)
    for name in named:
        if name not in AXES:
            raise UserError(f"require: {name!r} is no axis, {nearest(str(name), AXES)}")
    return tuple(named)


def _judged(given: Result | PathLike | Spec) -> Result:
    if isinstance(given, Result):
        return given
    if not isinstance(given, Spec) and Path(given).suffix.lower() == ".json":
        return load_result(given)
    return run(given)


def _decide(result: SuiteResult, require: Sequence[str], strict: bool) -> GateDecision:
    lines = [_axis(axis, axis.axis in require) for axis in result.axes]
    lines += [_probe(probe) for probe in result.probes]
    counted = {line.outcome for line in lines if not line.informational}
    outcome = next(each for each in _ORDER if each in counted or each == Outcome.PASS)
    ordered = sorted(lines, key=lambda line: (line.informational, _ORDER.index(line.outcome)))
    return GateDecision(outcome, tuple(ordered), strict)


def _axis(axis: AxisResult, required: bool) -> GateLine:
    subject = f"axis {axis.axis}"
    if required and axis.verdict in (Verdict.SKIP, Verdict.INCONCLUSIVE):
        return GateLine(subject, Outcome.FAIL, f"required, and not answered: {axis.reason}")
    outcome = _OUTCOMES.get(axis.verdict, Outcome.PASS)
    return GateLine(subject, outcome, axis.reason, informational=axis.verdict == Verdict.SKIP)


def _probe(probe: ProbeResult) -> GateLine:
    """A probe speaks through its axis; by itself only where it could not measure."""
    outcome = _OUTCOMES.get(probe.verdict, Outcome.PASS)
    return GateLine(f"probe {probe.name}", outcome, probe.reason, informational=probe.verdict != Verdict.ERROR)


def _counts(line: GateLine) -> bool:
    return line.outcome != Outcome.PASS and not line.informational
