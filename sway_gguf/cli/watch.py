"""`sway-gguf watch`: test an adapter each time that it was written anew."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, FILES, SECONDS, engine_options, format_options, overridden
from sway_gguf.cli.output import say
from sway_gguf.cli.progress import progress_bar
from sway_gguf.cli.running import watching
from sway_gguf.cli.storing import StoreWish, store_options

if TYPE_CHECKING:
    from sway_gguf.core.result import SuiteResult
    from sway_gguf.engine.warm import Warm
    from sway_gguf.suite.prepare import Prepared

_SHOWN = 6
"""Values in a line."""


@click.command(
    epilog="Example:  sway-gguf watch adapter.gguf --base base.gguf --data train.md --history runs/",
)
@click.argument("watched", metavar="ADAPTER|SWAY.YAML", type=FILE)
@click.option("--base", type=FILE, help="The base GGUF; SWAY.YAML names its own.")
@click.option("--data", **FILES, help="What the adapter was trained on.")
@click.option("--holdout", **FILES, help="Text like it that was kept out of training.")
@click.option("--general", **FILES, help="Unrelated text that must not suffer.")
@click.option("--history", type=FILE, default=Path(".sway-history"), show_default=True, help="Folder for results.")
@click.option(
    "--on-fail",
    metavar="CMD",
    help="Run without a shell where an adapter is neither healthy nor inconclusive; the words {result}, {diagnosis} "
    "and {adapter} are replaced.",
)
@click.option("--once", is_flag=True, help="End once the adapter was tested.")
@click.option("--every", type=SECONDS, default="2s", show_default=True, help="How often to look.")
@click.option("--nulls", type=click.IntRange(0, 999), help="Null adapters to compare with (default 19).")
@click.option("--seed", type=click.IntRange(0), help="Seed of everything random (default 0).")
@format_options
@store_options
@engine_options
def watch(
    watched: Path,
    base: Path | None,
    data: tuple[Path, ...],
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
    history: Path,
    on_fail: str | None,
    once: bool,
    every: float,
    store: StoreWish,
    **overrides: Any,
) -> None:
    """Test ADAPTER now and each time that it was written anew, or that of SWAY.YAML.

    It is tested once it is whole and at rest, and only where its content changed. The base stays loaded. A line says
    what came out; --history keeps every result. Ctrl-C ends it.
    """
    from sway_gguf.core.errors import UserError
    from sway_gguf.engine.factory import open_backend
    from sway_gguf.engine.warm import Warm
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.prepare import first_spec
    from sway_gguf.watch.history import History
    from sway_gguf.watch.hook import Hook
    from sway_gguf.watch.loop import Watch

    if watched.suffix.lower() in (".yaml", ".yml"):
        if base or data or holdout or general:
            raise UserError(f"{watched}: a spec names its own files; leave --base, --data and the like out")
        spec = load_spec(watched)
    elif base is None:
        raise UserError(f"{watched}: an adapter alone; give --base FILE, or a spec")
    else:
        spec = first_spec(base, watched, data=data, holdout=holdout, general=general)
    hook = Hook(on_fail) if on_fail is not None else None
    spec = overridden(spec, **overrides)
    with store.opened() as answers:
        warm = Warm(partial(open_backend, store=answers))
        loop = Watch(spec, History(history), partial(_test, warm), _tell, partial(say, err=True), hook, every)
        try:
            loop.run(once)
        finally:
            warm.drop()


def _test(warm: Warm, prepared: Prepared) -> SuiteResult:
    from sway_gguf.suite.watched import run_warm

    return run_warm(prepared, warm, partial(watching, prepared, progress_bar))


def _tell(result: SuiteResult, path: Path, before: dict[str, float]) -> None:
    """One line: the diagnosis, values with how they changed, and where the whole result is."""
    from sway_gguf.report import numbers

    values = []
    for probe in result.probes:
        if probe.null is None or probe.value is None:
            continue
        last = before.get(probe.name)
        change = "" if last is None else f" ({numbers.number(probe.value - last, signed=True)})"
        values.append(f"{probe.name} {numbers.number(probe.value)}{change}")
    say(f"{result.diagnosis}: {', '.join(values[:_SHOWN])}{'; ' if values else ''}{path}")
