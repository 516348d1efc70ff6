"""What replaying a merge found: tensor by tensor, is it the base with the adapter's update, and at which scale.

Holds values; reads no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["whole", "scaled", "lacks", "other", "unclear", "broken"]
_APART = 0.01
"""Scales that lie within this of each other are one."""


@dataclass(frozen=True, slots=True)
class TensorReplay:
    """One tensor of a merged file.

    Attributes:
        name: by llama.cpp.
        type: under which the merged file stores it.
        adapted: whether the adapter has an update for it that is not zero.
        state: `whole`: what merging at scale 1 gives, or the base where there is no update; `scaled`: the update at
            another scale; `lacks`: the base without it; `other`: something besides, or in its place; `unclear`: the
            update is too small beside the rounding; `broken`: NaN or infinity.
        exact: every number that was compared is that of the replay, bit for bit (at its own scale if `scaled`, of the
            base alone if `lacks`).
        scale: λ, by least squares of merged − base on the update, or that at which all bits are equal; None where there
            is no update.
        error: four standard errors of it.
        left: what rounding to this type leaves of the whole update, as the same fit measures it.
        beyond: root mean square of what the fit does not explain, over that of the rounding.
    """

    name: str
    type: str
    adapted: bool
    state: State
    exact: bool
    scale: float | None = None
    error: float | None = None
    left: float | None = None
    beyond: float = 0.0


@dataclass(frozen=True, slots=True)
class Replay:
    """A merged file against its base and adapter.

    Attributes:
        base, adapter: the files, as they were given.
        tensors: those of both base and merged file, in the base's order.
        missing: tensors of the base that the merged file lacks.
        extra: tensors that the base does not have.
        reshaped: tensors of another shape.
    """

    base: str
    adapter: str
    tensors: tuple[TensorReplay, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()

    def adapted(self, *states: State) -> list[TensorReplay]:
        """The tensors with an update, in these states; all of them where none is named."""
        return [one for one in self.tensors if one.adapted and (not states or one.state in states)]

    @property
    def untouched(self) -> list[TensorReplay]:
        """The tensors without one."""
        return [one for one in self.tensors if not one.adapted]

    @property
    def strangers(self) -> list[TensorReplay]:
        """Tensors without an update that are not the base's: signs of another base."""
        return [one for one in self.untouched if one.state == "other"]

    @property
    def of_another_base(self) -> bool:
        """Whether most of what the adapter leaves alone differs, or the shapes do."""
        return bool(self.reshaped) or 2 * len(self.strangers) > len(self.untouched)

    @property
    def common_scale(self) -> float | None:
        """λ where every tensor with the update has it at one scale that is not 1; None otherwise."""
        there = self.adapted("whole", "scaled")
        scales = [one.scale for one in there if one.scale is not None]
        if not scales or self.adapted("whole"):
            return None
        middle = sorted(scales)[len(scales) // 2]
        agree = all(abs(one.scale - middle) <= max(_APART, one.error or 0) for one in there if one.scale is not None)
        return middle if agree else None


def kept_by_rounding(tensors: Sequence[TensorReplay], least: float) -> list[TensorReplay]:
    """Tensors of which rounding leaves less than the share `least` of the update."""
    return [one for one in tensors if one.left is not None and one.left < least]
