"""Adapters that run together, each at its scale, and the one adapter that does the same.

Knows factors and linear algebra. Draws no nulls and loads nothing into an engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora


@dataclass(frozen=True, slots=True)
class Member:
    """An adapter of a set, and the scale that its update is multiplied by.

    A member that is held runs beside the set's nulls as it is; nulls are drawn of the others.
    """

    adapter: LoraAdapter
    scale: float = 1.0
    held: bool = False


_Part = tuple[Member, LoraPair]


@dataclass(frozen=True, slots=True)
class Stack:
    """One or more adapters on one base: their updates add up, each times its scale.

    Attributes:
        members: in the order in which they are given to the engine.
    """

    members: tuple[Member, ...]

    @property
    def lone(self) -> LoraAdapter | None:
        """The only adapter at scale 1, which is what an adapter without a set is; None for any other set."""
        only = self.members[0]
        return only.adapter if len(self.members) == 1 and only.scale == 1.0 else None

    @property
    def adapters(self) -> tuple[LoraAdapter, ...]:
        """The members' own."""
        return tuple(member.adapter for member in self.members)

    @property
    def said(self) -> tuple[str, ...]:
        """What was told when they were read, such as which adapter of a folder was taken."""
        return tuple(adapter.said for adapter in self.adapters if adapter.said)

    @property
    def turned(self) -> Stack:
        """What nulls are drawn of: all that is not held."""
        return Stack(tuple(member for member in self.members if not member.held))

    def joined(self) -> Member:
        """One adapter with the update of all: B is [λ₁s₁B₁, λ₂s₂B₂, …], A is A₁, A₂, … below each other.

        A set of one is itself. Of several, a module's rank is the sum of the ranks there, and B, which holds the
        scales, is in float32.
        """
        if len(self.members) == 1:
            return self.members[0]
        modules = self._modules()
        alpha = float(max(_rank(found) for found in modules.values()))
        pairs = tuple(_joined_pair(module, modules[module], alpha) for module in sorted(modules))
        first = self.adapters[0]
        skipped = tuple(dict.fromkeys(name for adapter in self.adapters for name in adapter.skipped))
        path = Path("+".join(adapter.path.name for adapter in self.adapters))
        return Member(LoraAdapter(path, first.architecture, alpha, pairs, skipped, first.base_name, in_file=False))

    def as_one(self) -> LoraAdapter:
        """One adapter that does at scale 1 what the set does; the only one where that is so already.

        Raises:
            UserError: a single adapter at scale 0, which is none.
        """
        one = self.joined()
        if one.scale == 1.0:
            return one.adapter
        if one.scale == 0.0:
            raise UserError(f"{one.adapter.path}: at scale 0 it is no adapter; give another scale")
        return replace(one.adapter, alpha=one.adapter.alpha * one.scale, in_file=False)

    def mean_weights(self) -> dict[str, float]:
        """By module √(Σ (λs)²r / Σ r) over the members that adapt it: the scaling at which factors that are alike in
        all columns have the energy that they have member by member."""
        return {
            module: math.sqrt(sum(_weight(*each) ** 2 * each[1].rank for each in found) / _rank(found))
            for module, found in self._modules().items()
        }

    def _modules(self) -> dict[str, list[_Part]]:
        """Who adapts what."""
        found: dict[str, list[_Part]] = {}
        for member in self.members:
            for pair in member.adapter.pairs:
                found.setdefault(pair.module, []).append((member, pair))
        return found

    def cosine(self, one: int, other: int) -> float:
        """⟨ΔW₁, ΔW₂⟩ / (‖ΔW₁‖·‖ΔW₂‖) over all modules, scales included: 1 the same update, −1 its opposite, 0 for
        updates that have nothing in common, and where one of them is none."""
        first, second = self.members[one], self.members[other]
        own = {pair.module: pair for pair in first.adapter.pairs}
        product = sum(
            _weight(first, own[pair.module]) * _weight(second, pair) * own[pair.module].inner(pair)
            for pair in second.adapter.pairs
            if pair.module in own and own[pair.module].shape == pair.shape
        )
        sizes = [
            math.sqrt(sum((_weight(member, pair) * pair.product_norm()) ** 2 for pair in member.adapter.pairs))
            for member in (first, second)
        ]
        return max(-1.0, min(1.0, product / (sizes[0] * sizes[1]))) if sizes[0] * sizes[1] > 0 else 0.0


Adapted = LoraAdapter | Stack
"""What may stand where an adapter is wanted."""


def as_stack(given: Adapted) -> Stack:
    """`given` as a set; an adapter alone is a set of one at scale 1."""
    return given if isinstance(given, Stack) else Stack((Member(given),))


def read_stack(loras: Sequence[Lora], base: BaseModel) -> Stack:
    """Read or convert every adapter of a set; a file that stands in it several times is read once.

    Raises:
        UserError: one cannot be used, or does not fit `base`.
    """
    read = {path: read_adapter(path, base) for path in dict.fromkeys(lora.path for lora in loras)}
    return Stack(tuple(Member(read[lora.path], lora.scale) for lora in loras))


def _joined_pair(module: str, found: Sequence[_Part], alpha: float) -> LoraPair:
    rank = _rank(found)
    a = np.concatenate([pair.a for _, pair in found], axis=-2)
    # As the engine has it, the scaling of the joined pair is alpha over its own rank.
    b = np.concatenate([pair.b * np.float32(_weight(m, pair) * rank / alpha) for m, pair in found], axis=-1)
    types = {pair.a_type for _, pair in found}
    return LoraPair(module, a, b, types.pop() if len(types) == 1 else "F32", "F32")


def _rank(found: Sequence[_Part]) -> int:
    return sum(pair.rank for _, pair in found)


def _weight(member: Member, pair: LoraPair) -> float:
    """λ·alpha / r."""
    return member.scale * member.adapter.scaling(pair)
