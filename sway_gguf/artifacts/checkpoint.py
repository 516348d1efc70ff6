"""A Hugging Face Trainer's checkpoint folder: loss curve and optimizer state. Knows its files; judges nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf.artifacts.torch_pickle import read_torch
from sway_gguf.core.errors import UserError
from sway_gguf.core.training import Moments, Training

STATE, OPTIMIZER = "trainer_state.json", "optimizer.pt"
_BETA_1, _BETA_2 = 0.9, 0.999


def read_checkpoint(folder: Path) -> Training:
    """What the folder tells; the optimizer's state is optional.

    Raises:
        UserError: there is no trainer_state.json, or a file cannot be read.
    """
    path = folder / STATE
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
        moments=tuple(_moments(optimizer)) if optimizer.exists() else (),
    )


def _curve(history: list[Mapping[str, Any]], key: str) -> tuple[tuple[int, float], ...]:
    return tuple((int(entry["step"]), float(entry[key])) for entry in history if key in entry)


def _moments(path: Path) -> Iterator[Moments]:
    saved = read_torch(path)
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
