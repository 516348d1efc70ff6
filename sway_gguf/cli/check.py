"""`sway-gguf check`: the verdict without a spec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, FILES, engine_options, format_options, overridden, rpc_option, server_option
from sway_gguf.cli.loras import Owned, adapters_of, data_of_option, lora_options
from sway_gguf.cli.output import say
from sway_gguf.cli.running import execute
from sway_gguf.cli.wishes import Wishes, exit_code_option, run_options

if TYPE_CHECKING:
    from sway_gguf.core.loras import Loras
    from sway_gguf.suite.gate import GateOnRun


@click.command(
    epilog="Example:  sway-gguf check base.Q4_K_M.gguf adapter.gguf --data train.md --general notes.txt",
)
@click.argument("base", type=FILE)
@click.argument("adapter", type=FILE, required=False)
@lora_options
@click.option(
    "--data", **FILES, help="What the adapter was trained on: .jsonl, .json, .csv, .parquet, .md, .txt and more."
)
@data_of_option
@click.option("--holdout", **FILES, help="Text like it that was kept out of training: learned, or by heart?")
@click.option("--general", **FILES, help="Unrelated text that must not suffer (default: packaged prose).")
@click.option(
    "--scales",
    metavar="FROM..TO",
    help="Show how lift and damage go with the adapter's scale, as in 0.25..1.25 (steps of 0.25) or 0.5,0.8,1.",
)
@format_options
@run_options
@exit_code_option
@server_option
@engine_options
@rpc_option
def check(
    base: Path,
    adapter: Path | None,
    loras: Loras,
    data: tuple[Path, ...],
    data_of: Owned,
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
    scales: str | None,
    wishes: Wishes,
    exit_code: bool,
    **overrides: Any,
) -> None:
    """Test the LoRA GGUF ADAPTER on the base model BASE, or a set of adapters that run together.

    Without --data it answers whether the adapter is applied, whether its effect is more than noise, and
    whether unrelated text suffers. With --data it also answers whether the model moved toward that material.

    With --lora and --lora-scaled the whole set is judged; beside it stands what each adapter does alone, and what one
    does to the other's skill.
    """
    from sway_gguf.core.scales import scales_of
    from sway_gguf.suite.prepare import first_spec

    adapters = adapters_of(adapter, loras, data_of)
    spec = first_spec(base, adapters, data=data, holdout=holdout, general=general)
    if scales is not None:
        shown = {"name": "scale_response", "kind": "scale_response", "lambdas": list(scales_of(scales))}
        spec = spec.model_copy(update={"suite": [*spec.suite, shown]})
    execute(overridden(spec, **overrides), wishes, judge=_gate() if exit_code else None)
    if not spec.data and not wishes.silent:
        say(
            "\nWith --data FILE (.jsonl, .md, .txt and more) it also tells whether the model moved toward what it "
            "was trained on, and prompts come from that text."
        )


def _gate() -> GateOnRun:
    from sway_gguf.core.gate import GateRules
    from sway_gguf.suite.gate import GateOnRun

    return GateOnRun(GateRules())
