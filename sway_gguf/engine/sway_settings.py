"""Engine settings out of a spec of the `sway` project, which has no field of its own for a custom backend's.

`device: cpu` and `auto` keep all layers on the CPU, any other puts them on the GPU. `endpoint`, which only a backend
of another kind uses, holds comma-separated name=value pairs: `endpoint: "context=4096, threads=4, energy=original"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.views import ENERGIES, Energy

_LEAST = {"threads": 0, "context": 16, "batch": 16, "ubatch": 16, "gpu_layers": -1, "streams": 1}
_KV_TYPES = ("f32", "f16", "bf16", "q8_0")

_Choice = TypeVar("_Choice", bound=str)


class BaseSpec(Protocol):
    """The part of a dlm-sway ModelSpec that every release has; `device` and `endpoint` are looked for."""

    base: str


def settings_of(base_spec: BaseSpec) -> tuple[EngineSettings, Energy]:
    """Engine settings and the nulls' energy from `device` and `endpoint` of a spec.

    Raises:
        UserError: an unknown name, or a value that cannot be.
    """
    device = str(getattr(base_spec, "device", None) or "auto")
    values: dict[str, Any] = {} if device in ("auto", "cpu") else {"gpu_layers": -1}
    energy: Energy = "rank"
    for pair in filter(None, map(str.strip, str(getattr(base_spec, "endpoint", None) or "").split(","))):
        name, _, text = (part.strip() for part in pair.partition("="))
        if name == "energy":
            energy = _one_of(name, text, ENERGIES)
        else:
            values[name] = _value(name, text)
    return EngineSettings(**values), energy


def _value(name: str, text: str) -> Any:
    if name == "kv_type":
        return _one_of(name, text, _KV_TYPES)
    if name == "flash_attention":
        return _one_of(name, text.lower(), ("false", "true")) == "true"
    if name not in _LEAST:
        known = ", ".join([*_LEAST, "kv_type", "flash_attention", "energy"])
        raise UserError(f"endpoint: unknown setting {name!r}; for our backend it holds name=value pairs of {known}")
    try:
        value = int(text)
    except ValueError:
        value = _LEAST[name] - 1
    if value < _LEAST[name]:
        raise UserError(f"endpoint: {name}={text} is no whole number from {_LEAST[name]} on")
    return value


def _one_of(name: str, text: str, choices: Sequence[_Choice]) -> _Choice:
    for choice in choices:
        if text == choice:
            return choice
    raise UserError(f"endpoint: {name}={text} is none of {', '.join(choices)}")
