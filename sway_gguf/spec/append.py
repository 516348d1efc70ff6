"""Adds an entry to the suite of a spec as text, so that its comments stay. Knows YAML, not what an entry means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sway_gguf.core.errors import UserError

_ENTRY = re.compile(r"^( *)- ", re.MULTILINE)


def fragment(entry: Mapping[str, Any], indent: str = "  ") -> str:
    """The entry as YAML lines of a list."""
    text = yaml.safe_dump([dict(entry)], sort_keys=False, allow_unicode=True, width=10_000)
    return "".join(f"{indent}{line}\n" for line in text.splitlines())


def appended(text: str, entry: Mapping[str, Any], where: Path) -> str:
    """The spec's text with the entry at the end of its suite.

    Raises:
        UserError: `suite` is not the last key, is written in one line, or holds an entry of that name.
    """
    raw = yaml.safe_load(text)
    names = [item.get("name", item.get("kind")) for item in raw.get("suite") or []]
    if entry["name"] in names:
        raise UserError(f"{where}: the suite has an entry named {entry['name']!r} already; rename or remove it first")
    block = text[text.index("suite:") :]
    found = _ENTRY.search(block)
    if list(raw)[-1] != "suite" or not found:
        raise UserError(f"{where}: the suite is not a list at the end of the file; print the entry and paste it in")
    grown = text.rstrip("\n") + "\n" + fragment(entry, found[1])
    if len(yaml.safe_load(grown)["suite"]) != len(names) + 1:
        raise UserError(f"{where}: the entry cannot be added to this layout; print it and paste it in")
    return grown
