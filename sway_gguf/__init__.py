"""Did a LoRA adapter change a GGUF model, and in the direction you wanted?

`check`, `run`, `gate`, `compare`, `open_backend` and `load_result` are loaded when they are first used: importing the
package is cheap, and neither llama_cpp nor scipy is loaded until a model or a statistic is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sway_gguf.api.backend import open_backend
    from sway_gguf.api.comparing import Changes, compare
    from sway_gguf.api.gating import Decision, gate
    from sway_gguf.api.result import Result, load_result
    from sway_gguf.api.running import check, run

__version__ = "0.1.0"
__all__ = ["Changes", "Decision", "Result", "check", "compare", "gate", "load_result", "open_backend", "run"]

_HOMES = {
    "Changes": "comparing",
    "Decision": "gating",
    "Result": "result",
    "check": "running",
    "compare": "comparing",
    "gate": "gating",
    "load_result": "result",
    "open_backend": "backend",
    "run": "running",
}
"""By name, the module of `sway_gguf.api` that has it."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"sway_gguf.api.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
