"""`sway-gguf store`: what is kept of earlier runs, how to be rid of it, and whether it is still true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sway_gguf.cli.common import FILE, Command
from sway_gguf.cli.finite import Finite
from sway_gguf.cli.output import say, say_json
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text

if TYPE_CHECKING:
    from sway_gguf.engine.store import AnswerStore

_DAY = 86_400


@click.group(
    epilog="Example:  sway-gguf store info",
)
def store() -> None:
    """Look at, empty or check the store, which keeps what the model answered so that nothing is asked twice.

    It lies in the cache folder, or where --store or SWAY_GGUF_STORE says. See docs/store.md.
    """


def _where(command: Command) -> Command:
    return click.option("--store", "folder", type=FILE, metavar="DIR", help="The store there, not the usual one.")(
        command
    )


@store.command(short_help="Tell where it lies and what it holds.", epilog="Example:  sway-gguf store info --json")
@_where
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(folder: Path | None, as_json: bool) -> None:
    """Tell where the store lies, how large it is and may be, and how much it holds of which base.

    A base is known by its contents, and told with the name under which a run last saw it.
    """
    from dataclasses import asdict

    from sway_gguf.engine.keeping import base_in
    from sway_gguf.engine.store_digests import RememberedDigests
    from sway_gguf.engine.store_place import store_bound

    with _opened(folder) as answers:
        assert answers.file.path is not None
        holding, path, bound = answers.holding(), answers.file.path, store_bound()
        aside, remembered = answers.file.set_aside, RememberedDigests(answers.file)
        bases = [(digest, remembered.name(digest), share) for digest, share in answers.shares(base_in).items()]
    if holding is None or answers.trouble:
        raise UserError(answers.trouble)
    if as_json:
        parts = [{"sha256": digest, "file": name, **asdict(share)} for digest, name, share in bases]
        say_json(json_text({"path": str(path), "bound": bound, **asdict(holding), "bases": parts}, indent=1) + "\n")
        return
    from sway_gguf.report.numbers import count, size

    since = ""
    if holding.oldest is not None and holding.newest is not None:
        since = f", kept from {_day(holding.oldest)} to {_day(holding.newest)}"
    say(f"file     {path}")
    say(f"size     {size(holding.size)} of at most {size(bound)}")
    say(f"answers  {count(holding.entries)}{since}")
    for digest, name, share in bases:
        held = f"{count(share.entries)} answers, {size(share.size)}"
        known = f"sha256 {digest[:12]}, {name or 'no file of it is remembered'}" if digest else "of another format"
        say(f"  base   {held}: {known}")
    say(f"digests  of {count(holding.digests)} files")
    if aside:
        say(f"damaged  {aside} ({size(aside.stat().st_size)}), set aside; `sway-gguf store clear` removes it")


@store.command(short_help="Forget what it holds.", epilog="Example:  sway-gguf store clear --unused-for 30")
@_where
@click.option("--unused-for", type=Finite(0), metavar="DAYS", help="Only what no run has used for so long.")
def clear(folder: Path | None, unused_for: float | None) -> None:
    """Forget all answers and digests, or answers that nobody used for DAYS; the disk gets the room back.

    Runs that are under way go on, and keep what they ask from then on.
    """
    from sway_gguf.report.numbers import count, size

    with _opened(folder) as answers:
        before = answers.file.size()
        removed = answers.clear(None if unused_for is None else unused_for * _DAY)
        if unused_for is None:
            answers.file.drop_set_aside()
        after = answers.file.size() if answers.on else before
    if answers.trouble:
        raise UserError(answers.trouble)
    say(f"{answers.file.path}: {count(removed)} answers removed, {size(max(before - after, 0))} given back")


@store.command(
    short_help="Compute some answers again and compare.",
    epilog="Example:  sway-gguf store verify base.gguf adapter.gguf --sample 20",
)
@click.argument("files", metavar="[MODEL]...", type=FILE, nargs=-1)
@click.option("--sample", type=click.IntRange(1), default=20, show_default=True, help="Answers to draw at random.")
@_where
def verify(files: tuple[Path, ...], sample: int, folder: Path | None) -> None:
    """Compute a sample of the answers again and compare them bit for bit; one that differs is removed.

    Models are looked for where runs last saw them; name those that have moved, bases and adapters. Answers of other
    builds of llama.cpp cannot be computed here.

    Exits with 1 where any differs.
    """
    from sway_gguf.artifacts.digest import remembering
    from sway_gguf.cli.progress import progress_bar
    from sway_gguf.core.inputs import check_input
    from sway_gguf.engine.again import Again
    from sway_gguf.engine.store_check import Checked, checked
    from sway_gguf.engine.store_digests import RememberedDigests

    for path in files:
        if not path.is_dir():
            check_input(path, "a base or an adapter")
    with _opened(folder) as answers:
        digests = RememberedDigests(answers.file)
        with (
            remembering(digests),
            Again(files, digests.places) as again,
            progress_bar(sample, unit="answers") as advance,
        ):
            found = checked(answers, sample, again, lambda: advance("computed again", 1))
    if answers.trouble:
        raise UserError(answers.trouble)
    if found == Checked():
        say("it holds no answers")
        return
    computed = found.agreed + found.differed
    if found.unknown and not computed:
        raise UserError(
            f"none of {found.unknown} answers could be computed here: their models are not where they were seen, or "
            "another build of llama.cpp gave them; name the models"
        )
    left = f"; {found.unknown} could not be computed here" if found.unknown else ""
    say(f"{computed} answers computed again: {found.agreed} agree bit for bit, {found.differed} differ{left}")
    if found.differed:
        raise click.exceptions.Exit(1)


@contextmanager
def _opened(folder: Path | None) -> Iterator[AnswerStore]:
    """The store, in use.

    Raises:
        UserError: it is turned off, there is none, or it cannot be used.
    """
    from sway_gguf.engine.store import open_store
    from sway_gguf.engine.store_file import NAME
    from sway_gguf.engine.store_place import VARIABLE, store_bound, store_folder

    place = store_folder(folder)
    if place is None:
        raise UserError(f"{VARIABLE} turns the store off; name one with --store DIR")
    if not (place / NAME).exists():
        raise UserError(f"{place}: no store is there yet; the first run begins one, or name another with --store DIR")
    with open_store(place, store_bound()) as answers:
        if not answers.on:
            raise UserError(answers.trouble)
        yield answers


def _day(seconds: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")
