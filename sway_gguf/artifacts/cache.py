"""The folder for what can be had again: where each system keeps such things. Knows paths; not what is kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "SWAY_GGUF_CACHE"
_NAME = "sway-gguf"


def cache_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where we keep files; nothing is made. The environment variable SWAY_GGUF_CACHE decides where it is set.

    Args:
        environment: variables of the process.
        platform: as `sys.platform` names it.
    """
    if given := environment.get(VARIABLE):
        return Path(given).expanduser().absolute()
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / _NAME / "Cache"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / _NAME
    # The XDG specification has relative paths ignored.
    shared = environment.get("XDG_CACHE_HOME", "")
    return (Path(shared) if os.path.isabs(shared) else Path.home() / ".cache") / _NAME
