"""`sway-gguf inspect`: what is in these files, and whether they fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE
from sway_gguf.cli.output import drawing, say_json
from sway_gguf.core.plain import json_text

if TYPE_CHECKING:
    from sway_gguf.artifacts.base import BaseModel
    from sway_gguf.artifacts.lora import LoraAdapter


@click.command(
    short_help="Show what is in the files, and whether they fit.",
    epilog="Example:  sway-gguf inspect base.gguf adapter.gguf",
)
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--peft", type=FILE, help="The PEFT folder that the adapters were made from: compare them with it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(files: tuple[Path, ...], peft: Path | None, as_json: bool) -> None:
    """Show what each of FILES holds; with a base among them, whether each adapter fits it.

    FILES are GGUF bases and adapters, or PEFT folders. With --peft, a wrong scale, missing modules and a wrong order of
    rows are named.
    """
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.artifacts.gguf_file import GGUFFile
    from sway_gguf.artifacts.likeness import differences
    from sway_gguf.artifacts.lora import mismatches, read_lora
    from sway_gguf.artifacts.peft import is_peft, read_peft
    from sway_gguf.core.errors import UserError
    from sway_gguf.report.inspection import print_card

    folders = [path for path in files if is_peft(path)]
    adapters = [read_lora(path) for path in files if path not in folders and GGUFFile(path).kind == "adapter"]
    known = [*folders, *(adapter.path for adapter in adapters)]
    bases = [read_base(path) for path in files if path not in known]
    if (folders or peft) and not bases:
        raise UserError(
            f"{folders[0] if folders else peft}: a PEFT folder is read for a base; name the base GGUF as well"
        )
    adapters += [read_peft(path, bases[0]) for path in folders]
    cards: list[dict[str, Any]] = [base_card(base) for base in bases]
    for adapter in adapters:
        card = adapter_card(adapter) | {"fits": {str(base.path): mismatches(adapter, base) for base in bases}}
        if peft:
            card["differences"] = {str(peft): differences(adapter, read_peft(peft, bases[0]), bases[0])}
        cards.append(card)
    if as_json:
        say_json(json_text(cards, indent=1, strict=False) + "\n")
        return
    with drawing() as console:
        for card in cards:
            print_card(card, console)


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
