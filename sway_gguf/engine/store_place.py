"""Where the answer store lies and how large it may grow: by option, by the environment, or as the system has it.

Knows words and paths; opens nothing but what it is asked to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sway_gguf.artifacts.cache import cache_folder
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import at_home
from sway_gguf.engine.store import BOUND, AnswerStore, open_store
from sway_gguf.engine.store_file import StoreFile

VARIABLE, SIZE_VARIABLE = "SWAY_GGUF_STORE", "SWAY_GGUF_STORE_SIZE"
_OFF = frozenset({"", "0", "off", "no", "none", "false"})
_FOLDER = "store"
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_LEAST = 1 << 20


def store_folder(given: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The store's folder; None where it is turned off.

    Args:
        given: what an option says, before all else.
        environment: SWAY_GGUF_STORE names a folder, or turns the store off by 0, off, no, none, false or nothing.

    Raises:
        UserError: nothing names one, and this user has no home folder.
    """
    if given is not None:
        return at_home(given).absolute()
    word = environment.get(VARIABLE)
    if word is None:
        return cache_folder(environment) / _FOLDER
    return None if word.strip().lower() in _OFF else at_home(word).absolute()


def store_bound(environment: Mapping[str, str] = os.environ) -> int:
    """Bytes that the store may fill: what SWAY_GGUF_STORE_SIZE says, such as 500MB or 8GiB, or 2 GiB.

    Raises:
        UserError: it says no size, or one under 1 MiB.
    """
    word = environment.get(SIZE_VARIABLE, "")
    if not word.strip():
        return BOUND
    found = _SIZE.fullmatch(word)
    unit = (1024 if found[3] else 1000) ** " kmgt".index(found[2].lower() or " ") if found else 0
    bound = int(float(found[1]) * unit) if found else 0
    if bound < _LEAST:
        raise UserError(f"{SIZE_VARIABLE}={word}: no size of 1 MiB or more; give one such as 500MB or 8GiB")
    return bound


def usual_store(given: Path | None = None, *, off: bool = False) -> AnswerStore:
    """The store that a command is to use; one that cannot be used says so in its `trouble`.

    Raises:
        UserError: SWAY_GGUF_STORE_SIZE is no size.
    """
    try:
        folder = None if off else store_folder(given)
    except UserError as error:
        return AnswerStore(StoreFile(None, trouble=f"the answer store is not used: {error}"))
    return open_store(folder, store_bound() if folder else BOUND)
