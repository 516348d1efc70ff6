"""How much memory a twin of a backend takes, and how many fit into what is free. Knows headers and the system's counts.

Estimates, rather too much than too little: a run that swaps is slower than one that answers a view at a time.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.stack import Adapted, as_stack
from sway_gguf.core.engine_settings import EngineSettings

_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}
"""Of one number in a KV cache."""
_WORKING = 192 << 20
"""Bytes of logits and intermediate results of a twin's contexts."""
_COPIES = 4
"""Of a null adapter as it is drawn, written and loaded."""
_SHARE = 0.75
"""Of the free memory, for all twins."""
_MEMINFO = Path("/proc/meminfo")
_GROUP, _GROUP_1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
"""Where a container reads its own bound: in the second version of control groups, and in the first."""


def twins_that_fit(base: BaseModel, settings: EngineSettings, cells: int, adapter: Adapted | None) -> int:
    """How many twins the free memory holds, at least one; a large number where the system does not tell what is free.

    Args:
        base: of all of them.
        settings: for the type of the KV cache.
        cells: tokens in the KV caches of one.
        adapter: whose nulls, or those of the set, each holds one of.
    """
    free = free_memory()
    return sys.maxsize if free is None else max(1, int(_SHARE * free / twin_bytes(base, settings, cells, adapter)))


def twin_bytes(base: BaseModel, settings: EngineSettings, cells: int, adapter: Adapted | None) -> float:
    """Bytes of one twin beside the weights, which all of them share."""
    cell = 2 * base.blocks * base.kv_heads * base.head_width * _BYTES[settings.kv_type]
    adapters = as_stack(adapter).adapters if adapter else ()
    factors = sum(pair.a.nbytes + pair.b.nbytes for each in adapters for pair in each.pairs)
    return cells * cell + _WORKING + _COPIES * factors


def free_memory() -> int | None:
    """Bytes that can be taken without driving anything out; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows()
    found = [each for each in (_linux(_MEMINFO), _within_group(_GROUP), _within_group(_GROUP_1)) if each is not None]
    return min(found) if found else None


def _linux(meminfo: Path) -> int | None:
    """What the kernel takes to be available, files that it may forget included."""
    for line in _text(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    return None


def _within_group(group: Path) -> int | None:
    """What is left of a container's bound, files that may be forgotten included; None where there is no bound."""
    bound = _number(group / "memory.max", group / "memory.limit_in_bytes")
    used = _number(group / "memory.current", group / "memory.usage_in_bytes")
    if bound is None or used is None:
        return None
    counts = dict(line.split() for line in _text(group / "memory.stat").splitlines() if len(line.split()) == 2)
    return max(0, bound - used + int(counts.get("inactive_file", 0)))


def _number(*paths: Path) -> int | None:
    """What stands in the first of them that holds a number."""
    return next((int(text) for path in paths if (text := _text(path).strip()).isdigit()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def _windows() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "free", "pages", "pages_free", "space", "space_free")),
            ("extended", ctypes.c_uint64),
        )

    status = Status(length=ctypes.sizeof(Status))
    told = getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # noqa: B009
    return int(status.free) if told else None
