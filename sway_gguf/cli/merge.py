"""`sway-gguf merge`: base and adapter as one GGUF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sway_gguf.cli.common import FILE
from sway_gguf.cli.finite import Finite
from sway_gguf.cli.loras import adapters_of, lora_options
from sway_gguf.cli.output import say
from sway_gguf.cli.saving import Output, check_outputs, write_whole

if TYPE_CHECKING:
    from sway_gguf.core.loras import Loras


@click.command(
    epilog="Example:  sway-gguf merge base.gguf adapter.gguf --type Q4_K_M -o merged.Q4_K_M.gguf",
)
@click.argument("base", type=FILE)
@click.argument("adapter", type=FILE, required=False)
@lora_options
@click.option("--scale", type=Finite(), default=1.0, show_default=True, help="λ, as llama.cpp's --lora-scaled.")
@click.option(
    "--type",
    "kind",
    help="F32, F16, BF16, Q8_0, Q6_K, Q4_K_M, …  [default: F16; Q8_0 on a base of less than 8 bits]",
)
@click.option(
    "--template", type=FILE, help="Chat template in place of the base's: a .jinja file, or a PEFT folder that has one."
)
@click.option("--imatrix", type=FILE, help="Importance matrix of BASE by llama-imatrix, to quantize by.")
@click.option(
    "--modelfile", type=FILE, help="Also write a Modelfile for Ollama, its TEMPLATE in Ollama's own language."
)
@click.option("-t", "--threads", type=click.IntRange(1), help="CPU threads for quantizing.")
@click.option("-o", "--output", type=FILE, required=True, help="Where to write the merged GGUF.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def merge(
    base: Path,
    adapter: Path | None,
    loras: Loras,
    scale: float,
    kind: str | None,
    template: Path | None,
    imatrix: Path | None,
    modelfile: Path | None,
    threads: int | None,
    output: Path,
    force: bool,
) -> None:
    """Write BASE with ADAPTER merged in, in any type; metadata and tokenizer are kept.

    Weights are read as floats, the update is added, and llama.cpp quantizes the result; one tensor is in memory at a
    time. ADAPTER is a LoRA GGUF, a folder by PEFT or MLX, or one that a trainer wrote to; with --lora and
    --lora-scaled all adapters of a set are merged in, each at its scale. BASE may be quantized itself, if a file of
    floats cannot be had.

    --modelfile writes a TEMPLATE where the merged file's chat template writes the same text as a known family's
    (chatml, llama3, gemma, mistral, phi, alpaca, plain); else it says so and leaves it to Ollama.
    """
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.artifacts.lora import check_finite
    from sway_gguf.artifacts.stack import read_stack
    from sway_gguf.artifacts.template_files import template_source
    from sway_gguf.deploy.merge import default_type
    from sway_gguf.deploy.merge import merge as merge_files
    from sway_gguf.deploy.modelfile import modelfile_of
    from sway_gguf.report import numbers

    model, given = read_base(base), adapters_of(adapter, loras)
    inputs = [*model.shards, *(each.path for each in given)] + [path for path in (template, imatrix) if path]
    outputs = [Output(output, "-o", "model", inputs, force)]
    if modelfile:
        outputs.append(Output(modelfile, "--modelfile", "items", inputs, force))
    check_outputs(outputs)
    source = template_source(template) if template else None
    stack = read_stack([each.lora for each in given], model)
    for each in stack.adapters:
        check_finite(each, "merging it would break the base")
        if each.said:
            say(each.said, err=True)
    found = stack.as_one()
    chosen = kind or default_type(model)
    merge_files(
        base,
        found,
        output,
        kind=chosen,
        scale=scale,
        threads=threads or 0,
        template=source,
        importance=imatrix,
        say=lambda text: say(text, err=True),
    )
    said = [chosen if kind else f"{chosen} (--type gives another)", numbers.size(output.stat().st_size), f"λ {scale:g}"]
    say(f"{output}: {', '.join(said + ([f'chat template of {template}'] if template else []))}")
    if modelfile:
        in_file = found.path if found.in_file and scale == 1.0 else None
        text, told = modelfile_of(output, modelfile, base, in_file)
        write_whole(modelfile, text)
        say(f"{modelfile}: {told}")
