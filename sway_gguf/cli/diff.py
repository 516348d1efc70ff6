"""`sway-gguf diff`: two adapters of one base, each against noise and one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, FILES, engine_options, force_option, format_options, overridden
from sway_gguf.cli.inputs import inputs_of
from sway_gguf.cli.loras import lora_options
from sway_gguf.cli.outputs import Outputs, deliver_in, output_options
from sway_gguf.cli.progress import progress_bar
from sway_gguf.cli.storing import StoreWish, store_options
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from sway_gguf.choose.diff import Diff
    from sway_gguf.core.loras import Lora, Loras
    from sway_gguf.engine.store import AnswerStore
    from sway_gguf.spec.model import Spec
    from sway_gguf.suite.prepare import Prepared


@click.command(
    epilog="Example:  sway-gguf diff base.gguf a.gguf b.gguf --data train.md",
)
@click.argument("files", metavar="BASE|SWAY.YAML [ADAPTER_A] ADAPTER_B", type=FILE, nargs=-1)
@lora_options
@click.option(
    "--data", **FILES, help="What the adapters were trained on: .jsonl, .json, .csv, .parquet, .md, .txt and more."
)
@click.option("--holdout", **FILES, help="Text like it that was kept out of training: learned, or by heart?")
@click.option("--general", **FILES, help="Unrelated text that must not suffer (default: packaged prose).")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where B is worse than A somewhere.")
@format_options
@output_options("json", "html", "md")
@force_option
@click.option("--seed", type=click.IntRange(0), help="Seed of everything random (default 0).")
@click.option("--nulls", type=click.IntRange(0, 999), help="Null adapters to compare each with (default 19).")
@store_options
@engine_options
def diff(
    files: tuple[Path, ...],
    loras: Loras,
    data: tuple[Path, ...],
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
    exit_code: bool,
    outputs: Outputs,
    force: bool,
    store: StoreWish,
    **overrides: Any,
) -> None:
    """Test ADAPTER_A and ADAPTER_B on the base model BASE, and tell what changed from A to B.

    With SWAY.YAML in place of BASE and ADAPTER_A, its suite is run, and A is its adapter. The base is loaded and asked
    once. With --lora and --lora-scaled B is a set of adapters that run together, and takes the place of ADAPTER_B. Each
    side gets a verdict against nulls of its own; A and B are paired by what was asked, as `compare` does.
    """
    from sway_gguf.report.changes import markdown_changes
    from sway_gguf.report.html import html_comparison
    from sway_gguf.suite.prepare import prepare

    spec, other = _asked(files, loras, data, holdout, general)
    spec = overridden(spec, **overrides)
    written = outputs.checked([*files, *inputs_of(spec), *(each.path for each in other)], force=force)
    with store.opened() as answers:
        first = prepare(spec)
        found = _run(first, first.with_loras(other), answers)
    changes = found.comparison
    drawn = {
        "json": partial(_record, found),
        "html": partial(html_comparison, changes),
        "md": partial(markdown_changes, [changes]),
    }
    deliver_in(written, drawn, partial(_draw, found))
    if exit_code and changes.regressed:
        raise click.exceptions.Exit(1)


def _asked(
    files: tuple[Path, ...],
    loras: Loras,
    data: tuple[Path, ...],
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
) -> tuple[Spec, Sequence[Lora]]:
    """What to run with A, and B.

    Raises:
        UserError: neither a base and two sides nor a spec and one.
    """
    from sway_gguf.core.loras import Lora
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.prepare import first_spec

    *sides, last = files or (Path(),)
    named, other = (files, loras) if loras else (sides, [Lora(last)])
    if len(named) == 2:
        return first_spec(named[0], named[1], data=data, holdout=holdout, general=general), other
    if len(named) != 1 or named[0].suffix.lower() == ".gguf":
        raise UserError(
            "give a base and two adapters, or a spec and the adapter to compare its own with; --lora and --lora-scaled "
            "stand for the second one"
        )
    for option, given in (("--data", data), ("--holdout", holdout), ("--general", general)):
        if given:
            raise UserError(f"{option}: the spec {files[0]} names its texts; change it there, or give a base instead")
    return load_spec(files[0]), other


def _run(first: Prepared, second: Prepared, store: AnswerStore) -> Diff:
    from sway_gguf.choose.diff import diff as run_both
    from sway_gguf.choose.diff import tokens

    if not (first.needs_model or second.needs_model):
        return run_both(first, second, None)
    with first.opened(store) as backend, progress_bar(tokens(first, second, backend)) as advance:
        return run_both(first, second, backend, lambda view, count: advance(str(view), count))


def _draw(found: Diff, console: Console) -> None:
    from sway_gguf.report.changes import print_changes
    from sway_gguf.report.terminal import print_verdict

    for result in (found.old, found.new):
        print_verdict(result, console)
        console.print()
    print_changes([found.comparison], console)


def _record(found: Diff) -> str:
    from sway_gguf.cli.compare import json_of
    from sway_gguf.core.result_json import record_of

    return json_of([found.comparison], results=[record_of(found.old), record_of(found.new)])
