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
    from sway_gguf.engine.trial import Trial


@click.command(
    epilog="Example:  sway-gguf inspect base.gguf adapter.gguf, "
    "or sway-gguf inspect merged.gguf --base base.gguf --adapter adapter.gguf",
)
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--peft", type=FILE, help="The PEFT folder that the adapters were made from: compare them with it.")
@click.option("--base", type=FILE, help="With --adapter: the base that FILES, one merged GGUF, was made from.")
@click.option("--adapter", type=FILE, help="With --base: the adapter that should be merged into FILES.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(files: tuple[Path, ...], peft: Path | None, base: Path | None, adapter: Path | None, as_json: bool) -> None:
    """Show what each of FILES holds; with a base among them, whether each adapter fits it.

    FILES are GGUF bases and adapters, folders by PEFT or MLX, or those that trainers write to. What fits by its header
    is loaded by llama.cpp, in a process of its own. By family (attention, MLP, experts, embeddings, lm_head, vision)
    it is shown which of the trained modules stand in the adapter. With --peft, a wrong scale, missing modules and a
    wrong order of rows are named.

    With --base and --adapter, FILES is one merged GGUF, and the merge is replayed tensor by tensor: bit for bit in F16
    and F32, within the rounding of the type otherwise. What lacks the adapter, holds it at another scale or holds
    something else is named.
    """
    if base or adapter:
        if peft:
            raise click.UsageError("--peft compares adapters, --base and --adapter a merged file; give one of them")
        inspect_merged(files, base, adapter, as_json)
        return
    inspect_files(files, peft, as_json)


def inspect_files(files: Sequence[Path], peft: Path | None, as_json: bool) -> None:
    """Print a card of each file.

    Raises:
        UserError: a file cannot be read, or a folder was given without a base.
    """
    from sway_gguf.engine.trial import Trial

    with Trial() as trial:  # Before anything else: the other process gets ready beside the imports of this one.
        if not as_json:
            from sway_gguf.report.inspection import print_card
        cards = _cards(files, peft, trial)
    if as_json:
        say_json(json_text(cards, indent=1, strict=False) + "\n")
        return
    with drawing() as console:
        for card in cards:
            print_card(card, console)


def _cards(files: Sequence[Path], peft: Path | None, trial: Trial) -> list[dict[str, Any]]:
    """A record of each file, bases first."""
    from sway_gguf.artifacts.adapter import is_folder, read_folder
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.artifacts.gguf_file import GGUFFile
    from sway_gguf.artifacts.likeness import differences
    from sway_gguf.artifacts.lora import read_lora
    from sway_gguf.core.errors import UserError

    folders = [path for path in files if is_folder(path)]
    adapters = [read_lora(path) for path in files if path not in folders and GGUFFile(path).kind == "adapter"]
    known = [*folders, *(adapter.path for adapter in adapters)]
    bases = [read_base(path) for path in files if path not in known]
    if (folders or peft) and not bases:
        raise UserError(
            f"{folders[0] if folders else peft}: a folder's adapter is read for a base; name the base GGUF as well"
        )
    adapters += [read_folder(path, bases[0]) for path in folders]
    found = {base.path: _fit(base, adapters, trial) for base in bases}
    cards = [base_card(base) | {"refused": found[base.path][0]} for base in bases]
    for place, adapter in enumerate(adapters):
        card = adapter_card(adapter) | {"fits": {str(base): reasons[place] for base, (_, reasons) in found.items()}}
        if bases:
            card["shares"] = _shares_card(adapter, bases[0], peft)
        if peft:
            card["differences"] = {str(peft): differences(adapter, read_folder(peft, bases[0]), bases[0])}
        cards.append(card)
    return cards


def inspect_merged(files: Sequence[Path], base: Path | None, adapter: Path | None, as_json: bool) -> None:
    """Print the card of a merged file, and what replaying the merge found.

    Raises:
        UserError: not one file, no base or no adapter, or one that cannot be read or compared.
    """
    from dataclasses import asdict

    from sway_gguf.artifacts.adapter import read_adapter
    from sway_gguf.artifacts.base import read_base
    from sway_gguf.cli.progress import progress_bar
    from sway_gguf.core.errors import UserError
    from sway_gguf.deploy.replay import replay
    from sway_gguf.engine.trial import refusals
    from sway_gguf.report.inspection import print_card
    from sway_gguf.report.replay import print_replay

    if base is None or adapter is None:
        raise UserError("--base and --adapter belong together: a merge is replayed from both; give the other as well")
    if len(files) > 1:
        raise UserError(f"{files[1]}: with --base and --adapter one merged GGUF is inspected at a time")
    merged, model = read_base(files[0]), read_base(base)
    with progress_bar(len(model.tensors), unit="tensors") as advance:
        found = replay(merged, model, read_adapter(adapter, model), advance)
    card = base_card(merged) | {"refused": refusals(merged.path)[0]}
    if as_json:
        told = {"of_another_base": found.of_another_base, "common_scale": found.common_scale}
        say_json(json_text([card | {"replay": asdict(found) | told}], indent=1, strict=False) + "\n")
        return
    with drawing() as console:
        print_card(card, console, end="")
        print_replay(found, console)


def _fit(base: BaseModel, adapters: Sequence[LoraAdapter], trial: Trial) -> tuple[str, list[list[str]]]:
    """Why llama.cpp refuses the base, "" where it does not; for each adapter every reason why it does not run there.

    llama.cpp is asked about what the headers let pass.
    """
    from sway_gguf.artifacts.lora import mismatches, unrunnable

    reasons = [mismatches(adapter, base) or [*filter(None, [unrunnable(adapter, base)])] for adapter in adapters]
    fitting = [place for place, found in enumerate(reasons) if not found]
    base_refused, *refused = trial.refusals(base.path, [adapters[place] for place in fitting])
    for place, why in zip(fitting, refused, strict=True):
        if base_refused:
            reasons[place].append("llama.cpp refuses the base")
        elif why:
            reasons[place].append(f"llama.cpp refuses it: {why}")
    return base_refused, reasons


def _shares_card(adapter: LoraAdapter, base: BaseModel, peft: Path | None) -> dict[str, Any]:
    """What of the trained modules stands in the adapter, by family."""
    from sway_gguf.artifacts.coverage import shares
    from sway_gguf.artifacts.experts import adapted_experts
    from sway_gguf.artifacts.peft_config import read_config
    from sway_gguf.artifacts.training_folder import adapter_in

    folder = adapter_in(peft).folder if peft else (None if adapter.in_file else adapter.path)
    by_config = shares(adapter, base, read_config(folder)) if folder else ()
    experts = adapted_experts(adapter)
    return {
        "experts": {"of": base.experts, "adapted": {module: list(which) for module, which in experts.items()}},
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
        "said": adapter.said,
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
