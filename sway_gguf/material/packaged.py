"""The text that ships with the package: general prose, prompts, and the demo. Knows where it lies."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from sway_gguf.material.read import read_material, read_text

DATA = Path(str(files("sway_gguf"))) / "data"
DEMO = DATA / "demo"
DEMO_ADAPTERS = ("healthy", "random", "zero", "overtrained")


def general_sections() -> list[str]:
    """Original prose of many registers, one text per section."""
    return [section.text for section in read_material(DATA / "general" / "prose.md").sections[1:]]


@cache
def filler() -> str:
    """Neutral text for long contexts."""
    return "\n\n".join(general_sections()) + "\n\n"


def general_prompts() -> list[str]:
    """Neutral prompts that stop in mid-sentence."""
    return [line for line in read_text(DATA / "general" / "prompts.txt").splitlines() if line.strip()]
