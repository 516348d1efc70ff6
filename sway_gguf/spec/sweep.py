"""The shape of sweep.yaml, and its reader: a grid of bases, adapters, scales, seeds and suites.

Knows fields and paths; opens no file but the sweep.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import at_home, read_utf8
from sway_gguf.core.strict import StrictModel
from sway_gguf.spec.model import FORMATS, Defaults
from sway_gguf.spec.options import changed, nearest, validated
from sway_gguf.spec.paths import Paths, placed
from sway_gguf.spec.yaml_text import MOST_BYTES, parse_yaml

CHECK = "check"
"""The suite that `sway-gguf check` asks; every other one is the path of a sway.yaml."""
_READERS_OWN = frozenset({"folder"})
Scale = Annotated[float, Field(gt=0, le=64)]
Seed = Annotated[int, Field(ge=0)]


class Sweep(StrictModel):
    """A whole sweep.yaml. Paths are relative to the file's folder; a pattern stands for all that match it."""

    version: int = 1
    bases: list[str] = Field(min_length=1, description="base GGUFs, or patterns such as *.gguf")
    adapters: list[str] = Field(
        min_length=1, description="LoRA GGUFs or PEFT folders, or patterns such as out/checkpoint-*"
    )
    scales: list[Scale] = Field(default=[1.0], min_length=1, description="λ, as --lora-scaled has it")
    seeds: list[Seed] = Field(default=[], description="of everything random; none takes each suite's own")
    suites: list[str] = Field(
        default=[CHECK], min_length=1, description="check, or the path of a sway.yaml, whose own models are left aside"
    )
    data: Paths | None = Field(default=None, description="training material, for suites that name none")
    holdout: Paths | None = Field(default=None, description="text like it that was kept out, for the same")
    general: Paths | None = Field(default=None, description="unrelated text, for the same")
    format: str = Field(default="auto", description="how dialogues become text, for suites that say auto")
    defaults: dict[str, Any] = Field(default={}, description="in place of those of the suites, such as nulls: 39")
    engine: dict[str, Any] = Field(default={}, description="in place of that of the suites, such as context: 4096")
    folder: Path = Field(default=Path(), exclude=True)

    @field_validator("version")
    @classmethod
    def _known(cls, value: int) -> int:
        if value != 1:
            raise ValueError("this release reads version 1")
        return value

    @field_validator("bases", "adapters", "suites")
    @classmethod
    def _named(cls, value: list[str]) -> list[str]:
        if not all(word.strip() for word in value):
            raise ValueError("an empty name")
        return value

    @field_validator("defaults")
    @classmethod
    def _without_seed(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "seed" in value:
            raise ValueError("the seed is an axis of the grid; write seeds: [0, 1]")
        return value

    def at(self, word: str) -> Path:
        """The path that a word of the sweep stands for."""
        return self.folder / at_home(word)


def load_sweep(path: Path) -> Sweep:
    """Read and check a sweep; patterns are expanded, and what is named twice counts once.

    Raises:
        UserError: it cannot be read, is not YAML, has a wrong field, or a pattern that nothing matches.
    """
    raw = parse_yaml(read_utf8(path, "a sweep.yaml", MOST_BYTES), path)
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a mapping with bases and adapters is wanted, not {type(raw).__name__}")
    if "models" in raw and "bases" not in raw:
        raise UserError(f"{path}: this is a suite's spec; name it under suites: in a sweep.yaml, or use sway-gguf run")
    for key in _READERS_OWN & set(raw):
        raise UserError(f"{path}: unknown key {key!r}, {nearest(key, Sweep.model_fields.keys() - _READERS_OWN)}")
    sweep = validated(Sweep, raw, str(path))
    changed(Defaults(), sweep.defaults, f"{path}: defaults")
    changed(EngineSettings(), sweep.engine, f"{path}: engine")
    sweep = sweep.model_copy(update={"folder": path.parent})
    return sweep.model_copy(
        update={
            "bases": _expanded(sweep, sweep.bases, path),
            "adapters": _expanded(sweep, sweep.adapters, path),
            "scales": _once(sweep.scales),
            "seeds": _once(sweep.seeds),
            "suites": _once(sweep.suites),
            "data": placed(sweep.data, path.parent),
            "holdout": placed(sweep.holdout, path.parent),
            "general": placed(sweep.general, path.parent),
            "format": sweep.format if sweep.format in FORMATS else str(sweep.at(sweep.format)),
        }
    )


def _expanded(sweep: Sweep, words: Iterable[str], path: Path) -> list[str]:
    return _once([found for word in words for found in _matching(sweep, word, path)])


def _matching(sweep: Sweep, word: str, path: Path) -> Iterator[str]:
    """What a pattern matches, checkpoint-20 before checkpoint-100; any other word, be it there or not, is itself."""
    if not glob.has_magic(word) or sweep.at(word).exists():
        yield word
        return
    pattern = str(at_home(word))
    found = sorted(glob.glob(pattern, root_dir=sweep.folder, recursive=True), key=_natural)
    if not found:
        raise UserError(f"{path}: nothing matches {word}; check the pattern (it starts at {sweep.folder.absolute()})")
    yield from found


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _once(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
