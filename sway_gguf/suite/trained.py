"""Gives probes of the training run the folder that it left, where the spec names none. Knows names of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.training_folder import OPTIMIZER, STATE, folder_with
from sway_gguf.spec.model import Spec
from sway_gguf.spec.options import CHECKPOINT

_FILES = {"training_drift": STATE, "gradient_ghost": OPTIMIZER}
"""What a kind of probe reads of the run."""


def with_training(spec: Spec) -> Spec:
    """The spec with the folder of the adapter's run where its suite asks of the run and names no folder.

    The trainer's files lie beside the adapter, or in the folder that holds its checkpoints.
    """
    members = spec.models.ft.members
    if len(members) != 1 or not any(map(_asks, spec.suite)):
        return spec
    return spec.model_copy(update={"suite": [_with_folder(entry, members[0].path) for entry in spec.suite]})


def without_training(spec: Spec) -> Spec:
    """The spec without the folder that `with_training` found: that of another adapter's run is another's."""
    members = spec.models.ft.members
    if len(members) != 1:
        return spec
    return spec.model_copy(update={"suite": [_without_folder(entry, members[0].path) for entry in spec.suite]})


def _without_folder(entry: dict[str, Any], adapter: Path) -> dict[str, Any]:
    if entry.get("kind") not in _FILES or "checkpoint" not in entry:
        return entry
    bare = {name: value for name, value in entry.items() if name != "checkpoint"}
    return bare if _with_folder(bare, adapter) == entry else entry


def _asks(entry: Mapping[str, Any]) -> bool:
    return entry.get("kind") in _FILES and not any(entry.get(name) for name in CHECKPOINT)


def _with_folder(entry: dict[str, Any], adapter: Path) -> dict[str, Any]:
    if not _asks(entry):
        return entry
    folder = folder_with(_FILES[entry["kind"]], adapter)
    return entry if folder is None else entry | {"checkpoint": str(folder.absolute())}
