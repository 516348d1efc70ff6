"""What Dask calls in its workers: each of their processes has one `Worker` of ours.

Knows Dask by the arguments that it gets alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from sway_gguf.core.engine_settings import usual_threads
from sway_gguf.fleet.cell import Cell, with_threads
from sway_gguf.fleet.hand import Build, Measure, Outcome
from sway_gguf.fleet.worker import Worker

RESOURCE = "sway-gguf model"
"""Each worker has one: whatever its threads, and whoever asks, it holds one model at a time."""


@cache
def _worker() -> Worker:
    return Worker()


def outcome_of(measure: Measure, cell: Cell, threads: int) -> Outcome:
    """What comes of a cell here, on the threads that Dask gives this worker, or as many as a model takes here."""
    return _worker().outcome(measure, with_threads(cell, min(threads, usual_threads())))


def build_there(build: Callable[[], Build]) -> Build:
    """What computes here."""
    return _worker().call(build)


async def welcomed(dask_worker: Any) -> None:
    """Give the worker its one model."""
    await dask_worker.set_resources(**{RESOURCE: 1})


def stopped(keys: Collection[str]) -> None:
    """Release the model, and end what is being measured where it is one of these cells."""
    _worker().stop(keys)
