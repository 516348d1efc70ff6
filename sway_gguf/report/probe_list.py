"""Draws the list of probe kinds. Renders records and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_kinds(cards: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One row per kind."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for heading in ("kind", "axis", "question"):
        table.add_column(heading, overflow="fold")
    for card in cards:
        table.add_row(Text(card["kind"], style="bold"), card["axis"], card["question"])
    console.print(table)
    console.print("\nsway-gguf probes KIND shows one with its formula and fields.", style="dim")


def print_kind(card: Mapping[str, Any], console: Console) -> None:
    """One kind with its definition and fields."""
    console.print(Text.assemble((card["kind"], "bold"), f"  ({card['axis']}, {card['unit']})"))
    console.print(Text(f"\n{card['question']}\n\n{_reflowed(card['definition'])}\n"))
    console.print(Text(f"PASS means: {card['passing']}.\nIt does not mean more: {card['caveat']}\n"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for heading in ("field", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, field in card["fields"].items():
        table.add_row(name, shown_default(field), field.get("description", ""))
    console.print(table)


def _reflowed(text: str) -> str:
    """Paragraphs and the points of lists, without the line breaks that they have in a docstring."""
    return re.sub(r"(?<!\n)\n(?!\n|- ) *", " ", text)


def shown_default(field: Mapping[str, Any]) -> str:
    """A field's default in few words."""
    if "default" not in field:
        return "" if field.get("type") == "string" else "none"
    text = str(field["default"])
    return text if len(text) <= 60 else text[:57] + "..."
