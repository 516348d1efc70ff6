"""`sway-gguf sweep`: a grid of adapters, bases, scales, seeds and suites, in one process or on many machines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, engine_options, overridden
from sway_gguf.cli.output import drawing, say
from sway_gguf.cli.storing import StoreWish, store_options

if TYPE_CHECKING:
    from sway_gguf.core.sweep import CellRow
    from sway_gguf.fleet.cell import Cell
    from sway_gguf.fleet.pools import Pool
    from sway_gguf.fleet.table import Table
    from sway_gguf.spec.sweep import Sweep

_PAGE = "grid.html"
_SLOW = 1 << 30
"""Bytes that take long enough to read to say so."""


class Shard(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A part such as 2/8."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse it."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", str(value))
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count <= 100_000:
            self.fail(f"{value!r} is no part; write 1/8 to 8/8 for eight parts", param, ctx)
        return number, count


class SweepGroup(click.Group):
    """`sweep SWEEP.YAML` is `sweep run SWEEP.YAML`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` in front of what names no command."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=SweepGroup,
    epilog="Example:  sway-gguf sweep sweep.yaml",
)
def sweep() -> None:
    """Measure every cell of the grid that a SWEEP.YAML describes.

    `sweep SWEEP.YAML` is short for `sweep run SWEEP.YAML`. Results stand in one table, which a second start goes on
    with.
    """


@sweep.command(
    short_help="Measure the cells that the table has not.", epilog="Example:  sway-gguf sweep run sweep.yaml --dry-run"
)
@click.argument("sweep_path", metavar="SWEEP.YAML", type=FILE)
@click.option("--results", type=FILE, metavar="DIR", help="Folder of the table (default: SWEEP-results, here).")
@click.option("--workers", type=click.IntRange(1, 512), metavar="N", help="Measure in N processes here, by Dask.")
@click.option("--scheduler", metavar="ADDRESS", help="Measure on the workers of a Dask scheduler, as tcp://host:8786.")
@click.option("--mixed-builds", is_flag=True, help="Let workers differ in versions and llama.cpp builds.")
@click.option("--shard", type=Shard(), metavar="I/N", help="Measure part I of N alone; `sweep merge` joins them.")
@click.option("--dry-run", is_flag=True, help="Show cells and minutes; load no weights.")
@click.option("--nulls", type=click.IntRange(0, 999), help="Null adapters to compare with, in every suite.")
@store_options
@engine_options
def run(
    sweep_path: Path,
    results: Path | None,
    workers: int | None,
    scheduler: str | None,
    mixed_builds: bool,
    shard: tuple[int, int] | None,
    dry_run: bool,
    store: StoreWish,
    **overrides: Any,
) -> None:
    """Measure the grid that SWEEP.YAML describes.

    Each cell is measured in a process of its own kind, so that one which ends it costs that cell alone: it is an ERROR
    in the table, the sweep goes on, and the exit code is 1. What was measured is kept at once; the same command goes
    on after a kill.
    """
    from sway_gguf.fleet.cells import cells_of, shard_of
    from sway_gguf.fleet.table import open_table, table_name
    from sway_gguf.spec.sweep import load_sweep

    if workers and scheduler:
        raise click.UsageError(
            "--workers starts workers here and --scheduler takes those of a cluster; give one of them"
        )
    if shard and (workers or scheduler):
        raise click.UsageError("--shard is for machines without Dask; leave --workers and --scheduler out")
    if option := "--workers" if workers else "--scheduler" if scheduler else "":
        from sway_gguf.fleet.dask_quiet import check_dask

        check_dask(option)
    asked = load_sweep(sweep_path)
    folder = results or Path(f"{sweep_path.stem}-results")
    with store.opened():
        _warn_of_hashing(asked)
        cells = cells_of(asked, lambda spec: overridden(spec, seed=None, **overrides), _tell)
    if shard:
        cells = shard_of(cells, *shard)
    if dry_run:
        _show_plan(cells, folder, workers or 1)
        return
    with open_table(folder, table_name(shard)) as table:
        rows = _swept(cells, table, _pool(store, workers, scheduler, mixed_builds))
        written = _written(rows, folder, sweep_path.name, shard)
    with drawing() as console:
        from sway_gguf.report.sweep import print_sweep

        print_sweep(rows, written, console)
    if any(row.failed for row in rows):
        raise click.exceptions.Exit(1)


@sweep.command(
    short_help="Join the tables of shards.", epilog="Example:  sway-gguf sweep merge node-1 node-2 --results all"
)
@click.argument("folders", metavar="DIR...", type=FILE, nargs=-1, required=True)
@click.option("--results", type=FILE, metavar="DIR", help="Folder of the joined table (default: the first DIR).")
def merge(folders: tuple[Path, ...], results: Path | None) -> None:
    """Join what `sweep --shard` measured into one table, with its page; shards of one folder, or several folders.

    Exits with 1 where a cell is an ERROR.
    """
    from sway_gguf.fleet.table import merged

    target = results or folders[0]
    rows = merged(folders, target, _tell)
    written = _written(rows, target, target.name, None)
    with drawing() as console:
        from sway_gguf.report.sweep import print_sweep

        print_sweep(rows, written, console)
    if any(row.failed for row in rows):
        raise click.exceptions.Exit(1)


def _tell(line: str) -> None:
    say(f"sway-gguf: {line}", err=True)


def _warn_of_hashing(asked: Sweep) -> None:
    from sway_gguf.fleet.cells import bytes_to_hash
    from sway_gguf.report.numbers import size

    if (amount := bytes_to_hash(asked)) > _SLOW:
        say(f"sway-gguf: reading the models' contents ({size(amount)}), by which cells are known again", err=True)


def _show_plan(cells: Sequence[Cell], folder: Path, workers: int) -> None:
    from sway_gguf.fleet.plan import planned_sweep
    from sway_gguf.fleet.sweep import measured
    from sway_gguf.report.sweep import print_sweep_plan

    done = measured(cells, folder, _tell)
    parts = planned_sweep(cells, done)
    with drawing() as console:
        print_sweep_plan(parts, workers, console)


def _pool(store: StoreWish, workers: int | None, scheduler: str | None, mixed: bool) -> Pool:
    from functools import partial

    from sway_gguf.fleet.hand import Place, measure
    from sway_gguf.fleet.pools import Here

    # A worker of another machine has its own idea of where we are.
    measuring = partial(measure, Place(store.folder and store.folder.absolute(), store.off))
    if not (workers or scheduler):
        return Here(measuring)
    from sway_gguf.fleet.cluster import Cluster

    return Cluster(measuring, local=workers or 0, address=scheduler or "", mixed=mixed, say=_tell)


def _swept(cells: Sequence[Cell], table: Table, pool: Pool) -> list[CellRow]:
    from sway_gguf.cli.sweeping import LiveSweep
    from sway_gguf.fleet.sweep import sweep as swept

    with LiveSweep() as live:
        return swept(cells, table, pool, live)


def _written(rows: Sequence[CellRow], folder: Path, name: str, shard: tuple[int, int] | None) -> dict[str, str]:
    """Write the page and the Parquet file of a whole table; all files by what they are."""
    from sway_gguf.cli.saving import write_whole
    from sway_gguf.fleet.parquet import write_parquet
    from sway_gguf.fleet.table import table_name
    from sway_gguf.report.html import html_sweep

    written = {"table": str(folder / table_name(shard))}
    if shard is not None:
        return written
    write_whole(folder / _PAGE, html_sweep(rows, name))
    if parquet := write_parquet(rows, folder):
        written["parquet"] = str(parquet)
    return written | {"page": str(folder / _PAGE)}
