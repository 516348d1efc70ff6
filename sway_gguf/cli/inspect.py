"""`sway-gguf inspect`: what is in these files, and whether they fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE

if TYPE_CHECKING:
    from sway_gguf.artifacts.base import BaseModel
    from sway_gguf.artifacts.lora import LoraAdapter


@click.command(epilog="Example:  sway-gguf inspect base.gguf adapter.gguf")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(files: tuple[Path, ...], as_json: bool) -> None:
    """Show what each GGUF of FILES holds; with a base among them, whether each adapter fits it."""
    import json

    from rich.console import Console

    from sway_gguf.artifacts.base import read_base
    from sway_gguf.artifacts.gguf_file import GGUFFile
    from sway_gguf.artifacts.lora import mismatches, read_lora
    from sway_gguf.report.inspection import print_card

    bases: list[BaseModel] = []
    adapters: list[LoraAdapter] = []
    for path in files:
        if GGUFFile(path).kind == "adapter":
            adapters.append(read_lora(path))
        else:
            bases.append(read_base(path))
    cards: list[dict[str, Any]] = [base_card(base) for base in bases]
    for adapter in adapters:
        fit = {str(base.path): mismatches(adapter, base) for base in bases}
        cards.append(adapter_card(adapter) | {"fits": fit})
    if as_json:
        click.echo(json.dumps(cards, indent=1))
        return
    for card in cards:
        print_card(card, Console())


def base_card(base: BaseModel) -> dict[str, Any]:
    """A base as a record for the report."""
    return {
        "role": "base",
        "path": str(base.path),
        "name": base.name,
        "architecture": base.architecture,
        "parameters": base.parameters,
        "tensor_bytes": base.size,
        "types": base.types,
        "vocabulary": base.vocabulary,
        "context_length": base.context_length,
        "license": base.license,
    }


def adapter_card(adapter: LoraAdapter) -> dict[str, Any]:
    """An adapter as a record for the report."""
    return {
        "role": "adapter",
        "path": str(adapter.path),
        "architecture": adapter.architecture,
        "base_name": adapter.base_name,
        "alpha": adapter.alpha,
        "ranks": list(adapter.ranks),
        "types": sorted({kind for pair in adapter.pairs for kind in (pair.a_type, pair.b_type)}),
        "skipped": list(adapter.skipped),
        "modules": [
            {
                "module": pair.module,
                "shape": list(pair.shape),
                "rank": pair.rank,
                "update_norm": adapter.update_norm(pair) if pair.finite else None,
            }
            for pair in adapter.pairs
        ],
    }
