"""`sway-gguf check`: the verdict without a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sway_gguf.cli.common import FILE, FILES, engine_options, execute, format_options, overridden, run_options
from sway_gguf.cli.output import say


@click.command(
    short_help="Test an adapter on a base, without a spec.",
    epilog="Example:  sway-gguf check base.Q4_K_M.gguf adapter.gguf --data train.md --general notes.txt",
)
@click.argument("base", type=FILE)
@click.argument("adapter", type=FILE)
@click.option("--data", **FILES, help="What the adapter was trained on: .jsonl, .json, .parquet, .md, .txt and more.")
@click.option("--holdout", **FILES, help="Text like it that was kept out of training: learned, or by heart?")
@click.option("--general", **FILES, help="Unrelated text that must not suffer (default: packaged prose).")
@format_options
@run_options
@engine_options
def check(
    base: Path,
    adapter: Path,
    data: tuple[Path, ...],
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
    json_path: str | None,
    dry_run: bool,
    budget: float | None,
    force: bool,
    no_texts: bool,
    trace_path: Path | None,
    **overrides: Any,
) -> None:
    """Test the LoRA GGUF ADAPTER on the base model BASE.

    Without --data it answers whether the adapter is applied, whether its effect is more than noise, and
    whether unrelated text suffers. With --data it also answers whether the model moved toward that material.
    """
    from sway_gguf.suite.prepare import default_spec

    spec = default_spec(base, adapter, data=data, holdout=holdout, general=general)
    spec = overridden(spec, **overrides)
    execute(
        spec,
        json_path=json_path,
        dry_run=dry_run,
        budget=budget,
        force=force,
        no_texts=no_texts,
        trace_path=trace_path,
    )
    if not data and json_path != "-" and not dry_run:
        say(
            "\nWith --data FILE (.jsonl, .md, .txt and more) it also tells whether the model moved toward what it "
            "was trained on, and prompts come from that text."
        )
