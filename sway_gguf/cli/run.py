"""`sway-gguf run` and `sway-gguf schema`: the suite of a spec, and the shape of its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sway_gguf.cli.common import FILE, engine_options, execute, format_options, overridden, run_options
from sway_gguf.cli.output import say_json
from sway_gguf.core.plain import json_text


@click.command(
    short_help="Run the suite of a spec.", epilog="Example:  sway-gguf run sway.yaml --json result.json --nulls 39"
)
@click.argument("spec_path", metavar="SWAY.YAML", type=FILE)
@format_options
@run_options
@engine_options
def run(
    spec_path: Path,
    json_path: str | None,
    dry_run: bool,
    budget: float | None,
    force: bool,
    no_texts: bool,
    trace_path: Path | None,
    **overrides: Any,
) -> None:
    """Run the suite that SWAY.YAML describes and report on it.

    Flags take the place of what the file says.
    """
    from sway_gguf.spec.model import load_spec

    spec = overridden(load_spec(spec_path), **overrides)
    execute(
        spec,
        json_path=json_path,
        dry_run=dry_run,
        budget=budget,
        force=force,
        no_texts=no_texts,
        trace_path=trace_path,
        inputs=[spec_path],
    )


@click.command(epilog="Example:  sway-gguf schema > result.schema.json")
def schema() -> None:
    """Print the JSON Schema of the result that --json writes."""
    from sway_gguf.core.result_json import schema as result_schema

    say_json(json_text(result_schema(), indent=1) + "\n")
