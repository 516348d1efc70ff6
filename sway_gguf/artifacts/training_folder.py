"""What a trainer leaves behind: adapter, checkpoints, template and state, each found in its output folder.

The folders of Hugging Face's Trainer and of those built on it (Unsloth, axolotl, LLaMA-Factory) hold the last or best
adapter at their top, checkpoints in checkpoint-STEP, or both. Knows names of files; reads no weights.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.peft_config import CONFIG
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.json_text import parse_json

STATE, OPTIMIZER = "trainer_state.json", "optimizer.pt"
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


@dataclass(frozen=True, slots=True)
class Found:
    """An adapter that was found.

    Attributes:
        folder: that holds it.
        said: which one it is and what lies beside it, in a line; "" where there was nothing to choose.
    """

    folder: Path
    said: str = ""


def has_adapter(folder: Path) -> bool:
    """Whether an adapter_config.json lies in it."""
    return os.path.isfile(folder / CONFIG)


def checkpoints(folder: Path) -> list[Path]:
    """The folders checkpoint-STEP in it that hold an adapter, in order of steps; none where it is no folder."""
    if not folder.is_dir():
        return []
    with suppress(OSError):
        found = [path for path in folder.iterdir() if _CHECKPOINT.match(path.name) and has_adapter(path)]
        return sorted(found, key=step_of)
    return []


def step_of(folder: Path) -> int:
    """The step in the name of a checkpoint's folder; -1 for any other name."""
    match = _CHECKPOINT.match(folder.name)
    return int(match[1]) if match else -1


def adapter_in(folder: Path) -> Found:
    """The adapter of a folder: its own, else the checkpoint that the trainer calls the best, else the last one.

    A folder with none is given back as it is; whoever reads it says what is wrong.
    """
    beside = checkpoints(folder)
    if not beside:
        return Found(folder)
    if has_adapter(folder):
        return Found(folder, f"{folder}: took the adapter at its top; {_others(beside, len(beside) + 1)}")
    best, metric = _best(folder, beside)
    if best is not None:
        return Found(
            best, f"{folder}: took {best.name}, the best by its trainer{metric}; {_others(beside, len(beside))}"
        )
    last = beside[-1]
    if len(beside) == 1:
        return Found(last, f"{folder}: took {last.name}, the only checkpoint in it")
    return Found(last, f"{folder}: took {last.name}, the last; {_others(beside, len(beside))}")


def places_of(folder: Path) -> list[Path]:
    """Where to look for what belongs to an adapter: its own folder, that of the run, and the run's last checkpoint."""
    run = folder.parent if _CHECKPOINT.match(folder.name) else folder
    return list(dict.fromkeys([adapter_in(folder).folder, folder, run, *checkpoints(folder)[-1:]]))


def folder_with(file: str, folder: Path) -> Path | None:
    """The first of `places_of` that holds a file of this name; None where none does, or `folder` is none."""
    if not folder.is_dir():
        return None
    return next((place for place in places_of(folder) if (place / file).is_file()), None)


def _others(beside: list[Path], count: int) -> str:
    first, last = beside[0].name, beside[-1].name
    span = first if first == last else f"{first} to {last}"
    return f"of {count} adapters in it ({span}), `sway-gguf pick` tells which is best"


def _best(folder: Path, beside: list[Path]) -> tuple[Path | None, str]:
    """The checkpoint that a trainer's state names as the best, if it is there, and by what number."""
    for place in (folder, beside[-1]):
        state = _state(place / STATE)
        name = state.get("best_model_checkpoint")
        if isinstance(name, str):
            # Written on the training machine: the path may be another one, also another system's.
            last_part = re.split(r"[\\/]", name.rstrip("\\/"))[-1]
            found = next((path for path in beside if path.name == last_part), None)
            value = state.get("best_metric")
            by = f" ({value:.4g})" if isinstance(value, int | float) and not isinstance(value, bool) else ""
            return found, by
    return None, ""


def _state(path: Path) -> dict[str, Any]:
    """A trainer's state; nothing of one that cannot be read, for the probes that need it say so."""
    if path.is_file():
        with suppress(UserError):
            found = parse_json(read_utf8(path, f"a Trainer's {STATE}"), str(path), "save it again")
            if isinstance(found, dict):
                return found
    return {}
