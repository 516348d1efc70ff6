"""A worker: this process, with one other beside it that measures cells. What ends that one costs one cell.

Knows outcomes and errors; not what a cell is made of, nor who sent it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from sway_gguf.core.plain import one_line
from sway_gguf.engine.helper import Helper
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.hand import Measure, Outcome

Result = TypeVar("Result")


class Worker:
    """Measures cells one at a time.

    Args:
        on_share: called with the share of the cell at work that is done.
    """

    def __init__(self, on_share: Callable[[float], None] = lambda share: None) -> None:
        self._helper = Helper(on_share)
        self._measuring = ""

    def outcome(self, measure: Measure, cell: Cell) -> Outcome:
        """What comes of a cell; an error of any kind is an outcome too."""
        began, name, self._measuring = time.perf_counter(), worker_name(), cell.key
        try:
            found = self._helper.call(measure, cell)
        except Exception as error:
            kind = "" if type(error).__module__.startswith("sway_gguf.") else f"{type(error).__name__}: "
            words = one_line(f"{kind}{error}")
            return Outcome(error=words, seconds=time.perf_counter() - began, worker=name)
        finally:
            self._measuring = ""
        return Outcome(found.record, found.error, found.seconds, name, found.build)

    def call(self, function: Callable[..., Result], *args: Any) -> Result:
        """`function(*args)` where cells are measured.

        Raises:
            Exception: what it raised, or EngineError where the process ended.
        """
        return self._helper.call(function, *args)

    def stop(self, keys: Collection[str] | None = None) -> None:
        """Release what is loaded, and end what is being measured, from any thread.

        Args:
            keys: of the cells that may be ended; None for any. Where another is at work nothing happens.
        """
        measuring = self._measuring
        if keys is None or not measuring or measuring in keys:
            self._helper.stop()


def worker_name() -> str:
    """This process, for a table that names who computed what."""
    return f"{platform.node()}:{os.getpid()}"
