"""The text that ships with the package: general prose, prompts, and the demo. Knows where it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from sway_gguf.core.sections import Section
from sway_gguf.material.read import read_material, read_text
from sway_gguf.material.records import records
from sway_gguf.material.shapes import unit_of

DATA = Path(str(files("sway_gguf"))) / "data"
DEMO = DATA / "demo"
REAL = DATA / "real"
EXCHANGES = DATA / "general" / "exchanges.jsonl"

Shape = Callable[[str, str], dict[str, Any]]
_SHAPES: dict[str, Shape] = {
    "completion": lambda request, reply: {"prompt": f"{request}\n", "completion": reply},
    "instruction": lambda request, reply: {"instruction": request, "output": reply},
    "dialogue": lambda request, reply: {
        "messages": [{"role": "user", "content": request}, {"role": "assistant", "content": reply}]
    },
}


def general_sections() -> list[str]:
    """Original prose of many registers, one text per section."""
    return [section.text for section in read_material(DATA / "general" / "prose.md").sections[1:]]


@cache
def filler() -> str:
    """Neutral text for long contexts."""
    return "\n\n".join(general_sections()) + "\n\n"


def exchanges(form: str) -> tuple[Section, ...]:
    """Everyday requests with replies, in the form of a `Section`: completion, instruction or dialogue.

    Raises:
        KeyError: another form.
    """
    found = []
    for where, record in records(EXCHANGES):
        unit = unit_of(_SHAPES[form](record["request"], record["reply"]), where.rpartition(", ")[2], where)
        assert isinstance(unit, Section)
        found.append(replace(unit, task=record["kind"]))
    return tuple(found)


def general_prompts() -> list[str]:
    """Neutral prompts that stop in mid-sentence."""
    return [line for line in read_text(DATA / "general" / "prompts.txt").splitlines() if line.strip()]
