"""Running a prepared suite from a command: the bar, the outputs, the gate and the exit code.

Knows the order of things; what is measured, drawn and decided stands in other layers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sway_gguf.cli.inputs import inputs_of
from sway_gguf.cli.output import say
from sway_gguf.cli.outputs import texts_of
from sway_gguf.cli.progress import Progress, progress_bar
from sway_gguf.cli.saving import Output, check_outputs, deliver, tracing
from sway_gguf.cli.wishes import Wishes

if TYPE_CHECKING:
    from rich.console import Console

    from sway_gguf.core.gate import GateDecision
    from sway_gguf.core.result import SuiteResult
    from sway_gguf.engine.store import AnswerStore
    from sway_gguf.spec.model import Spec
    from sway_gguf.suite.measure import OnProgress
    from sway_gguf.suite.prepare import Prepared

_SHOWN = 3
"""Replies in a page, where nobody says how many."""
_A_WHILE = 10.0
"""Seconds from which on a run says at its start how long it will take."""


def execute(
    spec: Spec,
    wishes: Wishes,
    *,
    inputs: Sequence[Path] = (),
    judge: Callable[[SuiteResult], GateDecision] | None = None,
) -> None:
    """Run a spec, or show its plan; report on the terminal, in files if asked, and to GitHub Actions.

    Args:
        spec: what to run.
        wishes: of the command.
        inputs: further files that no output may replace, such as the spec's own.
        judge: the gate, whose decision stands under the report and gives the exit code; None for no gate.

    Raises:
        Exit: with the gate's code, where that is not 0.
    """
    from sway_gguf.cli.baselines import baseline_output
    from sway_gguf.cli.github import announce
    from sway_gguf.cli.output import drawing
    from sway_gguf.core.result_json import to_json
    from sway_gguf.core.withheld import without_texts
    from sway_gguf.suite.prepare import prepare

    inputs = [*inputs, *inputs_of(spec), *filter(None, [wishes.quants])]
    files = wishes.outputs.checked(inputs, force=wishes.force)
    kept = baseline_output(wishes.save_baseline, inputs)
    traces = [Output(wishes.trace, "--trace", "result", inputs, wishes.force)] if wishes.trace else []
    check_outputs([*files.values(), *kept, *traces])
    spec = _shown(spec, wishes)
    if wishes.dry_run:
        prepared = prepare(spec).with_costs(wishes.quants)
        with drawing() as console:
            show_plan(prepared, console)
        return
    with wishes.store.opened() as store:
        prepared = prepare(spec).with_costs(wishes.quants)
        result = run_with_progress(prepared, wishes.budget, trace=wishes.trace, store=store)
    if wishes.no_texts:
        result = without_texts(result)
    decision = judge(result) if judge else None
    record = partial(to_json, result)
    texts = texts_of(files, result, decision) + [(output, record) for output in kept]
    deliver(texts, partial(_draw, result, decision), record)
    announce(result, decision)
    if decision:
        leave(decision)


def _draw(result: SuiteResult, decision: GateDecision | None, console: Console) -> None:
    from sway_gguf.report.gate import print_decision
    from sway_gguf.report.terminal import print_result

    print_result(result, console)
    if decision:
        print_decision(decision, console)


def _shown(spec: Spec, wishes: Wishes) -> Spec:
    """`spec` with as many replies as an output shows: a few in a page, none where texts are left out."""
    from sway_gguf.spec.options import changed

    if wishes.no_texts:
        shown: int | None = 0
    else:
        shown = _SHOWN if spec.defaults.show is None and "html" in wishes.outputs.paths else None
    return spec.model_copy(update={"defaults": changed(spec.defaults, {"show": shown}, "--no-texts")})


def leave(decision: GateDecision) -> None:
    """End the command with the decision's exit code; what does not decide is said on stderr too, where logs show it.

    Raises:
        Exit: with its code, where that is not 0.
    """
    from sway_gguf.core.gate import Outcome
    from sway_gguf.report.gate import sentence

    if decision.outcome == Outcome.INCONCLUSIVE:
        say(f"sway-gguf: gate INCONCLUSIVE: {sentence(decision)}", err=True)
    if decision.exit_code:
        raise click.exceptions.Exit(decision.exit_code)


def run_with_progress(
    prepared: Prepared,
    budget: float | None = None,
    progress: Progress = progress_bar,
    trace: Path | None = None,
    store: AnswerStore | None = None,
) -> SuiteResult:
    """Load the model and run the suite.

    Args:
        prepared: the suite.
        budget: seconds to keep to, where a time is given.
        progress: shows how far it is.
        trace: where to write how long each batch took.
        store: of answers; without one everything is asked.
    """
    from sway_gguf.suite.budget import fitted
    from sway_gguf.suite.run import run
    from sway_gguf.suite.watched import run_watched

    if not prepared.needs_model:
        return run(prepared, None)
    started = time.perf_counter()
    with prepared.opened(store) as backend:
        if budget is not None:
            prepared = fitted(prepared, backend, budget, started)
        with tracing(trace, backend.trace):
            return run_watched(prepared, backend, partial(watching, prepared, progress))


@contextmanager
def watching(prepared: Prepared, progress: Progress, least: int, most: int) -> Iterator[OnProgress]:
    """Show how far a run of `least` tokens, or of the `most` that it may go on to, is; a long one says so first."""
    with progress(least, most, opening=opening_line(prepared, least)) as advance:
        yield lambda view, tokens: advance(str(view), tokens)


def opening_line(prepared: Prepared, tokens: int) -> str:
    """What is said before a run that will take a while; "" where nothing is known, or it is short."""
    from sway_gguf.report.plan import time_line
    from sway_gguf.suite.speeds import known_speed

    if prepared.spec.models.endpoint is not None:
        return ""
    speed = known_speed(prepared.base, prepared.engine)
    if speed is None or tokens / speed.rate < _A_WHILE:
        return ""
    return f"{tokens:,} tokens to evaluate. {time_line(tokens, speed)}"


def show_plan(prepared: Prepared, console: Console) -> None:
    """What a run would do: files, probes, views, tokens. Reads the tokenizer, loads no weights."""
    from sway_gguf.report.plan import print_plan
    from sway_gguf.suite.planned import planned

    print_plan(planned(prepared), console)
