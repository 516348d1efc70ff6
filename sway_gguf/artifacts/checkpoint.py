"""What a training run left behind: loss curve and optimizer state. Knows the files; judges nothing.

Those of a Hugging Face Trainer's checkpoint folder, or of `dlm`: its store with logs/, or one version of an adapter
with training_state.pt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.torch_pickle import read_torch
from sway_gguf.artifacts.training_folder import OPTIMIZER, STATE, folder_with
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.json_text import number, parse_json, whole
from sway_gguf.core.training import Moments, Training

DLM_STATE, DLM_LOGS = "training_state.pt", "logs/train-*.jsonl"
_GIVE = "give a Trainer's checkpoint folder"
_GIVE_DLM = "give dlm's store, or a version of an adapter in it"
_BETAS = (0.9, 0.999)


def read_checkpoint(folder: Path) -> Training:
    """What the folder tells; a Trainer's optimizer state is optional, and so is either file of dlm's.

    Raises:
        UserError: there is neither, or a file cannot be read or is not what its name says.
    """
    path = folder / STATE
    if not path.exists():
        saved, logs = folder / DLM_STATE, sorted(folder.glob(DLM_LOGS))
        if saved.exists() or logs:
            return _of_dlm(saved, logs)
        folder = folder_with(STATE, folder) or folder
        path = folder / STATE
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; {_GIVE}")
    state = parse_json(read_utf8(path, f"a Trainer's {STATE}"), str(path), _GIVE)
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise UserError(f"{path}: no log_history of objects in it, as a Trainer's state has it; {_GIVE}")
    optimizer = folder / OPTIMIZER
    return Training(
        losses=_curve(history, "loss", path),
        eval_losses=_curve(history, "eval_loss", path),
        steps=whole(state.get("global_step") or 0, f"{path}: global_step"),
        max_steps=whole(max(0.0, number(state.get("max_steps") or 0, f"{path}: max_steps")), f"{path}: max_steps"),
        moments=tuple(_moments(read_torch(optimizer), optimizer)) if optimizer.exists() else (),
    )


def _curve(history: list[Mapping[str, Any]], key: str, path: Path) -> tuple[tuple[int, float], ...]:
    return tuple(
        (whole(entry.get("step"), f"{path}: log_history[{place}].step"), number(entry[key], f"{path}: a {key}"))
        for place, entry in enumerate(history)
        if key in entry
    )


def _of_dlm(path: Path, logs: Sequence[Path]) -> Training:
    """Steps of a resumed run stand in several logs: the latest counts."""
    records = {step: record for log in logs for step, record in _steps_of(log)}
    curve = sorted(records.items())
    saved = read_torch(path) if path.exists() else {}
    if not isinstance(saved, Mapping):
        raise UserError(f"{path}: not a training state of dlm; {_GIVE_DLM}")
    optimizer = saved.get("optimizer_state_dict")
    return Training(
        losses=tuple((step, record["loss"]) for step, record in curve),
        eval_losses=tuple((step, record["val_loss"]) for step, record in curve if record["val_loss"] is not None),
        steps=whole(_item(saved.get("global_step") or max(records, default=0)), f"{path}: global_step"),
        moments=tuple(_moments(optimizer, path)) if optimizer else (),
    )


def _steps_of(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(step, its losses) of a log of dlm; a last line that a crash cut short is passed over."""
    lines = read_utf8(path, "a training log of dlm").splitlines()
    for place, line in enumerate(lines, 1):
        where = f"{path}, line {place}: not a training log of dlm"
        try:
            record = parse_json(line, where, _GIVE_DLM) if line.strip() else None
        except UserError:
            if place == len(lines):
                return
            raise
        if isinstance(record, dict) and record.get("type") == "step":
            losses = {"loss": number(record.get("loss"), f"{where}: loss"), "val_loss": None}
            if record.get("val_loss"):
                losses["val_loss"] = number(record["val_loss"], f"{where}: val_loss")
            yield whole(record.get("step"), f"{where}: step"), losses


def _moments(saved: Any, path: Path) -> Iterator[Moments]:
    groups, states = (saved.get("param_groups"), saved.get("state")) if isinstance(saved, dict) else (None, None)
    if not isinstance(groups, list) or not isinstance(states, dict):
        raise UserError(f"{path}: not the state of an optimizer (no param_groups and state); {_GIVE}")
    betas = dict(pair for group in groups for pair in _betas(group, path))
    for name, state in states.items():
        if isinstance(state, dict) and "exp_avg" in state and "exp_avg_sq" in state:
            yield _of_parameter(str(name), state, betas.get(name, _BETAS), path)


def _betas(group: Any, path: Path) -> Iterator[tuple[Any, tuple[float, float]]]:
    """(parameter, its two decay rates) of a group."""
    parameters = group.get("params") if isinstance(group, dict) else None
    rates = group.get("betas", _BETAS) if isinstance(group, dict) else None
    if not isinstance(parameters, list) or not isinstance(rates, tuple | list) or len(rates) != 2:
        raise UserError(f"{path}: a param_group without params, or with betas that are no pair; {_GIVE}")
    first, second = (number(rate, f"{path}: a beta") for rate in rates)
    if not (0 <= first < 1 and 0 <= second < 1):
        raise UserError(f"{path}: betas ({first:g}, {second:g}); Adam's lie from 0 to below 1")
    for name in parameters:
        if isinstance(name, int | str):
            yield name, (first, second)


def _of_parameter(name: str, state: Mapping[str, Any], betas: tuple[float, float], path: Path) -> Moments:
    """Bias-corrected as Adam has it (Kingma & Ba 2015).

    Independent gradients of variance σ² leave E m² = σ²·(1 − β₁)²·Σ β₁²ᵏ, k below the number of steps.
    """
    where, (beta_1, beta_2) = f"{path}: parameter {name[:40]}", betas
    steps = max(1, whole(_item(state.get("step")), f"{where}: its step"))
    first, second = (_numbers(state[key], f"{where}: {key}") for key in ("exp_avg", "exp_avg_sq"))
    if (second < 0).any():
        raise UserError(f"{where}: exp_avg_sq, a mean of squares, is negative; {_GIVE}")
    kept = (1 - beta_1) ** 2 * (1 - beta_1 ** (2 * steps)) / (1 - beta_1**2)
    with np.errstate(over="ignore", invalid="ignore"):
        return Moments(
            name=name,
            steps=steps,
            first=math.sqrt(float(np.mean(first**2))) / (1 - beta_1**steps),
            second=math.sqrt(float(np.mean(second)) / (1 - beta_2**steps)),
            noise=math.sqrt(kept) / (1 - beta_1**steps),
        )


def _item(value: Any) -> Any:
    """A number that may have been saved as a tensor."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _numbers(value: Any, where: str) -> NDArray[np.float64]:
    """A tensor of floats that holds something.

    Raises:
        UserError: it is none.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size == 0:
        raise UserError(f"{where} is no tensor of floats; {_GIVE}")
    return value.astype(np.float64)
