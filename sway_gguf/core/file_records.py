"""The files that took part in a run, as plain records. Knows what their headers say; opens none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BaseRecord:
    """What a base's header says.

    Attributes:
        name, architecture, license: as stored; "" for what is not.
        parameters: weights.
        types: tensors by type of weights, most frequent first.
        vocabulary, context_length: tokens.
    """

    name: str
    architecture: str
    parameters: int
    types: Mapping[str, int]
    vocabulary: int
    context_length: int
    license: str = ""


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """What an adapter's header says.

    Attributes:
        modules: adapted tensors.
        ranks: that occur.
        alpha: as stored.
        scale: what its update is multiplied by, beside the alpha.
    """

    modules: int
    ranks: tuple[int, ...]
    alpha: float
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that took part.

    Attributes:
        role: base, adapter, data, holdout, general, or template.
        path: as given.
        sha256: of its contents.
        size: bytes.
        base, adapter: what its header says, of a file in that role.
    """

    role: str
    path: str
    sha256: str
    size: int
    base: BaseRecord | None = None
    adapter: AdapterRecord | None = None
