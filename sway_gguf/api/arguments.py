"""What callers may pass for a path, a duration or progress, as the rest of the package has them. Runs nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sway_gguf.cli.progress import Advance, Progress, progress_bar
from sway_gguf.cli.storing import StoreWish
from sway_gguf.core.errors import UserError
from sway_gguf.spec.models import AdapterSpec, Tested

PathLike = str | os.PathLike[str]
PathsLike = PathLike | Sequence[PathLike] | None
AdaptersLike = PathLike | Sequence[PathLike | tuple[PathLike, float]]
"""An adapter, or a set of them, each at scale 1 unless one stands beside it."""
Watcher = Callable[[int, int, str], object]
"""Called with the tokens done, all tokens, and the view that is being asked."""
ProgressLike = bool | Watcher | None
StoreLike = PathLike | bool | None


def path_of(given: PathLike, what: str) -> Path:
    """A path.

    Args:
        given: by the caller.
        what: it is, for the error.

    Raises:
        UserError: it is none.
    """
    try:
        path = os.fspath(given)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise UserError(f"{what}: a path is wanted, this is {type(given).__name__}; give a str or a pathlib.Path")
    return Path(path)


def tested_of(given: AdaptersLike, what: str) -> Tested:
    """An adapter, or those of a set.

    Raises:
        UserError: something in it is no path, or no finite scale.
    """
    if isinstance(given, str | os.PathLike) or not isinstance(given, Sequence):
        return path_of(given, what)
    found = []
    for each in given:
        if isinstance(each, tuple) and len(each) != 2:
            raise UserError(f"{what}: {each!r} is no pair; give (path, scale), or a path alone")
        path, scale = each if isinstance(each, tuple) else (each, 1.0)
        if not isinstance(scale, int | float) or not math.isfinite(scale):
            raise UserError(f"{what}: {scale!r} is no scale; give a finite number beside the path")
        found.append(AdapterSpec(path=path_of(path, what), scale=scale))
    if not found:
        raise UserError(f"{what}: an empty set; give one adapter or more")
    return found


def paths_of(given: PathsLike, what: str) -> Path | list[Path] | None:
    """One path, several, or None.

    Raises:
        UserError: something in it is no path.
    """
    if given is None:
        return None
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [path_of(each, what) for each in given]
    return path_of(given, what)


def store_of(given: StoreLike) -> StoreWish:
    """Which answer store to use.

    Args:
        given: the folder of one, False for none, or None or True for the usual one.

    Raises:
        UserError: it is none of these.
    """
    if given is None or isinstance(given, bool):
        return StoreWish(off=given is False)
    return StoreWish(path_of(given, "store"))


def progress_of(given: ProgressLike) -> Progress:
    """How far a run is: by default a bar in a terminal or a notebook, and elsewhere a line every 30 seconds on stderr.

    Args:
        given: False for silence, a function to be told, or None or True for the default.
    """
    if callable(given):
        return _told(given)
    return _silent if given is False else progress_bar


@contextmanager
def _silent(total: int, most: int, **_: object) -> Iterator[Advance]:
    yield lambda what, tokens: None


def _told(watcher: Watcher) -> Progress:
    @contextmanager
    def progress(total: int, most: int, **_: object) -> Iterator[Advance]:
        done = 0

        def advance(what: str, tokens: int) -> None:
            nonlocal done
            done += tokens
            watcher(done, total if done <= total else most, what)

        yield advance

    return progress
