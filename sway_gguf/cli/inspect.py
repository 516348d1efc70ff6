"""`sway-gguf inspect`: what is in these files, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
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

    FILES are GGUF bases and adapters, or PEFT folders. What fits by its header is loaded by llama.cpp, in a process of
    its own. By family (attention, MLP, experts, embeddings, lm_head, vision) it is shown which of the trained modules
    stand in the adapter. With --peft, a wrong scale, missing modules and a wrong order of rows are named.
    """
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.artifacts.gguf_file import GGUFFile
    from sway_gguf.artifacts.likeness import differences
    from sway_gguf.artifacts.lora import read_lora
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
    found = {base.path: _fit(base, adapters) for base in bases}
    cards: list[dict[str, Any]] = [base_card(base) | {"refused": found[base.path][0]} for base in bases]
    for place, adapter in enumerate(adapters):
        card = adapter_card(adapter) | {"fits": {str(base): reasons[place] for base, (_, reasons) in found.items()}}
        if bases:
            card["shares"] = _shares_card(adapter, bases[0], peft)
        if peft:
            card["differences"] = {str(peft): differences(adapter, read_peft(peft, bases[0]), bases[0])}
        cards.append(card)
    if as_json:
        say_json(json_text(cards, indent=1, strict=False) + "\n")
        return
    with drawing() as console:
        for card in cards:
            print_card(card, console)


def _fit(base: BaseModel, adapters: Sequence[LoraAdapter]) -> tuple[str, list[list[str]]]:
    """Why llama.cpp refuses the base, "" where it does not; for each adapter every reason why it does not run there.

    llama.cpp is asked about what the headers let pass.
    """
    from sway_gguf.artifacts.lora import mismatches
    from sway_gguf.engine.trial import refusals

    reasons = [mismatches(adapter, base) for adapter in adapters]
    fitting = [place for place, found in enumerate(reasons) if not found]
    base_refused, *refused = refusals(base.path, [adapters[place] for place in fitting])
    for place, why in zip(fitting, refused, strict=True):
        if base_refused:
            reasons[place].append("llama.cpp refuses the base")
        elif why:
            reasons[place].append(f"llama.cpp refuses it: {why}")
    return base_refused, reasons


def _shares_card(adapter: LoraAdapter, base: BaseModel, peft: Path | None) -> dict[str, Any]:
    """What of the trained modules stands in the adapter, by family."""
    from sway_gguf.artifacts.coverage import shares
    from sway_gguf.artifacts.peft_config import read_config

    folder = peft or (None if adapter.in_file else adapter.path)
    by_config = shares(adapter, base, read_config(folder)) if folder else ()
    return {
        "of": "target_modules" if by_config else "the base's linear layers",
        "families": [
            {"family": share.family, "modules": len(share.trained), "missing": list(share.missing)}
            for share in by_config or shares(adapter, base)
        ],
    }


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
