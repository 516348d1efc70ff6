"""Items of general knowledge: a prompt and its right ending. Knows the packaged file and the shape of others."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sway_gguf.core.errors import UserError
from sway_gguf.material.packaged import DATA
from sway_gguf.material.records import records

PACKAGED = DATA / "general" / "knowledge.jsonl"


@cache
def knowledge(path: Path | None = None) -> tuple[tuple[str, str], ...]:
    """(prompt, gold) pairs of a JSONL file with `prompt` and `gold` or `completion`; the packaged ones by default.

    Raises:
        UserError: the file cannot be read, or a line lacks a key.
    """
    found = []
    for where, record in records(path or PACKAGED):
        gold = record.get("gold", record.get("completion"))
        if not isinstance(record.get("prompt"), str) or not isinstance(gold, str) or not gold.strip():
            raise UserError(f"{where}: 'prompt' and 'gold' must be text that is not empty")
        found.append((record["prompt"], gold))
    if not found:
        raise UserError(f"{path}: the file holds no items; give lines of prompt and gold")
    return tuple(found)
