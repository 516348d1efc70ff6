"""What torch.save writes, made without torch: a pickle that names torch's functions, and storages beside it."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Name:
    """A name in another module, pickled without importing it."""

    module: str
    name: str

    def __call__(self) -> None:
        """Only its name is written."""


class FakeTensor:
    """Pickles as torch's tensors do: a function of torch._utils on a storage outside the pickle."""

    def __init__(self, data: np.ndarray, storage: str = "FloatStorage") -> None:
        self.data, self.storage = data, storage


class Storage:
    """What stands outside the pickle."""

    def __init__(self, data: np.ndarray, kind: str) -> None:
        self.data, self.kind = data, kind


class TorchPickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Python's pickler, with torch's names and storages."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]  # noqa: RUF012

    def __init__(self, file: io.BytesIO, protocol: int = 2) -> None:
        super().__init__(file, protocol)
        self.blobs: list[bytes] = []

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        self.blobs.append(value.data.tobytes(order="A"))
        return ("storage", Name("torch", value.kind), str(len(self.blobs) - 1), "cpu", value.data.size)

    def save_name(self, value: Name) -> None:
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        self.memoize(value)

    def save_tensor(self, value: FakeTensor) -> None:
        strides = tuple(step // value.data.itemsize for step in value.data.strides)
        arguments = (Storage(value.data, value.storage), 0, value.data.shape, strides, False, {})
        self.save_reduce(Name("torch._utils", "_rebuild_tensor_v2"), arguments, obj=value)

    dispatch[Name], dispatch[FakeTensor] = save_name, save_tensor


def torch_file(path: Path, what: Any, protocol: int = 2) -> Path:
    """What torch.save(what, path) would write."""
    buffer = io.BytesIO()
    pickler = TorchPickler(buffer, protocol)
    pickler.dump(what)
    return zip_file(path, buffer.getvalue(), pickler.blobs)


def zip_file(path: Path, pickled: bytes, blobs: list[bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """The layout of torch.save around a pickle and its storages."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("optimizer/data.pkl", pickled)
        archive.writestr("optimizer/byteorder", "little")
        for number, blob in enumerate(blobs):
            archive.writestr(f"optimizer/data/{number}", blob)
    return path


def adam_state(parameters: int = 3, size: int = 8, steps: int = 7) -> dict[str, Any]:
    """The state of an Adam optimizer after `steps` steps of noise."""
    rng = np.random.default_rng(0)

    def tensor(data: np.ndarray) -> FakeTensor:
        return FakeTensor(np.asarray(data, np.float32))

    state = {
        number: {
            "step": tensor(np.array(steps)),
            "exp_avg": tensor(rng.normal(size=size)),
            "exp_avg_sq": tensor(rng.random(size)),
        }
        for number in range(parameters)
    }
    return {"state": state, "param_groups": [{"betas": (0.9, 0.999), "lr": 1e-3, "params": list(range(parameters))}]}
