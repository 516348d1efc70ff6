"""--store and --no-store: which answer store a command uses. Knows options; what a store is stands in `engine`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, Command
from sway_gguf.cli.output import say

if TYPE_CHECKING:
    from sway_gguf.engine.store import AnswerStore


@dataclass(frozen=True, slots=True)
class StoreWish:
    """What a command says of the store.

    Attributes:
        folder: to use in place of the usual one.
        off: whether to use none.
    """

    folder: Path | None = None
    off: bool = False

    @property
    def options(self) -> dict[str, object]:
        """The options by name, with what was given."""
        return {"--store": self.folder, "--no-store": self.off}

    @contextmanager
    def opened(self) -> Iterator[AnswerStore]:
        """The store, and hashes of files remembered in it, for the length of the block.

        Where it cannot be used, or no longer, stderr says so once and the work goes on.

        Raises:
            UserError: SWAY_GGUF_STORE_SIZE is no size.
        """
        from sway_gguf.artifacts.digest import remembering
        from sway_gguf.engine.store_digests import RememberedDigests
        from sway_gguf.engine.store_place import usual_store

        with usual_store(self.folder, off=self.off) as store, remembering(RememberedDigests(store.file)):
            told = store.trouble
            if told:
                say(f"sway-gguf: {told}", err=True)
            try:
                yield store
            finally:
                if store.trouble != told:
                    say(f"sway-gguf: {store.trouble}", err=True)


def store_options(command: Command) -> Command:
    """--store and --no-store; the command takes both as one argument, `store`."""

    @wraps(command)
    def gathered(*given: Any, store: Path | None, no_store: bool, **named: Any) -> Any:
        if store is not None and no_store:
            raise click.UsageError("--store names a store and --no-store wants none; give one of them")
        return command(*given, store=StoreWish(store, no_store), **named)

    decorated: Command = gathered
    for option in (
        click.option("--no-store", is_flag=True, help="Ask the model everything, and keep no answer."),
        click.option(
            "--store",
            type=FILE,
            metavar="DIR",
            help="Keep answers there, and ask nothing twice (default: in the cache folder; SWAY_GGUF_STORE).",
        ),
    ):
        decorated = option(decorated)
    return decorated
