"""`sway-gguf quants`: does the effect survive in the file that ships?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, FILES, engine_options, force_option, format_options, overridden
from sway_gguf.cli.finite import Finite
from sway_gguf.cli.inputs import inputs_of
from sway_gguf.cli.output import say
from sway_gguf.cli.outputs import Outputs, deliver_in, output_options
from sway_gguf.cli.storing import StoreWish, store_options
from sway_gguf.core.plain import json_text

if TYPE_CHECKING:
    from sway_gguf.core.survival import SurvivalMatrix


@click.command(
    epilog="Example:  sway-gguf quants base.F16.gguf adapter.gguf --data train.md --types F16,Q8_0,Q4_K_M",
)
@click.argument("base", metavar="BASE|SWAY.YAML", type=FILE)
@click.argument("adapter", type=FILE, required=False)
@click.option("--data", **FILES, help="What the adapter was trained on; SWAY.YAML may name it.")
@click.option("--general", **FILES, help="Text that the adapter should leave alone.")
@click.option(
    "--types",
    help="Types of weights or GGUF files, the reference first.  [default: F16 and seven quantized ones]",
)
@click.option("--imatrix", type=FILE, help="Importance matrix of BASE by llama-imatrix, to quantize by.")
@click.option("--min-retained", type=Finite(0, 1), default=0.9, show_default=True, help="Of the effect.")
@click.option("--tolerance", type=Finite(max=0), default=-0.15, show_default=True, help="On general text.")
@click.option("--work", type=FILE, default=Path(".sway-quants"), show_default=True, help="Folder to work in.")
@output_options("json", "html", "svg")
@format_options
@force_option
@store_options
@engine_options
def quants(
    base: Path,
    adapter: Path | None,
    data: tuple[Path, ...],
    general: tuple[Path, ...],
    types: str | None,
    imatrix: Path | None,
    min_retained: float,
    tolerance: float,
    work: Path,
    outputs: Outputs,
    force: bool,
    store: StoreWish,
    **overrides: Any,
) -> None:
    """Try ADAPTER on BASE in many types of weights, at run time and merged in, and say what is kept of its effect.

    Give the two files, or a SWAY.YAML that names them. BASE should be of floats (F16, BF16 or F32); one that is
    quantized is the reference itself, and the other files are made from its dequantized weights. Files are made one by
    one by llama.cpp's quantizer, with --imatrix weighed by an importance matrix, measured in a process of their own,
    and removed; an interrupted run goes on where it stopped.
    """
    from functools import partial

    from sway_gguf.core.errors import UserError
    from sway_gguf.deploy.quants import DEFAULT_TYPES, survival
    from sway_gguf.deploy.workshop import is_file
    from sway_gguf.material.files import as_named
    from sway_gguf.report.html import html_matrix
    from sway_gguf.report.plot import survival_svg
    from sway_gguf.report.survival import print_matrix
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.prepare import default_spec, prepare

    if adapter is not None:
        spec = default_spec(base, adapter, data=data, general=general)
    elif base.suffix.lower() in (".yaml", ".yml"):
        spec = load_spec(base)
        given = {"data": as_named(data) or spec.data, "general": as_named(general) or spec.general}
        spec = spec.model_copy(update=given)
    else:
        raise UserError(f"{base}: name the adapter as well, or give a sway.yaml that names both")
    spec = overridden(spec, seed=None, nulls=None, **overrides)
    chosen = [kind.strip() for kind in types.split(",") if kind.strip()] if types else DEFAULT_TYPES
    inputs = [base, *inputs_of(spec), *(Path(kind) for kind in chosen if is_file(kind))]
    inputs += [imatrix] if imatrix else []
    files = outputs.checked(inputs, force=force)
    with store.opened() as answers:
        matrix = survival(
            prepare(spec),
            work,
            answers,
            types=chosen,
            wanted=min_retained,
            tolerance=tolerance,
            importance=imatrix,
            say=lambda text: say(text, err=True),
        )
    drawn = {
        "json": partial(_record, matrix),
        "html": partial(html_matrix, matrix),
        "svg": partial(survival_svg, matrix),
    }
    deliver_in(files, drawn, partial(print_matrix, matrix))


def _record(matrix: SurvivalMatrix) -> str:
    from dataclasses import asdict

    return json_text(asdict(matrix), indent=1) + "\n"
