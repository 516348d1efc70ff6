"""What an adapter's factors say of it, module by module. Knows numbers; not how they were read."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """One adapted tensor.

    Attributes:
        module: its name.
        rank: r.
        shape: of the update, (d_out, d_in).
        finite: whether both factors are free of NaN and infinity; the rest is empty where not.
        singular: [k] singular values of ΔW, scaling included, descending.
        b_singular: [k] singular values of B, descending.
        b_spread: root mean square of B's entries.
    """

    module: str
    rank: int
    shape: tuple[int, ...]
    finite: bool
    singular: tuple[float, ...] = ()
    b_singular: tuple[float, ...] = ()
    b_spread: float = 0.0

    @property
    def norm(self) -> float:
        """‖ΔW‖ (Frobenius)."""
        return math.sqrt(sum(value**2 for value in self.singular))


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """A whole adapter.

    Attributes:
        alpha: as stored.
        modules: in name order.
        skipped: tensors that llama.cpp leaves out.
        name: in a set what reports call it; "" for an adapter alone.
    """

    alpha: float
    modules: tuple[ModuleFacts, ...]
    skipped: tuple[str, ...] = ()
    name: str = ""
