"""`sway-gguf gate`: a suite for CI, or a result that is there, and an exit code by one decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, engine_options, execute, format_options, leave, overridden, run_options
from sway_gguf.cli.output import drawing

if TYPE_CHECKING:
    from sway_gguf.suite.gate import GateOnRun

_OF_A_RUN = {
    "json_path": "--json", "dry_run": "--dry-run", "budget": "--budget", "nulls": "--nulls", "seed": "--seed",
    "force": "--force", "threads": "-t", "context": "-c", "batch": "-b", "gpu_layers": "-ngl", "format": "--format",
    "chat_template_kwargs": "--chat-template-kwargs",
}  # fmt: skip


@click.command(
    short_help="Run a suite, or read its result, and exit by the verdict.",
    epilog="Example:  sway-gguf gate sway.yaml --require signal,direction --max-loss 0.1 --baseline last.json",
)
@click.argument("path", metavar="SWAY.YAML|RESULT.JSON", type=FILE)
@click.option("--require", metavar="AXES", help="Axes that must be answered, such as signal,direction,collateral.")
@click.option("--max-loss", metavar="NATS", type=click.FloatRange(0), help="Largest loss per token of unrelated text.")
@click.option("--min-lift", metavar="NATS", type=click.FloatRange(0), help="Smallest lift per token of the material.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Smallest composite score (it has no interval).")
@click.option(
    "--baseline", metavar="RESULT.JSON", type=FILE, help="Fail where items got surely worse than in this run."
)
@click.option("--strict", is_flag=True, help="Exit 3 where the evidence does not decide, in place of 0.")
@format_options
@run_options
@engine_options
def gate(
    path: Path,
    require: str | None,
    max_loss: float | None,
    min_lift: float | None,
    threshold: float | None,
    baseline: Path | None,
    strict: bool,
    **run: Any,
) -> None:
    """Decide whether an adapter may ship: exit 0 pass, 1 fail, 2 wrong input, 3 inconclusive with --strict, 70 a bug.

    It fails where an axis fails or a probe has an error. A limit fails where the whole interval lies beyond it, and is
    inconclusive where the interval reaches across. A RESULT.JSON is judged as it is; nothing is run.
    """
    from sway_gguf.cli.saving import held_by
    from sway_gguf.spec.gate import Gate, rules_of
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.gate import GateOnRun

    given: dict[str, Any] = {
        "require": require, "max_loss": max_loss, "min_lift": min_lift, "threshold": threshold, "strict": strict,
    }  # fmt: skip
    if held_by(path) == "result":
        if unfit := [_OF_A_RUN[name] for name, value in run.items() if value not in (None, False)]:
            raise click.UsageError(f"{unfit[0]} goes with a spec: {path} is a result, and nothing is run")
        _on_result(path, GateOnRun(rules_of(Gate(), **given), baseline))
        return
    kept = {name: run.pop(name) for name in ("json_path", "dry_run", "budget", "force")}
    spec = overridden(load_spec(path), **run)
    before = baseline or spec.gate.baseline
    judge = GateOnRun(rules_of(spec.gate, spec.suite, **given), before)
    execute(spec, **kept, inputs=[path, *([before] if before else [])], judge=judge)


def _on_result(path: Path, judge: GateOnRun) -> None:
    from sway_gguf.report.gate import print_decision
    from sway_gguf.report.terminal import diagnosis_line
    from sway_gguf.suite.gate import read_result

    result = read_result(path)
    decision = judge(result)
    with drawing() as console:
        console.print(diagnosis_line(result))
        print_decision(decision, console)
    leave(decision)
