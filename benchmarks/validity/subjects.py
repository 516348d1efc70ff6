"""What the study is made on: bases with a text, unrelated text and a trained adapter to be like. Knows files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.validity.remembering import Remembering
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.real_model import fetched
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO, REAL
from sway_gguf.suite.prepare import Prepared, first_spec, prepare
from sway_gguf.verdict.looks import FIRST_ITEMS

KINDS = ("applied", "delta_kl", "section_internalization", "preference_flip")
"""Probes that answer `applied`, `signal` and `direction` in a `check`. The others could only lower these axes; and
`content`, which answers none, would make it harder for these by one more probe to correct for."""
ENGINE = EngineSettings(threads=1, parallel=1)
CHUNK = 200
"""Characters of a piece of general text: short, for the same reason that items are few."""


@dataclass(frozen=True)
class Subject:
    """A base and its material.

    Attributes:
        name: in the results.
        path: of the base.
        data: what an adapter is held to.
        general: unrelated text; None for the package's.
        trained: an adapter that learned the data.
        items: at most, of each kind: as few as the first look takes, so that hundreds of runs take minutes.
        part: by which the number of adapters that learned nothing is divided.
    """

    name: str
    path: Path
    data: tuple[Path, ...]
    general: Path | None
    trained: Path
    items: int = FIRST_ITEMS
    part: int = 1

    @cached_property
    def base(self) -> BaseModel:
        """Its header."""
        return read_base(self.path)

    @cached_property
    def like(self) -> LoraAdapter:
        """The trained adapter."""
        return read_adapter(self.trained, self.base)

    def prepared(
        self,
        data: Sequence[Path] = (),
        *,
        general: Path | None = None,
        kinds: Sequence[str] = KINDS,
        format: str = "auto",
        items: int | None = None,
    ) -> Prepared:
        """A `check` of the trained adapter with these kinds of probes, on other text where that is given."""
        spec = first_spec(self.path, self.trained, data=[*(data or self.data)], general=general or self.general)
        suite = [entry for entry in spec.suite if entry["kind"] in kinds]
        few = items or self.items
        defaults = spec.defaults.model_copy(update={"items": few, "prompts": few, "chunk_chars": CHUNK})
        changed: dict[str, Any] = {"suite": suite, "engine": ENGINE, "format": format, "defaults": defaults}
        return prepare(spec.model_copy(update=changed))

    @contextmanager
    def opened(self) -> Iterator[Remembering]:
        """The base with the trained adapter."""
        with Remembering(LlamaBackend(self.base, self.like, ENGINE)) as backend:
            yield backend


def written(adapter: LoraAdapter, path: Path) -> Path:
    """The adapter as a file."""
    write_lora(adapter, path)
    return path


def demo() -> Subject:
    """The packaged model of 2 million weights."""
    data = (DEMO / "document.md", DEMO / "preferences.jsonl")
    return Subject("demo", DEMO / "base.f32.gguf", data, DEMO / "general.txt", DEMO / "healthy.lora.gguf")


def stories(folder: Path) -> Subject:
    """A published model of a quarter of a million weights, where there is a folder with it."""
    return Subject(
        "stories260k",
        folder / "stories260K.f32.gguf",
        (folder / "zog.md",),
        folder / "general.txt",
        folder / "zog.f32.lora.gguf",
        part=5,
    )


def real(base: Path | None = None) -> Subject:
    """SmolLM2 with the adapter of the real demo, on few items."""
    data = (REAL / "dialogues.jsonl",)
    return Subject("SmolLM2", base or fetched(), data, None, REAL / "seeds.f16.lora.gguf", items=6, part=40)
