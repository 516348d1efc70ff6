"""--lora and --lora-scaled, by llama.cpp's own names: the set of adapters that a command tests. Opens no file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, Command

if TYPE_CHECKING:
    from sway_gguf.core.loras import Lora, Loras
    from sway_gguf.spec.model import Spec
    from sway_gguf.spec.models import AdapterSpec

Owned = Sequence[tuple[Path, Path]]
"""Adapters, each with a file of text that is its own."""


class LoraScaled(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """FILE:SCALE, an adapter and what its update is multiplied by."""

    name = "file:scale"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Lora:
        """Parse it."""
        from sway_gguf.core.loras import Lora, lora_of

        if isinstance(value, Lora):
            return value
        try:
            return lora_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def lora_options(command: Command) -> Command:
    """--lora and --lora-scaled, both repeatable; the command takes them as one argument, `loras`."""

    @wraps(command)
    def gathered(*given: Any, **named: Any) -> Any:
        from sway_gguf.core.loras import Lora

        plain, scaled = named.pop("lora"), named.pop("lora_scaled")
        return command(*given, loras=(*map(Lora, plain), *scaled), **named)

    decorated: Command = gathered
    for option in (
        click.option(
            "--lora-scaled",
            type=LoraScaled(),
            multiple=True,
            metavar="FILE:SCALE",
            help="The same at another scale, such as b.gguf:0.5.",
        ),
        click.option(
            "--lora",
            type=FILE,
            multiple=True,
            metavar="FILE",
            help="An adapter that runs together with the others; may stand several times.",
        ),
    ):
        decorated = option(decorated)
    return decorated


data_of_option = click.option(
    "--data-of",
    type=(FILE, FILE),
    multiple=True,
    metavar="ADAPTER FILE",
    help="What one adapter of a set was trained on; --data is what all share.",
)


def adapters_of(adapter: Path | None, loras: Loras, data_of: Owned = ()) -> list[AdapterSpec]:
    """The adapters of a command line: the argument first, then the options.

    Raises:
        UserError: there is none, or text is given for an adapter that is not among them.
    """
    from sway_gguf.core.errors import UserError
    from sway_gguf.core.loras import Lora
    from sway_gguf.material.files import as_named
    from sway_gguf.spec.models import MOST_ADAPTERS, AdapterSpec

    given = [*([Lora(adapter)] if adapter is not None else []), *loras]
    if not given:
        raise UserError("no adapter to test; name it behind the base, or give --lora FILE or --lora-scaled FILE:SCALE")
    if len(given) > MOST_ADAPTERS:
        raise UserError(f"{len(given)} adapters; at most {MOST_ADAPTERS} are run together")
    own: dict[Path, list[Path]] = {lora.path: [] for lora in given}
    for path, text in data_of:
        if path not in own:
            names = ", ".join(map(str, own))
            raise UserError(f"--data-of {path}: no adapter of this run; write it as it is given there ({names})")
        own[path].append(text)
    return [AdapterSpec(path=each.path, scale=each.scale, data=as_named(own[each.path])) for each in given]


def with_loras(spec: Spec, loras: Loras) -> Spec:
    """`spec` with these adapters in place of its own, where any are given. One that it names keeps its text.

    Raises:
        UserError: there are too many.
    """
    from sway_gguf.spec.model import with_adapters

    if not loras:
        return spec
    known = {each.path.absolute(): each for each in spec.models.ft.members}
    found = []
    for each in adapters_of(None, loras):
        same = known.get(each.path.absolute())
        found.append(each.model_copy(update={"data": same.data, "holdout": same.holdout}) if same else each)
    return with_adapters(spec, found)
