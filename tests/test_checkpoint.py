"""Trainer checkpoints: tensors read without torch, refused pickles, and what curve and moments say."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sway_gguf.artifacts.checkpoint import read_checkpoint
from sway_gguf.artifacts.torch_pickle import read_torch
from sway_gguf.core.answers import Answers
from sway_gguf.core.errors import UserError
from sway_gguf.core.measurement import Measurement
from sway_gguf.probes.base import Sources
from sway_gguf.probes.registry import build_probes
from sway_gguf.probes.training_drift import spikes_of


class FakeTensor:
    """Pickles as torch's tensors do: a function of torch._utils on a storage outside the pickle."""

    def __init__(self, data: np.ndarray, storage: str = "FloatStorage") -> None:
        self.data, self.storage = data, storage

    def __reduce__(self) -> tuple[Any, ...]:
        strides = tuple(step // self.data.itemsize for step in self.data.strides)
        storage = StorageStub(self.data, self.storage)
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (storage, 0, self.data.shape, strides, False, {})


class StorageStub:
    def __init__(self, data: np.ndarray, kind: str) -> None:
        self.data, self.kind = data, kind


def _rebuild_tensor_v2() -> None:
    """Only its name is written."""


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes what torch.save would, with stand-ins for torch's names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    _rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    for name in ("FloatStorage", "BFloat16Storage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def write(path: Path, what: Any) -> Path:
        blobs: list[bytes] = []

        class Pickler(pickle.Pickler):
            def persistent_id(self, value: Any) -> Any:
                if not isinstance(value, StorageStub):
                    return None
                blobs.append(value.data.tobytes(order="A"))
                return ("storage", getattr(torch, value.kind), str(len(blobs) - 1), "cpu", value.data.size)

        buffer = io.BytesIO()
        Pickler(buffer, 2).dump(what)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("optimizer/data.pkl", buffer.getvalue())
            archive.writestr("optimizer/byteorder", "little")
            for number, blob in enumerate(blobs):
                archive.writestr(f"optimizer/data/{number}", blob)
        return path

    return write


def test_tensors_come_back_in_their_shape_and_type(tmp_path: Path, save: Any) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    brain = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    found = read_torch(
        save(
            tmp_path / "x.pt",
            {
                "a": FakeTensor(matrix),
                "t": FakeTensor(matrix.T),
                "b": FakeTensor(brain, "BFloat16Storage"),
                "n": [1, 2.5],
            },
        )
    )
    assert (found["a"] == matrix).all()
    assert (found["t"] == matrix.T).all()
    assert found["b"].tolist() == [1.5, -2.0]
    assert found["n"] == [1, 2.5]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo harm > harm.txt",)


def test_any_other_name_in_the_pickle_is_refused_by_name(
    tmp_path: Path, save: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "evil.pt", {"state": Evil()})
    with pytest.raises(UserError, match=r"asks for (posix|nt)\.system, which no tensor needs; refused"):
        read_torch(path)
    assert not (tmp_path / "harm.txt").exists()


def test_what_is_no_torch_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"not a zip")
    with pytest.raises(UserError, match="not a zip file"):
        read_torch(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(UserError, match=r"no data\.pkl"):
        read_torch(tmp_path / "b.pt")
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as archive:
        archive.writestr("c/data.pkl", b"\x80\x02garbage")
    with pytest.raises(UserError, match="damaged"):
        read_torch(tmp_path / "c.pt")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path, save: Any) -> None:
    tensor = FakeTensor(np.zeros(4, np.float32))
    tensor.data = np.lib.stride_tricks.as_strided(tensor.data, (9,), (4,))
    path = tmp_path / "x.pt"
    save(path, tensor)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("optimizer/data.pkl")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("optimizer/data.pkl", pickled)
        archive.writestr("optimizer/data/0", b"\0" * 16)
    with pytest.raises(UserError, match="damaged"):
        read_torch(path)


def checkpoint(folder: Path, losses: Sequence[float], evals: Sequence[float] = ()) -> Path:
    history: list[dict[str, float]] = [{"step": 10 * n, "loss": loss} for n, loss in enumerate(losses, 1)]
    history += [{"step": 10 * n, "eval_loss": loss} for n, loss in enumerate(evals, 1)]
    state = {"log_history": history, "global_step": 10 * len(losses), "max_steps": 1000}
    (folder / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    return folder


def measured(kind: str, folder: Path, **options: Any) -> Measurement:
    sources = Sources(folder=folder, checkpoint=read_checkpoint)
    probe = build_probes([{"name": kind, "kind": kind, "checkpoint": ".", **options}], sources)[0]
    assert probe.missing() == ""
    return probe.measure(Answers([]), Answers([]))


def failed(found: Measurement) -> set[str]:
    return {check.name for check in found.checks if not check.passed}


SETTLED = [4.0, 3.0, 2.5, 2.2, 2.1, *[2.0] * 15]


@pytest.mark.parametrize(
    ("losses", "evals", "wrong"),
    [
        (SETTLED, (2.5, 2.3), set()),
        ([2.0] * 20, (), {"fell"}),
        ([4.0 - 0.15 * n for n in range(20)], (), {"settled"}),
        ([*SETTLED[:12], 6.0, *SETTLED[13:]], (), {"smooth"}),
        (SETTLED, (2.0, 1.5, 1.9), {"held out"}),
        ([*SETTLED, math.nan], (), {"finite"}),
    ],
    ids=["fine", "flat", "cut short", "spike", "overfitted", "diverged"],
)
def test_training_drift_reads_the_curve(
    tmp_path: Path, losses: Sequence[float], evals: Sequence[float], wrong: set[str]
) -> None:
    assert failed(measured("training_drift", checkpoint(tmp_path, losses, evals))) == wrong


def test_training_drift_by_hand(tmp_path: Path) -> None:
    # medians of the first and last five: 2.5 and 2
    assert measured("training_drift", checkpoint(tmp_path, SETTLED)).value == pytest.approx(0.2)
    assert spikes_of([1, 1, 5, 1, 1], 2.0) == [2]


def test_too_few_losses_decide_nothing(tmp_path: Path) -> None:
    assert "log more often" in measured("training_drift", checkpoint(tmp_path, [3.0, 2.0])).undecided


def moments_of(gradients: np.ndarray) -> dict[str, Any]:
    """Adam's moments after these gradients [steps, size], step by step."""
    first, second = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1])
    for gradient in gradients:
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
    return {
        "step": FakeTensor(np.array(len(gradients), np.float32)),
        "exp_avg": FakeTensor(first.astype(np.float32)),
        "exp_avg_sq": FakeTensor(second.astype(np.float32)),
    }


@pytest.mark.parametrize(("mean", "steps", "ratio"), [(0.0, 400, 1.0), (0.0, 3, 1.0), (3.0, 400, 4.15)])
def test_gradient_ghost_is_one_for_noise_and_more_for_a_pull(
    tmp_path: Path, save: Any, mean: float, steps: int, ratio: float
) -> None:
    rng = np.random.default_rng(0)
    state = {n: moments_of(rng.normal(mean, 1.0, (steps, 4000))) for n in range(3)}
    checkpoint(tmp_path, SETTLED)
    save(
        tmp_path / "optimizer.pt",
        {"state": state, "param_groups": [{"betas": (0.9, 0.999), "params": [0, 1, 2], "lr": 1e-3}]},
    )
    found = measured("gradient_ghost", tmp_path)
    # A pull of 3 on noise of 1 leaves √9.05/√10 over √(0.1/1.9).
    assert found.value == pytest.approx(ratio, rel=0.05)
    assert failed(found) == ({"at rest"} if ratio > 2 else set())


def test_without_optimizer_state_there_is_no_ghost(tmp_path: Path) -> None:
    assert "no optimizer.pt" in measured("gradient_ghost", checkpoint(tmp_path, SETTLED)).undecided


def test_a_folder_that_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give a Trainer's checkpoint folder"):
        read_checkpoint(tmp_path)


def dlm_store(folder: Path, *runs: Sequence[tuple[int, float]], end: str = "") -> Path:
    """A store as dlm leaves it: one log per run, a banner first."""
    (folder / "logs").mkdir()
    for number, run in enumerate(runs, 1):
        lines = [json.dumps({"type": "banner", "run_id": number})]
        lines += [json.dumps({"type": "step", "step": step, "loss": loss, "val_loss": None}) for step, loss in run]
        lines += [json.dumps({"type": "run_complete", "final_loss": 0.0})]
        text = "\n".join(lines) + "\n" + end
        (folder / "logs" / f"train-{number:06d}-20260101T00000{number}.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_a_curve_is_read_from_the_logs_of_dlm_where_the_later_run_counts(tmp_path: Path) -> None:
    steps = list(enumerate(SETTLED, 1))
    store = dlm_store(tmp_path, [*steps[:12], (13, 9.0)], steps[10:], end='{"type": "step", "st')
    assert read_checkpoint(store).losses == tuple(steps)
    assert measured("training_drift", store).value == pytest.approx(0.2)


def test_a_broken_line_in_the_middle_of_a_log_is_told(tmp_path: Path) -> None:
    store = dlm_store(tmp_path, list(enumerate(SETTLED, 1)), end='{"type": \n{"type": "step", "step": 99, "loss": 1}\n')
    with pytest.raises(UserError, match=r"train-000001.*not a training log of dlm"):
        read_checkpoint(store)


@pytest.mark.parametrize("line", ['{"type": "step", "loss": 1.0}', '{"type": "step", "step": "x", "loss": 1.0}'])
def test_a_step_without_its_numbers_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match="not a training log of dlm"):
        read_checkpoint(dlm_store(tmp_path, [(1, 2.0)], end=f"{line}\n"))


def test_moments_and_steps_are_read_from_dlms_training_state(tmp_path: Path, save: Any) -> None:
    rng = np.random.default_rng(0)
    state = {n: moments_of(rng.normal(0.0, 1.0, (40, 400))) for n in range(3)}
    optimizer = {"state": state, "param_groups": [{"betas": (0.9, 0.999), "params": [0, 1, 2]}]}
    rest = {
        "scaler_state_dict": None,
        "torch_rng_state": FakeTensor(np.arange(4, dtype=np.float32)),
        "use_qlora": False,
    }
    save(tmp_path / "training_state.pt", {"optimizer_state_dict": optimizer, "global_step": 40, "epoch": 1.5, **rest})
    found = measured("gradient_ghost", tmp_path, min_steps_threshold=50)
    assert found.value == pytest.approx(1.0, rel=0.1)
    assert failed(found) == {"long enough"}
    assert failed(measured("gradient_ghost", tmp_path, min_steps_threshold=40)) == set()


def test_thresholds_of_the_original_are_kept(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, [*SETTLED[:12], 6.0, *SETTLED[13:]])
    assert failed(measured("training_drift", folder, assert_instability_events_lte=1)) == set()
    # It fell from 2.5 to 2: last / first is 0.8.
    wanted = {"assert_instability_events_lte": 1}
    assert failed(measured("training_drift", folder, assert_convergence_ratio_lte=0.81, **wanted)) == set()
    assert failed(measured("training_drift", folder, assert_convergence_ratio_lte=0.79, **wanted)) == {"fell"}
    assert "only 20 losses" in measured("training_drift", folder, min_steps=21).undecided
