"""Draws what `inspect` found. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sway_gguf.report import numbers
from sway_gguf.report.modules import BLOCK, by_kind

_ORDER = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def print_card(card: Mapping[str, Any], console: Console, end: str = "\n") -> None:
    """One file, and `end` after it."""
    console.print(Text(card["path"], style="bold", overflow="fold"))
    if card["role"] == "base":
        _print_base(card, console)
    else:
        _print_adapter(card, console)
    console.print(end=end)


def _print_base(card: Mapping[str, Any], console: Console) -> None:
    types = ", ".join(f"{count} × {name}" for name, count in card["types"].items())
    _rows(
        console,
        ("base", f"{card['name']}, architecture {card['architecture']}"),
        ("size", f"{numbers.parameters(card['parameters'])} weights, {numbers.size(card['tensor_bytes'])}"),
        ("types", types),
        (
            "tokens",
            f"vocabulary {numbers.count(card['vocabulary'])}, context {numbers.count(card['context_length'])}",
        ),
        ("licence", card["license"] or "not stated"),
    )
    if card["refused"]:
        print_relation(console, "red", "llama.cpp refuses it", card["refused"])


def _print_adapter(card: Mapping[str, Any], console: Console) -> None:
    ranks = "/".join(map(str, card["ranks"]))
    scaling = "/".join(f"{card['alpha'] / rank:g}" for rank in card["ranks"])
    _rows(
        console,
        ("adapter", f"LoRA for architecture {card['architecture']}" + _made_for(card["base_name"])),
        (
            "rank",
            f"{ranks}, alpha {card['alpha']:g}, scaling alpha/r {scaling}, types {', '.join(card['types'])}",
        ),
        ("modules", str(len(card["modules"]))),
        *([("of several", card["said"])] if card["said"] else []),
        *(_shares(card["shares"]) if "shares" in card else ()),
    )
    for name in card["skipped"]:
        console.print(Text(f"  llama.cpp skips {name}: that part of the adapter has no effect", style="yellow"))
    for base, reasons in card["fits"].items():
        if not reasons:
            print_relation(console, "green", "fits", base)
        for reason in reasons:
            print_relation(console, "red", "does not fit", f"{base}: {reason}")
    for folder, found in card.get("differences", {}).items():
        if not found:
            print_relation(console, "green", "the same as", folder)
        for difference in found:
            print_relation(console, "red", "not as in", f"{folder}: {difference}")
    console.print("\n  ‖ΔW‖ of each module (Frobenius, at λ = 1)", style="dim")
    console.print(_norm_grid(card["modules"]))


def print_relation(console: Console, style: str, how: str, to: str) -> None:
    """A line on what a file is to something; every further line of it is indented."""
    first, *more = to.splitlines()
    console.print(Text.assemble("  ", (how, style), f" {first}"))
    for line in more:
        console.print(Text(f"    {line}"))


def _shares(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How much of each family stands in the file, and what does not."""
    counted = [
        f"{family['family']} {family['modules'] - len(family['missing'])} of {family['modules']}"
        for family in card["families"]
    ]
    yield "share", f"of {card['of']}: {', '.join(counted)}"
    if card["experts"]["of"]:
        yield "experts", _experts(card["experts"])
    missing = [module for family in card["families"] for module in family["missing"]]
    if missing:
        yield "not in it", ", ".join(by_kind(missing))


def _experts(card: Mapping[str, Any]) -> str:
    """`128 of 128 adapted in ffn_up_exps of blocks 0-3`, with the modules that agree together."""
    total, by_count = card["of"], dict[int, list[str]]()
    for module, which in card["adapted"].items():
        by_count.setdefault(len(which), []).append(module)
    counted = [f"{count} of {total} adapted in {', '.join(by_kind(modules))}" for count, modules in by_count.items()]
    return "; ".join(counted) or f"0 of {total} adapted"


def _made_for(name: str) -> str:
    return f", made for {name}" if name else ""


def _rows(console: Console, *rows: tuple[str, str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=9)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(f"  {row[0]}", row[1])
    console.print(table)


def _norm_grid(modules: Sequence[Mapping[str, Any]]) -> Table:
    """Rows are blocks, columns kinds of module; tensors outside blocks stand below."""
    blocks: dict[int, dict[str, float | None]] = {}
    outside: list[Mapping[str, Any]] = []
    for module in modules:
        found = BLOCK.match(module["module"])
        if found:
            blocks.setdefault(int(found[1]), {})[found[2]] = module["update_norm"]
        else:
            outside.append(module)
    kinds = sorted({kind for block in blocks.values() for kind in block}, key=_place)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("block", justify="right")
    for kind in kinds:
        table.add_column(kind.replace("attn_", "").replace("ffn_", ""), justify="right")
    for number, block in sorted(blocks.items()):
        table.add_row(str(number), *(_norm(block, kind) for kind in kinds))
    for module in outside:
        table.add_row(module["module"], _norm({"": module["update_norm"]}, ""))
    return table


def _place(kind: str) -> tuple[int, str]:
    """Attention before feed-forward, in the order in which a block runs them."""
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), kind)


def _norm(block: Mapping[str, float | None], kind: str) -> str:
    if kind not in block:
        return ""
    value = block[kind]
    return "not finite" if value is None else numbers.number(value)
