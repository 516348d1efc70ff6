"""Trainer checkpoints: tensors read without torch, refused pickles, and what curve and moments say."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
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
from tests.torch_file import FakeTensor, Name, Storage, TorchPickler, adam_state, torch_file, zip_file


@pytest.fixture
def save() -> Any:
    """Writes what torch.save would."""
    return torch_file


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


def measured_or_told(kind: str, folder: Path, file: str) -> None:
    """A finite value, or an error that names the file."""
    told = ""
    try:
        assert math.isfinite(measured(kind, folder).value)
    except UserError as error:
        told = str(error)
    assert not told or file in told


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


@pytest.mark.parametrize("protocol", range(1, 6))
def test_every_protocol_of_pickle_is_read(tmp_path: Path, protocol: int) -> None:
    what = {"n": [None, True, -1, 2**40, 1.5, "é"], "t": (), "u": ((1,), (1, 2), (1, 2, 3, 4))}
    tensor = FakeTensor(np.ones(2, np.float32))
    found = read_torch(torch_file(tmp_path / "x.pt", {**what, "s": tensor}, protocol))
    assert found.pop("s").tolist() == [1, 1]
    assert found == what


def test_ordered_mappings_and_parameters_are_read_as_what_they_hold(tmp_path: Path) -> None:
    ordered = OrderedDict(a=1, b=2)
    ordered.extra = 3  # type: ignore[attr-defined]
    assert read_torch(torch_file(tmp_path / "x.pt", ordered)) == {"a": 1, "b": 2}


def nested_key(depth: int) -> bytes:
    """A mapping whose key is a tuple of two of the tuple below, `depth` times: 2**depth leaves to hash."""
    tuples = b"".join(b"q%ch%ch%c\x86" % (n, n, n) for n in range(depth))
    return b"\x80\x02}K\x01" + tuples + b"K\x01s."


def claiming(size: tuple[int, ...], stride: tuple[int, ...], count: int = 4, times: int = 1) -> bytes:
    """A pickle of one tensor on a storage of `count` numbers, `times` times."""
    buffer = io.BytesIO()
    pickler = TorchPickler(buffer)
    arguments = (Storage(np.zeros(count, np.float32), "FloatStorage"), 0, size, stride, False, {})
    pickler.write(b"\x80\x02]")
    for _ in range(times):
        pickler.save_reduce(Name("torch._utils", "_rebuild_tensor_v2"), arguments)
        pickler.write(b"a")
    return buffer.getvalue() + b"."


HOSTILE = {
    "text of exabytes": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x0fx.",
    "bytes of exabytes": b"\x80\x05\x96" + b"\xff" * 7 + b"\x0fx.",
    "frame of exabytes": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f" + b"]x.",
    "key of nested tuples": nested_key(60),
    "large integer": b"\x80\x02\x8b\xff\xff\x00\x00" + b"\x7f" * 0xFFFF + b".",
    "digits": b"I" + b"9" * 100_000 + b"\n.",
    "stride zero": claiming((100_000, 100_000), (0, 0)),
    "negative size": claiming((-1, 4), (1, 1)),
    "size of text": claiming(("a",), (1,)),  # type: ignore[arg-type]
    "many dimensions": claiming((1,) * 200, (1,) * 200),
    "no stop": b"\x80\x02]",
    "nothing to stop at": b"\x80\x02.",
    "call of a list": b"\x80\x02])R.",
    "class with new": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "mapping from a list": b"\x80\x02ccollections\nOrderedDict\n](\x85R.",
    "unhashable key": b"\x80\x02}]K\x01s.",
    "extension": b"\x80\x02\x82\x01.",
    "deep lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"K\x01s.",
}


@pytest.mark.parametrize("pickled", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_pickle_costs_what_its_length_allows(tmp_path: Path, pickled: bytes) -> None:
    path = zip_file(tmp_path / "x.pt", pickled, [bytes(16)])
    with pytest.raises(UserError, match=r"x\.pt: damaged|refused"):
        read_torch(path)


def test_a_memo_index_of_four_billion_is_an_index_like_any_other(tmp_path: Path) -> None:
    pickled = b"\x80\x02]r\xff\xff\xff\xffK\x01a."
    assert read_torch(zip_file(tmp_path / "x.pt", pickled, [])) == [1]


def test_tied_tensors_share_a_storage_and_no_more_than_a_few(tmp_path: Path) -> None:
    path, blob = tmp_path / "x.pt", bytes(400_000)
    assert len(read_torch(zip_file(path, claiming((100_000,), (1,), 100_000, 2), [blob]))) == 2
    with pytest.raises(UserError, match="more numbers than the file"):
        read_torch(zip_file(path, claiming((100_000,), (1,), 100_000, 50), [blob]))


def test_a_packed_storage_is_not_unpacked(tmp_path: Path) -> None:
    path = zip_file(tmp_path / "x.pt", b"\x80\x02].", [bytes(10_000_000)], zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="packed or encrypted"):
        read_torch(path)


def test_entries_may_not_claim_more_than_the_file(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "x.pt", adam_state())
    data = path.read_bytes()
    place = data.index(b"PK\x01\x02") + 24
    path.write_bytes(data[:place] + (1 << 30).to_bytes(4, "little") + data[place + 4 :])
    with pytest.raises(UserError, match="more than its own"):
        read_torch(path)


def damaged_states() -> Iterator[tuple[str, Any]]:
    """trainer_state.json with one value replaced, for every place and a dozen odd values."""
    odd = [None, True, "x", "", [], {}, -1, 1.5, 1e300, math.nan, math.inf, 10**400, [[1]], {"a": [1]}]
    good = {"log_history": [{"step": n, "loss": 2.0} for n in range(6)], "global_step": 6, "max_steps": 9}
    for value in odd:
        yield f"all {value!r:.20}", value
        for key in good:
            yield f"{key} {value!r:.20}", good | {key: value}
        for key in ("step", "loss", "eval_loss"):
            yield f"entry {key} {value!r:.20}", good | {"log_history": [*good["log_history"], {"step": 7, key: value}]}
        yield f"entry {value!r:.20}", good | {"log_history": [value]}


@pytest.mark.parametrize("state", [s for _, s in damaged_states()], ids=[name for name, _ in damaged_states()])
def test_an_odd_value_in_a_state_is_told_or_measured(tmp_path: Path, state: Any) -> None:
    (tmp_path / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    measured_or_told("training_drift", tmp_path, "trainer_state.json")


@pytest.mark.parametrize("place", ["step", "exp_avg", "exp_avg_sq", "betas", "params", "lr", "group", "state", "all"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        -1,
        1,
        2.0,
        math.nan,
        math.inf,
        1e300,
        (math.nan, 2),
        [[]],
        {},
        FakeTensor(np.zeros(0, np.float32)),
        FakeTensor(np.array([-1, 1], np.float32)),
        FakeTensor(np.array([np.nan, np.inf], np.float32)),
        FakeTensor(np.array([3], np.int64), "LongStorage"),
    ],
    ids=lambda value: f"tensor {value.data}" if isinstance(value, FakeTensor) else repr(value),
)
def test_an_odd_value_in_an_optimizer_is_told_or_measured(tmp_path: Path, place: str, value: Any) -> None:
    saved = adam_state()
    group = saved["param_groups"][0]
    if place in ("step", "exp_avg", "exp_avg_sq"):
        saved["state"][1][place] = value
    elif place in ("betas", "params", "lr"):
        group[place] = value
    elif place == "group":
        saved["param_groups"] = [group, value]
    else:
        saved = {**saved, "state": value} if place == "state" else value
    torch_file(checkpoint(tmp_path, SETTLED) / "optimizer.pt", saved)
    measured_or_told("gradient_ghost", tmp_path, "optimizer.pt")


ZEROS = [0.0] * 20


@pytest.mark.parametrize(
    ("losses", "wrong"),
    [
        ([4.0, 3.0, 2.0, 1.0, 0.5, *ZEROS], set()),
        ([4.0, 3.0, 2.0, 1.0, 0.5, *ZEROS[:10], 3.0, *ZEROS[:10]], {"smooth"}),
        ([4.0, 3.0, 2.0, 1.0, 0.5, *ZEROS[:10], 0.0001, *ZEROS[:10]], set()),
        # A loss below zero, as of a policy's gain: from -1 to -2 is a fall by all of it.
        ([-1.0] * 5 + [-2.0] * 15, set()),
        ([-2.0] * 5 + [-1.0] * 15, {"fell"}),
        ([-1.0 - 0.1 * n for n in range(20)], {"settled"}),
        ([3.4e38, 3e38, 2e38, 1e38, 6e37, *ZEROS], set()),
        ([1e300] * 9, {"finite"}),
    ],
)
def test_training_drift_where_losses_are_zero_or_below(
    tmp_path: Path, losses: Sequence[float], wrong: set[str]
) -> None:
    assert failed(measured("training_drift", checkpoint(tmp_path, losses))) == wrong


def test_a_run_that_began_at_zero_decides_nothing(tmp_path: Path) -> None:
    assert "first losses are zero" in measured("training_drift", checkpoint(tmp_path, ZEROS)).undecided


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("name", ["trainer_state.json", "optimizer.pt"])
def test_a_pipe_in_a_checkpoint_is_refused_at_once(tmp_path: Path, name: str) -> None:
    checkpoint(tmp_path, SETTLED)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=name):
        read_checkpoint(tmp_path)
