"""Things by their name, as a mapping whose errors name the nearest one. Knows nothing of what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from sway_gguf.core.errors import UnknownNameError
from sway_gguf.spec.options import nearest


class HasName(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """Unique among its like."""
        ...


Thing = TypeVar("Thing", bound=HasName)


class Named(Mapping[str, Thing]):
    """Things by name, in order.

    Args:
        things: with names of their own.
        where: they are from, for the error, such as "this run".
    """

    def __init__(self, things: Iterable[Thing], where: str) -> None:
        self._things = {thing.name: thing for thing in things}
        self._where = where

    def __getitem__(self, name: str) -> Thing:
        """The one of this name.

        Raises:
            UnknownNameError: there is none; it is a `KeyError` too.
        """
        try:
            return self._things[name]
        except KeyError:
            hint = nearest(str(name), self._things)
            raise UnknownNameError(f"{name!r} is no probe of {self._where}, {hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
