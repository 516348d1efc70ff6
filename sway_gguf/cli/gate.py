"""`sway-gguf gate`: a suite for CI, or a result that is there, and an exit code by one decision."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, engine_options, format_options, overridden, server_option
from sway_gguf.cli.finite import Finite
from sway_gguf.cli.outputs import texts_of
from sway_gguf.cli.running import execute, leave
from sway_gguf.cli.saving import deliver
from sway_gguf.cli.wishes import Wishes, run_options

if TYPE_CHECKING:
    from rich.console import Console

    from sway_gguf.suite.gate import GateOnRun

_OF_A_RUN = {
    "nulls": "--nulls", "seed": "--seed", "show": "--show", "looks": "--looks",
    "nulls_for_everything": "--nulls-for-everything", "threads": "-t", "context": "-c", "batch": "-b",
    "gpu_layers": "-ngl", "ubatch": "-ub", "flash_attention": "-fa", "parallel": "--parallel", "format": "--format",
    "chat_template_kwargs": "--chat-template-kwargs", "server": "--server",
}  # fmt: skip


@click.command(
    epilog="Example:  sway-gguf gate sway.yaml --require signal,direction --max-loss 0.1 --baseline last.json",
)
@click.argument("path", metavar="SWAY.YAML|RESULT.JSON", type=FILE)
@click.option("--require", metavar="AXES", help="Axes that must be answered, such as signal,direction,collateral.")
@click.option("--max-loss", metavar="NATS", type=Finite(0), help="Largest loss per token of unrelated text.")
@click.option("--min-lift", metavar="NATS", type=Finite(0), help="Smallest lift per token of the material.")
@click.option("--threshold", type=Finite(0, 1), help="Smallest composite score (it has no interval).")
@click.option("--baseline", metavar="NAME|RESULT.JSON", help="Fail where items got surely worse than in this run.")
@click.option("--strict", is_flag=True, help="Exit 3 where the evidence does not decide, in place of 0.")
@format_options
@run_options
@server_option
@engine_options
def gate(
    path: Path,
    require: str | None,
    max_loss: float | None,
    min_lift: float | None,
    threshold: float | None,
    baseline: str | None,
    strict: bool,
    wishes: Wishes,
    **run: Any,
) -> None:
    """Decide whether an adapter may ship: exit 0 pass, 1 fail, 2 wrong input, 3 inconclusive with --strict, 70 a bug.

    It fails where an axis fails or a probe has an error. A limit fails where the whole interval lies beyond it, and is
    inconclusive where the interval reaches across. A RESULT.JSON is judged as it is; nothing is run.
    """
    from sway_gguf.cli.baselines import baseline_file
    from sway_gguf.cli.held import held_by
    from sway_gguf.spec.gate import Gate, rules_of
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.gate import GateOnRun

    given: dict[str, Any] = {
        "require": require, "max_loss": max_loss, "min_lift": min_lift, "threshold": threshold, "strict": strict,
    }  # fmt: skip
    named = baseline_file(baseline) if baseline else None
    if held_by(path) == "result":
        of_results = (*wishes.outputs.options, "--force", "--no-texts")
        only_runs = [option for option in wishes.options if option not in of_results]
        if unfit := only_runs + [_OF_A_RUN[name] for name, value in run.items() if value is not None]:
            raise click.UsageError(f"{unfit[0]} goes with a spec: {path} is a result, and nothing is run")
        _on_result(path, GateOnRun(rules_of(Gate(), **given), named), wishes)
        return
    spec = overridden(load_spec(path, server=True), **run)
    before = named or spec.gate.baseline
    judge = GateOnRun(rules_of(spec.gate, spec.suite, **given), before)
    execute(spec, wishes, inputs=[path, *([before] if before else [])], judge=judge)


def _on_result(path: Path, judge: GateOnRun, wishes: Wishes) -> None:
    from sway_gguf.cli.github import announce
    from sway_gguf.core.result_json import read_result, to_json
    from sway_gguf.core.withheld import without_texts
    from sway_gguf.report.gate import print_decision
    from sway_gguf.report.terminal import diagnosis_line

    files = wishes.outputs.checked([path], force=wishes.force)
    result = read_result(path)
    if wishes.no_texts:
        result = without_texts(result)
    decision = judge(result)

    def draw(console: Console) -> None:
        console.print(diagnosis_line(result))
        print_decision(decision, console)

    deliver(texts_of(files, result, decision), draw, partial(to_json, result))
    announce(result, decision)
    leave(decision)
