"""Adds an entry to the suite of a spec as text, so that its comments stay. Knows YAML, not what an entry means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from sway_gguf.core.errors import UserError
from sway_gguf.spec.yaml_text import compose_yaml, parse_yaml


def fragment(entry: Mapping[str, Any], indent: str = "  ") -> str:
    """The entry as YAML lines of a list."""
    text = yaml.safe_dump([dict(entry)], sort_keys=False, allow_unicode=True, width=10_000)
    return "".join(f"{indent}{line}\n" for line in text.rstrip("\n").split("\n"))


def appended(text: str, entry: Mapping[str, Any], where: Path) -> str:
    """The spec's text with the entry at the end of its suite; all else, line ends included, stays as it was.

    Raises:
        UserError: `suite` is not the last key, is written in one line, or holds an entry of that name.
    """
    suite = _last_block(text, where)
    names = [item.get("name", item.get("kind")) for item in parse_yaml(text, where)["suite"]]
    if entry["name"] in names:
        raise UserError(f"{where}: the suite has an entry named {entry['name']!r} already; rename or remove it first")
    line_end = "\r\n" if "\r\n" in text else "\n"
    added = fragment(entry, " " * suite.start_mark.column).replace("\n", line_end)
    grown = text.rstrip("\r\n") + line_end + added
    if not _is_grown(parse_yaml(grown, where), names, entry):
        raise UserError(f"{where}: the entry cannot be added to this layout; print it and paste it in")
    return grown


def _last_block(text: str, where: Path) -> SequenceNode:
    """The suite, a list of one line or more per entry that ends the file."""
    root = compose_yaml(text, where)
    key, value = root.value[-1] if isinstance(root, MappingNode) and root.value else (None, None)
    named = isinstance(key, ScalarNode) and key.value == "suite"
    if named and isinstance(value, SequenceNode) and value.value and not value.flow_style:
        return value
    raise UserError(f"{where}: the suite is not a list at the end of the file; print the entry and paste it in")


def _is_grown(raw: Any, names: list[Any], entry: Mapping[str, Any]) -> bool:
    suite = raw.get("suite") if isinstance(raw, dict) else None
    return isinstance(suite, list) and len(suite) == len(names) + 1 and suite[-1] == dict(entry)
