"""`gate`: a decision that an `assert` can hold. Knows arguments; what is decided stands in `verdict`."""

from __future__ import annotations

from collections.abc import Sequence

from sway_gguf.api.arguments import PathLike, StoreLike, path_of
from sway_gguf.api.result import Result, load_result, result_of
from sway_gguf.api.running import run, spec_of
from sway_gguf.cli.held import held_by
from sway_gguf.core.gate import GateDecision, GateLine, GateRules, Outcome
from sway_gguf.spec.gate import Gate, rules_of
from sway_gguf.spec.model import Spec
from sway_gguf.spec.options import changed
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
    strict: bool = False,
    max_loss: float | None = None,
    min_lift: float | None = None,
    threshold: float | None = None,
    baseline: Result | PathLike | None = None,
    store: StoreLike = None,
) -> Decision:
    """Decide whether an adapter may ship; as the command `sway-gguf gate` does.

    Args:
        given: a result, the path of a result.json, or a spec or its path, which is run. What a spec says under `gate:`
            holds, unless it is given here.
        require: axes that must be answered, such as ["signal", "direction"].
        strict: whether an inconclusive outcome stops a build.
        max_loss: largest loss on unrelated text, nats/token.
        min_lift: smallest lift of the material, nats/token.
        threshold: smallest composite score.
        baseline: a result, its path or a baseline's name; a probe that surely got worse than there fails.
        store: of answers, where a spec is run; as `check` has it.

    Raises:
        UserError: a file is wrong, or an argument; nothing was run.
        EngineError: llama.cpp failed.
    """
    opened = _opened(given)
    rules, before = asked_of(
        opened if isinstance(opened, Spec) else None,
        require=require,
        strict=strict,
        max_loss=max_loss,
        min_lift=min_lift,
        threshold=threshold,
        baseline=baseline,
    )
    return decided(run(opened, store=store) if isinstance(opened, Spec) else opened, rules, before)


def asked_of(
    spec: Spec | None,
    *,
    require: Sequence[str] | None = None,
    strict: bool = False,
    baseline: Result | PathLike | None = None,
    **limits: float | None,
) -> tuple[GateRules, Result | None]:
    """What is asked of a run beside its verdicts, and the baseline, which is read at once.

    Args:
        spec: whose section `gate:` counts where nothing else is given; None for a result.
        require, strict, baseline, limits: as `gate` has them.

    Raises:
        UserError: a wrong argument or baseline.
    """
    axes = None if require is None else [require] if isinstance(require, str) else list(require)
    told = {"require": axes, "strict": strict or None, **limits}
    section = changed(spec.gate if spec else Gate(), told, "gate()")
    before = section.baseline if baseline is None else baseline
    kept = None if before is None else result_of(before, "baseline")
    return rules_of(section, spec.suite if spec else ()), kept


def decided(result: Result, rules: GateRules, baseline: Result | None) -> Decision:
    """The decision on a result."""
    return Decision(decide(result.record, rules, baseline.record if baseline else None), result)


def _opened(given: Result | PathLike | Spec) -> Result | Spec:
    if isinstance(given, Result | Spec):
        return given
    path = path_of(given, "gate()")
    return load_result(path) if held_by(path) == "result" else spec_of(path)


def _counts(line: GateLine) -> bool:
    return line.outcome != Outcome.PASS and not line.informational
