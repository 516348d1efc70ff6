"""The folder for what can be had again: where each system keeps such things. Knows paths; not what is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import platformdirs

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import at_home

VARIABLE = "SWAY_GGUF_CACHE"
_NAME = "sway-gguf"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where we keep files; nothing is made. The environment variable SWAY_GGUF_CACHE decides where it is set.

    Args:
        environment: variables of the process; the system's own convention is read from the process itself.

    Raises:
        UserError: it is not set, and this user has no home folder, as in some containers.
    """
    if given := environment.get(VARIABLE):
        return at_home(given).absolute()
    with suppress(RuntimeError):  # what later releases of platformdirs say; earlier ones give ~/.cache as it stands
        place = platformdirs.user_cache_path(_NAME, appauthor=False)
        if place.is_absolute():
            return place
    raise UserError(f"this user has no home folder; name a folder by {VARIABLE}")
