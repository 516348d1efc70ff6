"""The folder for what can be had again: where each system keeps such things. Knows paths; not what is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

VARIABLE = "SWAY_GGUF_CACHE"
_NAME = "sway-gguf"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where we keep files; nothing is made. The environment variable SWAY_GGUF_CACHE decides where it is set.

    Args:
        environment: variables of the process; the system's own convention is read from the process itself.
    """
    if given := environment.get(VARIABLE):
        return Path(given).expanduser().absolute()
    return platformdirs.user_cache_path(_NAME, appauthor=False)
