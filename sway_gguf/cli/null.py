"""`sway-gguf null`: a null adapter as a file, for use in any tool."""

from __future__ import annotations

from pathlib import Path

import click

from sway_gguf.cli.common import FILE
from sway_gguf.cli.finite import Finite
from sway_gguf.cli.output import say
from sway_gguf.cli.saving import Output
from sway_gguf.core.views import DEFAULT_INIT_SCALE, DESIGNS, ENERGIES, Design, Energy


@click.command(epilog="Example:  sway-gguf null base.gguf adapter.gguf --seed 7 -o null-7.gguf")
@click.argument("base", type=FILE)
@click.argument("adapter", type=FILE)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the random draw.")
@click.option("--design", type=click.Choice(DESIGNS), default="rotation", show_default=True, help="How to draw it.")
@click.option(
    "--rank-scale",
    type=Finite(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Rank relative to the adapter's.",
)
@click.option(
    "--init-scale",
    type=Finite(0, min_open=True),
    default=DEFAULT_INIT_SCALE,
    show_default=True,
    help="Standard deviation of both factors; gaussian only.",
)
@click.option(
    "--energy",
    type=click.Choice(ENERGIES),
    default="rank",
    show_default=True,
    help="How the size follows --rank-scale: as an update of that rank has it, or as the original's (its square).",
)
@click.option("-o", "--output", type=FILE, required=True, help="Where to write the LoRA GGUF.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def null(
    base: Path,
    adapter: Path,
    seed: int,
    design: Design,
    rank_scale: float,
    init_scale: float,
    energy: Energy,
    output: Path,
    force: bool,
) -> None:
    """Write a null adapter: a random one of the same shape, and but for gaussian of the same size, as ADAPTER."""
    from sway_gguf.artifacts.adapter import read_adapter
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.artifacts.lora import check_finite
    from sway_gguf.artifacts.lora_write import write_lora
    from sway_gguf.artifacts.null import null_adapter
    from sway_gguf.core.errors import UserError
    from sway_gguf.core.views import NullDesign

    model = read_base(base)
    Output(output, "-o", "model", [*model.shards, adapter], force).check()
    real = read_adapter(adapter, model)
    if real.said:
        say(real.said, err=True)
    check_finite(real, "no null of its size exists")
    drawn = null_adapter(real, seed, NullDesign(design, rank_scale, init_scale, energy))
    check_finite(drawn, "its numbers are beyond float32; lower --rank-scale or --init-scale")
    try:
        write_lora(drawn, output)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error})") from error
    ranks = "/".join(map(str, drawn.ranks))
    say(f"{output}: {design} null of {adapter.name}, seed {seed}, rank {ranks}, alpha {drawn.alpha:g}")
