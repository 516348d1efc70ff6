"""What a training run left behind: loss curve and optimizer state. Knows the files; judges nothing.

Those of a Hugging Face Trainer's checkpoint folder, or of `dlm`: its store with logs/, or one version of an adapter
with training_state.pt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf.artifacts.torch_pickle import read_torch
from sway_gguf.core.errors import UserError
from sway_gguf.core.training import Moments, Training

STATE, OPTIMIZER = "trainer_state.json", "optimizer.pt"
DLM_STATE, DLM_LOGS = "training_state.pt", "logs/train-*.jsonl"
_BETA_1, _BETA_2 = 0.9, 0.999


def read_checkpoint(folder: Path) -> Training:
    """What the folder tells; a Trainer's optimizer state is optional, and so is either file of dlm's.

    Raises:
        UserError: there is neither, or a file cannot be read.
    """
    path = folder / STATE
    if not path.exists():
        state, logs = folder / DLM_STATE, sorted(folder.glob(DLM_LOGS))
        if state.exists() or logs:
            return _of_dlm(state, logs)
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        history = state["log_history"]
        losses, eval_losses = _curve(history, "loss"), _curve(history, "eval_loss")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); give a Trainer's checkpoint folder"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a Trainer's state ({error}); give a Trainer's checkpoint folder") from error
    optimizer = folder / OPTIMIZER
    return Training(
        losses=losses,
        eval_losses=eval_losses,
        steps=int(state.get("global_step") or 0),
        max_steps=int(state.get("max_steps") or 0),
        moments=tuple(_moments(read_torch(optimizer), optimizer)) if optimizer.exists() else (),
    )


def _curve(history: list[Mapping[str, Any]], key: str) -> tuple[tuple[int, float], ...]:
    return tuple((int(entry["step"]), float(entry[key])) for entry in history if key in entry)


def _of_dlm(state: Path, logs: Sequence[Path]) -> Training:
    """Steps of a resumed run stand in several logs: the latest counts."""
    records = {int(record["step"]): record for path in logs for record in _steps_of(path)}
    curve = sorted(records.items())
    saved = read_torch(state) if state.exists() else {}
    if not isinstance(saved, Mapping):
        raise UserError(f"{state}: not a training state of dlm; give a version of an adapter in its store")
    optimizer = saved.get("optimizer_state_dict")
    return Training(
        losses=tuple((step, float(record["loss"])) for step, record in curve),
        eval_losses=tuple((step, float(record["val_loss"])) for step, record in curve if record.get("val_loss")),
        steps=int(saved.get("global_step") or max(records, default=0)),
        moments=tuple(_moments(optimizer, state)) if optimizer else (),
    )


def _steps_of(path: Path) -> Iterator[Mapping[str, Any]]:
    """Records of training steps; a last line that a crash cut short is passed over."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line) if line.strip() else None
            except json.JSONDecodeError:
                if number == len(lines):
                    return
                raise
            if isinstance(record, dict) and record.get("type") == "step":
                yield {**record, "step": int(record["step"]), "loss": float(record["loss"])}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a training log of dlm ({error}); give its store") from error


def _moments(saved: Any, path: Path) -> Iterator[Moments]:
    try:
        betas = {
            number: tuple(group.get("betas", (_BETA_1, _BETA_2)))
            for group in saved["param_groups"]
            for number in group["params"]
        }
        for number, state in saved["state"].items():
            if "exp_avg" in state and "exp_avg_sq" in state:
                yield _of_parameter(str(number), state, *betas.get(number, (_BETA_1, _BETA_2)))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the state of an Adam optimizer ({error})") from error


def _of_parameter(name: str, state: Mapping[str, Any], beta_1: float, beta_2: float) -> Moments:
    """Bias-corrected as Adam has it (Kingma & Ba 2015).

    Independent gradients of variance σ² leave E m² = σ²·(1 − β₁)²·Σ β₁²ᵏ, k below the number of steps.
    """
    steps = max(1, int(np.asarray(state["step"]).item()))
    first = np.asarray(state["exp_avg"], np.float64) / (1 - beta_1**steps)
    second = np.asarray(state["exp_avg_sq"], np.float64) / (1 - beta_2**steps)
    kept = (1 - beta_1) ** 2 * (1 - beta_1 ** (2 * steps)) / (1 - beta_1**2)
    return Moments(
        name=name,
        steps=steps,
        first=math.sqrt(float(np.mean(first**2))),
        second=math.sqrt(float(np.mean(second))),
        noise=math.sqrt(kept) / (1 - beta_1**steps),
    )
