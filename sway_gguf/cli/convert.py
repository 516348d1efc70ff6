"""`sway-gguf convert`: an adapter's folder as a LoRA GGUF."""

from __future__ import annotations

from pathlib import Path

import click

from sway_gguf.cli.common import FILE
from sway_gguf.cli.output import say
from sway_gguf.cli.saving import Output


@click.command(
    epilog="Example:  sway-gguf convert my-adapter/ --base base.gguf -o adapter.gguf",
)
@click.argument("peft_dir", metavar="PEFT_DIR", type=FILE)
@click.option("--base", type=FILE, required=True, help="The base GGUF that it was trained for.")
@click.option(
    "--type", "kind", type=click.Choice(["F32", "F16"]), default="F32", show_default=True, help="Of the factors."
)
@click.option("-o", "--output", type=FILE, required=True, help="Where to write the LoRA GGUF.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def convert(peft_dir: Path, base: Path, kind: str, output: Path, force: bool) -> None:
    """Write the LoRA of a folder (adapter_config.json and its weights, by PEFT or by MLX) as GGUF.

    rsLoRA and alpha patterns are folded in exactly; what a GGUF LoRA cannot say is refused with the way out. Of a
    folder that a trainer writes to, its adapter, its best checkpoint or its last one is taken, and which is told. Any
    other command takes the folder itself in place of a LoRA GGUF.
    """
    from dataclasses import replace

    from sway_gguf.artifacts.adapter import is_folder, read_adapter
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.artifacts.lora import check_finite
    from sway_gguf.artifacts.lora_write import write_lora
    from sway_gguf.core.errors import UserError

    if peft_dir.is_file():
        raise UserError(
            f"{peft_dir}: a file, and no folder by PEFT, MLX or a trainer; a LoRA GGUF is converted already"
        )
    if not is_folder(peft_dir):
        raise UserError(f"{peft_dir}: no adapter_config.json in it; give a folder by PEFT, MLX or a trainer")
    model = read_base(base)
    Output(output, "-o", "model", [*model.shards, peft_dir], force).check()
    adapter = read_adapter(peft_dir, model)
    check_finite(adapter, "nothing is written; take a checkpoint from before the training diverged")
    typed = replace(adapter, pairs=tuple(replace(pair, a_type=kind, b_type=kind) for pair in adapter.pairs))
    try:
        write_lora(typed, output)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error})") from error
    if adapter.said:
        say(adapter.said, err=True)
    ranks = "/".join(map(str, adapter.ranks))
    say(f"{output}: {len(adapter.pairs)} modules, rank {ranks}, alpha {adapter.alpha:g}, {kind}")
