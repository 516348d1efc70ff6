"""Adapters as a user names them: a file or folder each, and the scale it runs at. Opens none of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sway_gguf.core.names import file_name

HELD = " beside "
"""In the key of a set's nulls, between what they are drawn of and what runs with them as it is."""


@dataclass(frozen=True, slots=True)
class Lora:
    """One adapter of a set.

    Attributes:
        path: of its file or PEFT folder.
        scale: what its update is multiplied by; any finite number, as in llama.cpp.

    Raises:
        ValueError: the scale is not finite.
    """

    path: Path
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"the scale of {self.path} is {self.scale}; give a finite number")

    def __str__(self) -> str:
        return scaled_name(str(self.path), self.scale)


Loras = tuple[Lora, ...]
"""A set of adapters that run together, in the order given."""


def lora_of(text: str) -> Lora:
    """What FILE:SCALE says, the form of llama.cpp's --lora-scaled. A name may hold colons itself.

    Raises:
        ValueError: there is no scale, or it is no finite number.
    """
    name, colon, scale = text.rpartition(":")
    try:
        number = float(scale)
    except ValueError:
        number = math.nan
    if not (name and colon and math.isfinite(number)):
        raise ValueError(f"{text!r} is not FILE:SCALE, such as adapter.gguf:0.5")
    return Lora(Path(name), number)


def scaled_name(name: str, scale: float) -> str:
    """A name with the scale, where that is not 1."""
    return name if scale == 1.0 else f"{name}:{scale:g}"


def short_names(loras: Sequence[Lora]) -> tuple[str, ...]:
    """What reports call the adapters of a set: file names, with as much more as tells them apart."""
    names = [file_name(str(lora.path)) for lora in loras]
    told = [str(lora.path) if names.count(name) > 1 else name for lora, name in zip(loras, names, strict=True)]
    found = [scaled_name(name, lora.scale) for lora, name in zip(loras, told, strict=True)]
    if len({lora.path for lora in loras}) < len(loras):
        # One file several times: its folder tells nothing.
        same = Counter(lora.path for lora in loras)
        found = [
            scaled_name(name, lora.scale) if same[lora.path] > 1 else long
            for lora, name, long in zip(loras, names, found, strict=True)
        ]
    seen: Counter[str] = Counter()
    for place, name in enumerate(found):
        seen[name] += 1
        if seen[name] > 1:
            found[place] = f"{name} ({seen[name]})"
    return tuple(found)


def stack_key(members: Sequence[tuple[str, float]]) -> str:
    """Digests and scales of a set in its order, which floating point tells; of one adapter at scale 1 its digest."""
    if len(members) == 1 and members[0][1] == 1.0:
        return members[0][0]
    return " + ".join(f"{digest} * {scale!r}" for digest, scale in members)


def members_of(key: str) -> list[tuple[str, float]]:
    """The members of a set by what `stack_key` gave.

    Raises:
        ValueError: it gave something else.
    """
    parts = [part.partition(" * ") for part in key.split(" + ")]
    return [(digest, float(scale) if star else 1.0) for digest, star, scale in parts]
