"""One cell of a sweep, as it travels to whoever measures it. Knows specs; where cells come from it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sway_gguf.core.sweep import named
from sway_gguf.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement to make.

    Attributes:
        key: digest of all that its result hangs on.
        base, adapter, scale, seed, suite: which, by the names that the sweep gives.
        spec: to run.
        digests: of base and adapter, by role; "" for what is not there.
    """

    key: str
    base: str
    adapter: str
    scale: float
    seed: int
    suite: str
    spec: Spec
    digests: Mapping[str, str]

    def __str__(self) -> str:
        return named(self)


def with_threads(cell: Cell, threads: int) -> Cell:
    """The cell on so many threads where nobody says how many; no number depends on it, and no key."""
    settings = cell.spec.engine
    if settings.threads or settings.layers:
        return cell
    engine = settings.model_copy(update={"threads": threads})
    return replace(cell, spec=cell.spec.model_copy(update={"engine": engine}))
