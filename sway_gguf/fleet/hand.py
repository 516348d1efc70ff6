"""What measures cells in a process of its own: one base loaded at a time, kept from cell to cell.

Knows the suite; not who asks, nor where a result is put.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sway_gguf import __version__
from sway_gguf.engine.helper import tell
from sway_gguf.fleet.cell import Cell

if TYPE_CHECKING:
    from sway_gguf.core.views import View
    from sway_gguf.engine.warm import Warm

_EVERY = 0.25
"""Seconds between two words on how far a cell is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where answers are kept: a folder, the machine's usual one, or nowhere."""

    folder: Path | None = None
    off: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cell.

    Attributes:
        record: result.json as text; "" where there is none.
        error: why, in one line.
        seconds: that it took.
        worker: which computed it.
        build: digest of its versions and build.
    """

    record: str = ""
    error: str = ""
    seconds: float = 0.0
    worker: str = ""
    build: str = ""


Measure = Callable[[Cell], Outcome]
"""Measures a cell in another process; a function by name, or a partial of one."""


def measure(place: Place, cell: Cell) -> Outcome:
    """Run a cell's suite.

    Raises:
        UserError: a file is missing, damaged, or does not fit.
        EngineError: llama.cpp refused it.
    """
    from sway_gguf.core.result_json import to_json
    from sway_gguf.suite.prepare import prepare
    from sway_gguf.suite.watched import run_warm

    began, warm = time.perf_counter(), _warm(place)
    result = run_warm(prepare(cell.spec), warm, lambda least, most: nullcontext(_Teller(least).heard))
    return Outcome(to_json(result), seconds=time.perf_counter() - began, build=build_of().digest)


@dataclass(frozen=True, slots=True)
class Build:
    """What computes here.

    Attributes:
        versions: that have to be the same everywhere, by name.
        machine: what may differ between machines and moves numbers within rounding, by name.
    """

    versions: dict[str, str]
    machine: dict[str, str]

    @property
    def digest(self) -> str:
        """Of the versions."""
        return hashlib.sha256(json.dumps(self.versions, sort_keys=True).encode()).hexdigest()[:16]


@cache
def build_of() -> Build:
    """Of this process; loads llama.cpp."""
    from sway_gguf.engine.build import engine_identity

    found = {name: str(value) for name, value in engine_identity(gpu=False).items()}
    fixed = {name: found[name] for name in ("llama.cpp", "library", "numpy")}
    ours = {"sway-gguf": __version__, "llama-cpp-python": version("llama-cpp-python")}
    return Build(ours | fixed, {name: value for name, value in found.items() if name not in fixed})


class _Teller:
    """Tells the share of a cell that is done now and then."""

    def __init__(self, tokens: int) -> None:
        self._tokens, self._done, self._told = max(1, tokens), 0, 0.0

    def heard(self, view: View, tokens: int) -> None:
        self._done += tokens
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            tell(min(1.0, self._done / self._tokens))


@cache
def _warm(place: Place) -> Warm:
    """The one loaded backend of this process, on the store that is open as long as the process lives."""
    from sway_gguf.artifacts.digest import remembering
    from sway_gguf.engine.factory import open_backend
    from sway_gguf.engine.store_digests import RememberedDigests
    from sway_gguf.engine.store_place import usual_store
    from sway_gguf.engine.warm import Warm

    opened = ExitStack()
    store = opened.enter_context(usual_store(place.folder, off=place.off))
    opened.enter_context(remembering(RememberedDigests(store.file)))
    warm = Warm(partial(open_backend, store=store))
    opened.callback(warm.drop)
    atexit.register(opened.close)
    return warm
