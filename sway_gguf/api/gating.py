"""`gate`: a decision that an `assert` can hold. Knows arguments; what decides stands in `verdict.gate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sway_gguf.api.arguments import PathLike
from sway_gguf.api.result import Result, load_result
from sway_gguf.api.running import run, spec_of
from sway_gguf.cli.baselines import read_baseline
from sway_gguf.core.gate import GateDecision, GateLine, Outcome
from sway_gguf.core.result import SuiteResult
from sway_gguf.spec.gate import Gate, rules_of
from sway_gguf.spec.model import Spec
from sway_gguf.verdict.gate import decide


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


def gate(
    given: Result | PathLike | Spec,
    *,
    require: Sequence[str] | None = None,
    max_loss: float | None = None,
    min_lift: float | None = None,
    threshold: float | None = None,
    baseline: Result | PathLike | None = None,
    strict: bool = False,
) -> Decision:
    """Decide whether an adapter may ship; as the command `sway-gguf gate` does.

    It fails where an axis fails, a probe has an error, an axis of `require` was not answered, or a limit is missed. A
    spec's own `gate:` section is asked as well; what is given here takes the place of it.

    Args:
        given: a result, the path of a result.json, or a spec or its path, which is run.
        require: axes that must be answered, such as ["signal", "direction"].
        max_loss: largest accepted loss per token of unrelated text, nats.
        min_lift: smallest accepted lift per token of the material, nats.
        threshold: smallest accepted composite score.
        baseline: a result, its path or the name of a baseline, that this one must not fall behind.
        strict: whether an inconclusive outcome stops a build.

    Raises:
        UserError: a file is wrong, or `require` names no axis.
        EngineError: llama.cpp failed.
    """
    spec = None if _is_result(given) else spec_of(given)  # type: ignore[arg-type]
    rules = rules_of(
        spec.gate if spec else Gate(),
        spec.suite if spec else (),
        require=None if require is None else ",".join([require] if isinstance(require, str) else require),
        max_loss=max_loss,
        min_lift=min_lift,
        threshold=threshold,
        strict=strict,
    )
    before = _before(baseline if baseline is not None else spec.gate.baseline if spec else None)
    result = run(spec) if spec else _loaded(given)
    return Decision(decide(result.record, rules, before), result)


def _is_result(given: Result | PathLike | Spec) -> bool:
    return isinstance(given, Result) or (not isinstance(given, Spec) and Path(given).suffix.lower() == ".json")


def _loaded(given: Result | PathLike | Spec) -> Result:
    assert not isinstance(given, Spec)
    return given if isinstance(given, Result) else load_result(given)


def _before(baseline: Result | PathLike | None) -> SuiteResult | None:
    if baseline is None:
        return None
    return baseline.record if isinstance(baseline, Result) else read_baseline(str(baseline))


def _counts(line: GateLine) -> bool:
    return line.outcome != Outcome.PASS and not line.informational
