"""How fast this machine evaluated a base's tokens in earlier runs, kept in a small file of the cache folder.

A speed is a hint: where it cannot be read or kept, nothing fails. Knows what a speed depends on; not what is run.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.cache import cache_folder
from sway_gguf.artifacts.whole import whole
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.plan import Speed
from sway_gguf.engine.store_place import store_folder

_NAME = "speeds.json"
_KEPT = 200
_LEAST_SECONDS, _LEAST_TOKENS = 2.0, 1000
"""Runs below these tell what starting takes."""
_ALIKE = 100.0
"""Sizes farther apart than this tell nothing of each other."""
_LARGE = 50_000_000
"""A smaller base's speed is that of what comes on top, not of its weights."""


class _Known(NamedTuple):
    """A kept speed: of which base and settings, its number of weights, tokens per second."""

    base: str
    settings: str
    parameters: int
    rate: float


def known_speed(base: BaseModel, settings: EngineSettings) -> Speed | None:
    """The speed of the last run on these files with these settings here, or a guess from the base nearest in size.

    A token costs about as many operations as there are weights, so a guess takes speed and size to be in inverse
    proportion.
    """
    known = [one for one in _read(_file()) if one.settings == _settings(settings)]
    for one in known:
        if one.base == _files(base):
            return Speed(one.rate)
    ratios = [(one.parameters / max(base.parameters, 1), one) for one in known if one.parameters >= _LARGE]
    near = [(abs(math.log(ratio)), ratio * one.rate) for ratio, one in ratios if 1 / _ALIKE < ratio < _ALIKE]
    return Speed(min(near)[1], guessed=True) if near and base.parameters >= _LARGE else None


def remember_speed(base: BaseModel, settings: EngineSettings, timings: Mapping[str, float]) -> None:
    """Keep the speed of a run that ended; one that was too short to tell, or mostly read from a store, is not kept."""
    seconds, tokens = timings.get("run_seconds", 0.0), timings.get("tokens", 0.0) + timings.get("tokens_dropped", 0.0)
    file = _file()
    if file is None or seconds < _LEAST_SECONDS or tokens < max(_LEAST_TOKENS, timings.get("tokens_from_store", 0.0)):
        return
    with suppress(OSError):
        one = _Known(_files(base), _settings(settings), base.parameters, tokens / seconds)
        others = [other for other in _read(file) if other[:2] != one[:2]]
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as partial:
            partial.write_text(json.dumps([one, *others][:_KEPT], indent=1) + "\n", encoding="utf-8")


def _file() -> Path | None:
    """Where speeds are kept; None where nothing is to be, neither answers nor speeds."""
    with suppress(UserError):  # nowhere to keep anything
        return None if store_folder() is None else cache_folder() / _NAME
    return None


def _read(file: Path | None) -> list[_Known]:
    """What is kept there, the latest first; a damaged entry is none."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8")) if file else []
    except (OSError, ValueError, RecursionError):
        return []
    return [_Known(*entry) for entry in entries if _sound(entry)] if isinstance(entries, list) else []


def _sound(entry: object) -> bool:
    if not isinstance(entry, list) or len(entry) != len(_Known._fields):
        return False
    *names, parameters, rate = entry
    numbers = all(type(one) in (int, float) and math.isfinite(one) and one > 0 for one in (parameters, rate))
    return numbers and all(isinstance(name, str) for name in names)


def _files(base: BaseModel) -> str:
    """Tells one base's files from another's by size and time: reading them whole would take longer than it is worth."""
    stats = [path.stat() for path in base.shards]
    return _digest([(stat.st_size, stat.st_mtime_ns) for stat in stats])


def _settings(settings: EngineSettings) -> str:
    """What else a speed depends on: the machine and how the engine runs."""
    return _digest([platform.node(), os.cpu_count(), settings.model_dump(mode="json")])


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
