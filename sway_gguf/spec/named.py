"""Which files and folders a spec names, and what each is to its run. Opens none.

The baseline of its gate is not among them: a run reads none, and may well write it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sway_gguf.core.inputs import at_home
from sway_gguf.spec.model import FORMATS, Spec
from sway_gguf.spec.options import BUILT_IN, CHECKPOINT, PACK
from sway_gguf.spec.paths import each_of

Role = Literal["base", "adapter", "embedder", "data", "holdout", "general", "format", "suite"]
TEXTS: tuple[Role, ...] = ("data", "holdout", "general")
"""Fields of a spec that name text."""
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A file or folder that a spec names.

    Attributes:
        role: what it is to the run; `suite` for what an entry there names.
        path: as a run finds it; for text perhaps a pattern, or the folder of a saved dataset.
        place: number of the suite's entry, and the keys down to the word in it.
        sure: whether it is named for certain. Any other word of an entry counts where a file of that name is there:
            what the options of a plugin mean, nobody knows.
    """

    role: Role
    path: Path
    place: Place = ()
    sure: bool = True


def named_in(spec: Spec) -> Iterator[Named]:
    """All of them, role by role; what is not there too."""
    yield Named("base", spec.models.base.base)
    for lora in spec.models.ft.loras:
        yield Named("adapter", lora.path)
    if spec.engine.embedder is not None:
        yield Named("embedder", spec.engine.embedder)
    for role in TEXTS:
        for path in each_of(getattr(spec, role)):
            yield Named(role, path)
    if spec.format not in FORMATS:
        yield Named("format", Path(spec.format))
    for place, word in _words_in(spec.suite):
        if (named := _by_entry(spec.folder, place, word)) is not None:
            yield named


def _words_in(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text in plain values, and where it stands."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _words_in(each, (*place, key))


def _by_entry(folder: Path, place: Place, word: str) -> Named | None:
    """What a word of an entry names, if anything."""
    option = place[-1]
    sure = option in CHECKPOINT or (option == PACK and word != BUILT_IN)
    with suppress(OSError, ValueError):
        path = folder / at_home(word)
        if word and (sure or path.is_file()):
            return Named("suite", path, place, sure)
    return None
