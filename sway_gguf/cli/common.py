"""What commands share: options, and running a prepared suite under a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.inputs import inputs_of
from sway_gguf.cli.saving import Output, check_outputs, deliver, json_output, tracing

if TYPE_CHECKING:
    from rich.console import Console

    from sway_gguf.core.result import SuiteResult
    from sway_gguf.spec.model import Spec
    from sway_gguf.suite.prepare import Prepared

Command = Callable[..., Any]


class Seconds(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A duration such as 90, 60s, 5m or 1.5h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it."""
        text = str(value).strip().lower()
        unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
        try:
            seconds = float(text[:-1] if unit else text) * (unit or 1)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is no duration; write 60s, 5m or 1h", param, ctx)
        return seconds


class JsonObject(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A JSON object such as {"enable_thinking": false}."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Parse it.

        Raises:
            UserError: it is none.
        """
        from sway_gguf.core.errors import UserError
        from sway_gguf.core.json_text import parse_json

        if isinstance(value, dict):
            return value
        where, mend = "--chat-template-kwargs", "give an object such as '{\"enable_thinking\": false}'"
        found = parse_json(str(value), where, mend)
        if not isinstance(found, dict):
            raise UserError(f"{where}: a {type(found).__name__}; {mend}")
        return found


SECONDS = Seconds()
FILE = click.Path(path_type=Path)
FILES: dict[str, Any] = {"type": FILE, "multiple": True}
"""Of an option that names text: it may stand several times, and each may be a pattern or a saved dataset's folder."""
force_option = click.option("--force", is_flag=True, help="Replace a file that is no result of sway-gguf.")


def engine_options(command: Command) -> Command:
    """-t, -c, -b, -ngl under llama.cpp's own names."""
    for option in (
        click.option("-ngl", "--gpu-layers", type=click.IntRange(-1), help="Layers on the GPU, -1 for all."),
        click.option("-b", "--batch", "--batch-size", type=click.IntRange(16), help="Tokens per call of llama.cpp."),
        click.option(
            "-c",
            "--context",
            "--ctx-size",
            type=click.IntRange(16),
            help="Longest text in one piece, tokens.",
        ),
        click.option("-t", "--threads", type=click.IntRange(1), help="CPU threads."),
    ):
        command = option(command)
    return command


def format_options(command: Command) -> Command:
    """--format, and --chat-template-kwargs under llama.cpp's own name."""
    for option in (
        click.option(
            "--chat-template-kwargs",
            type=JsonObject(),
            metavar="JSON",
            help="Further variables of the chat template, such as '{\"enable_thinking\": false}'.",
        ),
        click.option(
            "--format",
            metavar="FORMAT",
            help="How dialogues become text: auto, chat (the base's own template), plain, alpaca, chatml, llama3, "
            "gemma, mistral, phi, or a .jinja file or PEFT folder with a template (default auto).",
        ),
    ):
        command = option(command)
    return command


def run_options(command: Command) -> Command:
    """--json, --force, --dry-run, --budget, --seed, --nulls, --show, --no-texts."""
    for option in (
        click.option(
            "--trace", "trace_path", type=FILE, metavar="FILE", help="Write how long each batch took, as it goes."
        ),
        click.option(
            "--no-texts",
            is_flag=True,
            help="Leave out of every output what was asked and what was replied; items keep their numbers.",
        ),
        click.option(
            "--show",
            type=click.IntRange(0, 32),
            metavar="N",
            help="Show so many short replies of base and tuned model, and where in as many texts the probability "
            "moved (default 0).",
        ),
        click.option("--dry-run", is_flag=True, help="Check everything and show the plan; load no weights."),
        click.option(
            "--budget", type=SECONDS, help="Keep to about so long (60s, 5m): items and nulls are cut, and told."
        ),
        click.option("--nulls", type=click.IntRange(0, 999), help="Null adapters to compare with (default 19)."),
        click.option("--seed", type=click.IntRange(0), help="Seed of everything random (default 0)."),
        force_option,
        click.option("--json", "json_path", metavar="PATH", help="Write the result as JSON; - for stdout alone."),
    ):
        command = option(command)
    return command


def overridden(
    spec: Spec,
    *,
    seed: int | None,
    nulls: int | None,
    threads: int | None,
    context: int | None,
    batch: int | None,
    gpu_layers: int | None,
    show: int | None = None,
    format: str | None = None,
    chat_template_kwargs: dict[str, Any] | None = None,
) -> Spec:
    """`spec` with what was given on the command line in place of its own values.

    Raises:
        UserError: a value outside the bounds that a spec has.
    """
    from sway_gguf.spec.options import changed

    engine = {"threads": threads, "context": context, "batch": batch, "gpu_layers": gpu_layers}
    defaults = {"seed": seed, "nulls": nulls, "show": show}
    return in_format(spec, format, chat_template_kwargs).model_copy(
        update={
            "defaults": changed(spec.defaults, defaults, "the command line"),
            "engine": changed(spec.engine, engine, "the command line"),
        }
    )


def in_format(spec: Spec, format: str | None, chat_template_kwargs: dict[str, Any] | None) -> Spec:
    """`spec` with a format and further variables of its template, where they are given.

    Raises:
        UserError: variables that a template takes from the dialogue.
    """
    from sway_gguf.spec.options import changed

    settings = {**spec.template_kwargs, **chat_template_kwargs} if chat_template_kwargs is not None else None
    return changed(spec, {"format": format, "template_kwargs": settings}, "the command line")


def execute(
    spec: Spec,
    *,
    json_path: str | None,
    dry_run: bool,
    budget: float | None,
    force: bool,
    no_texts: bool = False,
    trace_path: Path | None = None,
    inputs: Sequence[Path] = (),
) -> None:
    """Run a spec, or show its plan; report on the terminal and, if asked, as JSON.

    Args:
        spec: what to run.
        json_path: where to write the result.
        dry_run: show the plan alone.
        budget: seconds.
        force: replace a file that is no result.
        no_texts: leave what was asked and replied out of every output.
        trace_path: where to write how long each batch took.
        inputs: further files that no output may replace, such as the spec's own.
    """
    from sway_gguf.cli.output import drawing
    from sway_gguf.core.result_json import to_json
    from sway_gguf.core.withheld import without_texts
    from sway_gguf.report.terminal import print_result
    from sway_gguf.suite.prepare import prepare

    protected = [*inputs, *inputs_of(spec)]
    outputs = json_output(json_path, protected, force=force)
    if trace_path:
        check_outputs([*outputs, Output(trace_path, "--trace", "result", protected, force)])
    prepared = prepare(_unshown(spec) if no_texts else spec)
    if dry_run:
        with drawing() as console:
            show_plan(prepared, console)
        return
    result = run_with_progress(prepared, budget, trace_path)
    if no_texts:
        result = without_texts(result)
    text = partial(to_json, result)
    deliver([(output, text) for output in outputs], partial(print_result, result), text)


def _unshown(spec: Spec) -> Spec:
    """`spec` without replies that no output would show."""
    from sway_gguf.spec.options import changed

    return spec.model_copy(update={"defaults": changed(spec.defaults, {"show": 0}, "--no-texts")})


def run_with_progress(prepared: Prepared, budget: float | None = None, trace_path: Path | None = None) -> SuiteResult:
    """Load the model, run the suite within a budget of seconds where one is given, and show progress on stderr."""
    from sway_gguf.cli.progress import progress_bar
    from sway_gguf.engine.llama_backend import LlamaBackend
    from sway_gguf.suite.budget import fitted
    from sway_gguf.suite.run import plan, run

    if not prepared.needs_model:
        return run(prepared, None)
    started = time.perf_counter()
    with LlamaBackend(prepared.base.path, prepared.adapter.path, prepared.engine) as backend:
        if budget is not None:
            prepared = fitted(prepared, backend, budget, started)
        work = plan(prepared)
        with (
            tracing(trace_path, backend.trace),
            progress_bar(sum(work.tokens(backend.count_tokens).values())) as advance,
        ):
            return run(prepared, backend, lambda view, tokens: advance(str(view), tokens), work=work)


def show_plan(prepared: Prepared, console: Console) -> None:
    """What a run would do: files, probes, views, tokens. Reads the tokenizer, loads no weights."""
    from rich.table import Table

    from sway_gguf.engine.counting import counter
    from sway_gguf.report import numbers
    from sway_gguf.suite.run import plan

    work = plan(prepared)
    with counter(prepared.base.path, prepared.engine, prepared.base.context_length) as count:
        tokens = work.tokens(count)
        costs = [work.cost(place, count) for place in range(len(prepared.probes))]
        shown = work.shown_cost(count)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("probe")
    table.add_column("axis")
    table.add_column("queries", justify="right")
    table.add_column("tokens", justify="right")
    table.add_column("", overflow="fold")
    for probe, cost in zip(prepared.probes, costs, strict=True):
        table.add_row(probe.options.name, probe.axis, str(len(set(probe.ask()))), numbers.count(cost))
    if work.shown:
        table.add_row("replies shown", "–", str(len(work.shown)), numbers.count(shown))
    for skipped in prepared.skipped:
        table.add_row(skipped.name, skipped.axis, "–", "–", f"skipped: {skipped.reason}", style="dim")
    named = {"base": prepared.base.path, "adapter": prepared.adapter.path, "format": prepared.texts.speech.name}
    console.print("\n".join(f"{role:8} {name}" for role, name in named.items()) + "\n")
    console.print(table)
    views = ", ".join(f"{name} {numbers.count(amount)}" for name, amount in tokens.items())
    console.print(
        f"\n{len(work.visits)} views, {work.queries} distinct queries, "
        f"{numbers.count(sum(tokens.values()))} tokens to evaluate ({views}); replies may end sooner."
    )
    for remark in (*prepared.spec.remarks, *prepared.left_out):
        console.print(remark, markup=False)
