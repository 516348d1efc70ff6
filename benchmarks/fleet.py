"""Two workers of a sweep against one, with one thread each: the same cells, each side's processes started before.

Knows how to time. Cells differ in their seed alone, so that nothing but the base is shared; no answer is kept. Those of
the demo are `check`; of the real model, fewer cells with two probes make a round of half a minute.

    python -m benchmarks.fleet
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.models import base_of, base_option, random_adapter
from benchmarks.sides import Finding, Goal, in_turns, left_out, main, ratio_of
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.cells import cells_of
from sway_gguf.fleet.cluster import Cluster
from sway_gguf.fleet.dask_quiet import check_dask
from sway_gguf.fleet.hand import Outcome, Place, measure
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.sweep import Sweep

_GOAL = Goal("≥", 1.8)
_CELLS, _FEW = 8, 2
"""Of one round; of a quick one."""
_OF_REAL = 4
"""Of one round of the real model."""
_SHORT = ("applied", "delta_kl")
"""What is asked of the real model: with nulls, as every cell has them, and without long text."""


class Counted:
    """Counts what came of cells.

    Raises:
        EngineError: in `ended`, for a cell that gave no result.
    """

    def began(self, cell: Cell, worker: str) -> None:
        """Nothing to count."""

    def shared(self, cell: Cell, share: float) -> None:
        """Nothing to count."""

    def ended(self, cell: Cell, outcome: Outcome) -> None:
        """A cell that failed takes no time worth comparing."""
        if not outcome.record:
            raise EngineError(f"{cell}: {outcome.error}")

    def waiting(self, why: str) -> None:
        """Workers are there."""


def cells_on(base: Path, adapter: Path, data: Path | None, count: int, kinds: Sequence[str] = ()) -> list[Cell]:
    """So many cells with one thread: of `check`, or of these kinds of probes on two prompts."""
    size = {"items": 6, "prompts": 2 if kinds else 6}
    sweep = Sweep(
        bases=[str(base)],
        adapters=[str(adapter)],
        seeds=list(range(count)),
        data=data,
        defaults={"nulls": 5, **size},
        engine={"threads": 1, "parallel": 1},
    )
    suite = {"suite": [{"name": kind, "kind": kind} for kind in kinds]} if kinds else {}
    return cells_of(sweep, lambda spec: spec.model_copy(update=suite))


def compare(base: Path, cells: list[Cell], options: argparse.Namespace) -> Iterator[Finding]:
    """Cells per minute of two workers against one."""
    with ExitStack() as stack:
        work = {}
        for count in (2, 1):
            pool = stack.enter_context(Cluster(partial(measure, Place(off=True)), local=count))
            pool.build()
            work[str(count)] = partial(pool.run, cells, Counted())
        times = in_turns(work, options.repeat)
    ratio, spread = ratio_of(times["1"], times["2"])
    speeds = [60 * len(cells) / statistics.median(times[side]) for side in ("2", "1")]
    what = f"{base.name}, a sweep's cells on two workers with one thread each"
    yield Finding(what, speeds[0], "cells/min", "one worker", speeds[1], ratio, spread, _GOAL)


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """The small model, and the real one where it can be had."""
    try:
        check_dask("two workers")
    except UserError as error:
        yield left_out("a sweep's cells on two workers", error)
        return
    count = _FEW if options.quick else _CELLS
    with tempfile.TemporaryDirectory() as scratch:
        demo = DEMO / "base.f32.gguf"
        yield from compare(demo, cells_on(demo, DEMO / "healthy.lora.gguf", DEMO / "document.md", count), options)
        try:
            base = base_of(options)
        except UserError as error:
            yield left_out("the real demo's model", error)
            return
        adapter = random_adapter(read_base(base), 8, Path(scratch))
        yield from compare(base, cells_on(base, adapter, None, min(count, _OF_REAL), _SHORT), options)


if __name__ == "__main__":
    main(__doc__, measured, base_option)
