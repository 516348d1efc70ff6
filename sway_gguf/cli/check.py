"""`sway-gguf check`: the verdict without a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sway_gguf.cli.common import FILE, FILES, engine_options, format_options, overridden
from sway_gguf.cli.output import say
from sway_gguf.cli.running import Wishes, execute, exit_code_option, run_options


@click.command(
    short_help="Test an adapter on a base, without a spec.",
    epilog="Example:  sway-gguf check base.Q4_K_M.gguf adapter.gguf --data train.md --general notes.txt",
)
@click.argument("base", type=FILE)
@click.argument("adapter", type=FILE)
@click.option("--data", **FILES, help="What the adapter was trained on: .jsonl, .json, .parquet, .md, .txt and more.")
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
@engine_options
def check(
    base: Path,
    adapter: Path,
    data: tuple[Path, ...],
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
    scales: str | None,
    wishes: Wishes,
    exit_code: bool,
    **overrides: Any,
) -> None:
    """Test the LoRA GGUF ADAPTER on the base model BASE.

    Without --data it answers whether the adapter is applied, whether its effect is more than noise, and
    whether unrelated text suffers. With --data it also answers whether the model moved toward that material.
    """
    from sway_gguf.core.gate import GateRules
    from sway_gguf.core.scales import scales_of
    from sway_gguf.suite.gate import GateOnRun
    from sway_gguf.suite.prepare import first_spec

    spec = first_spec(base, adapter, data=data, holdout=holdout, general=general)
    if scales is not None:
        shown = {"name": "scale_response", "kind": "scale_response", "lambdas": list(scales_of(scales))}
        spec = spec.model_copy(update={"suite": [*spec.suite, shown]})
    execute(overridden(spec, **overrides), wishes, judge=GateOnRun(GateRules()) if exit_code else None)
    if not data and not wishes.silent:
        say(
            "\nWith --data FILE (.jsonl, .md, .txt and more) it also tells whether the model moved toward what it "
            "was trained on, and prompts come from that text."
        )
