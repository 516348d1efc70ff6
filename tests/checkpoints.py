"""Checkpoints of the demo's adapters as a trainer leaves them: mixes of two in PEFT folders. Made in process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.original import write_peft
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.stack import Member, Stack
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material

HEALTHY, OVERTRAINED = DEMO / "healthy.lora.gguf", DEMO / "overtrained.lora.gguf"


def mixed(shares: Mapping[Path, float]) -> LoraAdapter:
    """One adapter with the sum of these updates, each times its share."""
    return Stack(tuple(Member(read_lora(path), share) for path, share in shares.items())).as_one()


def as_peft(adapter: LoraAdapter, folder: Path) -> Path:
    """Written as peft writes it. Returns the folder."""
    folder.mkdir(parents=True)
    write_peft(adapter, read_base(DEMO / "base.f32.gguf"), folder)
    return folder


def texts(folder: Path) -> Path:
    """The demo's document, sentence by sentence: every second one as data, the others held out. Returns the folder."""
    sections = read_material(DEMO / "document.md").sections
    lines = [sentence.strip() for section in sections for sentence in section.text.split(". ") if len(sentence) > 30]
    for name, some in (("train.jsonl", lines[::2]), ("heldout.jsonl", lines[1::2])):
        records = "".join(json.dumps({"text": f"{line.rstrip('.')}."}) + "\n" for line in some)
        (folder / name).write_text(records, encoding="utf-8")
    return folder
