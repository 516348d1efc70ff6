"""`sway-gguf run` and `sway-gguf schema`: the suite of a spec, and the shape of its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, engine_options, format_options, overridden, rpc_option, server_option
from sway_gguf.cli.loras import lora_options, with_loras
from sway_gguf.cli.output import say_json
from sway_gguf.cli.running import execute
from sway_gguf.cli.wishes import Wishes, exit_code_option, run_options
from sway_gguf.core.plain import json_text

if TYPE_CHECKING:
    from sway_gguf.core.loras import Loras


@click.command(epilog="Example:  sway-gguf run sway.yaml --json result.json --nulls 39")
@click.argument("spec_path", metavar="SWAY.YAML", type=FILE)
@lora_options
@format_options
@run_options
@exit_code_option
@server_option
@engine_options
@rpc_option
def run(spec_path: Path, loras: Loras, wishes: Wishes, exit_code: bool, **overrides: Any) -> None:
    """Run the suite that SWAY.YAML describes and report on it.

    Flags take the place of what the file says.
    """
    from sway_gguf.spec.gate import rules_of
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.gate import GateOnRun

    spec = overridden(with_loras(load_spec(spec_path, server=True), loras), **overrides)
    rules = rules_of(spec.gate, spec.suite)  # A wrong name in `gate:` is told whether or not it decides.
    before = spec.gate.baseline
    judge = GateOnRun(rules, before) if exit_code else None
    execute(spec, wishes, inputs=[spec_path, *([before] if before else [])], judge=judge)


@click.command(epilog="Example:  sway-gguf schema > result.schema.json")
def schema() -> None:
    """Print the JSON Schema of the result that --json writes."""
    from sway_gguf.core.result_json import schema as result_schema

    say_json(json_text(result_schema(), indent=1) + "\n")
