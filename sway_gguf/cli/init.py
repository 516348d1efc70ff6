"""`sway-gguf init`: a spec from the user's own training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sway_gguf.cli.common import FILE, FILES, format_options
from sway_gguf.cli.inputs import text_inputs
from sway_gguf.cli.output import say
from sway_gguf.cli.pasted import pasted
from sway_gguf.cli.saving import Output, check_outputs, write_whole


@click.command(
    epilog="Example:  sway-gguf init base.gguf adapter.gguf --data train.jsonl -o sway.yaml",
)
@click.argument("base", type=FILE)
@click.argument("adapter", type=FILE)
@click.option(
    "--data",
    **FILES,
    required=True,
    help="What the adapter was trained on: .jsonl, .json, .csv, .parquet, .md, .txt and more.",
)
@click.option(
    "--holdout", **FILES, help="Text like it that was kept out of training (default: test.jsonl and the like)."
)
@click.option("--general", **FILES, help="Text that the adapter should leave alone.")
@format_options
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the pick.")
@click.option("-o", "--output", type=FILE, default=Path("sway.yaml"), show_default=True, help="The spec to write.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def init(
    base: Path,
    adapter: Path,
    data: tuple[Path, ...],
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
    seed: int,
    output: Path,
    force: bool,
    format: str | None,
    chat_template_kwargs: dict[str, Any] | None,
) -> None:
    """Write a commented sway.yaml for BASE and ADAPTER from training data, with the items that it picked beside it."""
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.look.init import Spoken, held_out, init_files, written_by_init
    from sway_gguf.spec.model import FORMATS

    texts = text_inputs(data, holdout or held_out(data, output), general)
    template = [] if format is None or format in FORMATS else [Path(format)]
    inputs = [*read_base(base).shards, adapter, *texts, *template]
    suite = Output(output, "-o", "suite", inputs, force)
    suite.check()
    spoken = Spoken(format, chat_template_kwargs or {})
    files = init_files(base, adapter, data, output, holdout=holdout or None, general=general, seed=seed, spoken=spoken)
    ours, beside = written_by_init(output), [path for path in files if path != output]
    check_outputs([suite, *(Output(path, "-o", "items", inputs, force, proposes_force=ours) for path in beside)])
    write_whole(output, files.pop(output), files.items())
    say(f"{output}: next, {pasted('run', str(output))}")
