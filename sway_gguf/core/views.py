"""Names of views: the model seen through one choice of adapter. Knows nothing of how a view is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sway_gguf.core.listing import listed

Design = Literal["rotation", "spectrum", "gaussian"]
DESIGNS: tuple[Design, ...] = ("rotation", "spectrum", "gaussian")
Energy = Literal["rank", "original"]
ENERGIES: tuple[Energy, ...] = ("rank", "original")
DEFAULT_INIT_SCALE = 0.02


@dataclass(frozen=True, slots=True)
class NullDesign:
    """How null adapters are drawn.

    Attributes:
        design: `rotation`, `spectrum` or `gaussian`.
        rank_scale: rank of the null relative to the adapter's, > 0.
        init_scale: standard deviation of both factors; `gaussian` only.
        energy: how the size follows rank_scale: `rank` as an update of that rank has it, or `original` as the
            `sway` project draws nulls.
    """

    design: Design = "rotation"
    rank_scale: float = 1.0
    init_scale: float = DEFAULT_INIT_SCALE
    energy: Energy = "rank"

    def __post_init__(self) -> None:
        if self.design not in DESIGNS:
            raise ValueError(f"null design {self.design!r} is none of {', '.join(DESIGNS)}")
        if not 0 < self.rank_scale < float("inf"):
            raise ValueError(f"rank_scale must be positive and finite, not {self.rank_scale}")
        if not 0 < self.init_scale < float("inf"):
            raise ValueError(f"init_scale must be positive and finite, not {self.init_scale}")
        if self.energy not in ENERGIES:
            raise ValueError(f"energy {self.energy!r} is none of {', '.join(ENERGIES)}")

    @property
    def energy_scale(self) -> float:
        """E‖ΔW'‖² over its value at rank_scale 1.

        An update of k times the rank is a sum of k times as many terms: k times the energy. The original scales
        the standard deviation of both factors by √k instead, and so their product's energy by k².
        """
        return self.rank_scale if self.energy == "rank" else self.rank_scale**2


@dataclass(frozen=True, slots=True)
class BaseView:
    """The base alone. `rerun` asks for other batches and an update too small to matter, to see the numerical noise."""

    rerun: bool = False

    def __str__(self) -> str:
        return "base (rerun)" if self.rerun else "base"


@dataclass(frozen=True, slots=True)
class ScaledView:
    """Base plus the adapter's update, or that of all adapters of a set, times `scale`; 1 is the tuned model."""

    scale: float = 1.0

    def __str__(self) -> str:
        return "tuned" if self.scale == 1.0 else f"tuned at λ={self.scale:g}"


@dataclass(frozen=True, slots=True)
class MemberView:
    """Base plus one adapter of a set alone, at the scale that it has there. `place` counts from 0."""

    place: int

    @property
    def places(self) -> tuple[int, ...]:
        """As a part of several has them."""
        return (self.place,)

    def __str__(self) -> str:
        return f"adapter {self.place + 1} alone"


@dataclass(frozen=True, slots=True)
class PartView:
    """Base plus several adapters of a set without the others, at the scales that they have there; `places` in order."""

    places: tuple[int, ...]

    def __str__(self) -> str:
        return f"adapters {listed([str(place + 1) for place in self.places])} without the others"


@dataclass(frozen=True, slots=True)
class NullView:
    """Base plus a null adapter."""

    seed: int
    design: NullDesign = NullDesign()

    def __str__(self) -> str:
        return f"null {self.seed} ({self.design.design})"


SetPart = MemberView | PartView
"""Some adapters of a set without the others: `places` says which."""
View = BaseView | ScaledView | MemberView | PartView | NullView


def is_rerun(view: View) -> bool:
    """Whether `view` is the base as it shows its own noise."""
    return isinstance(view, BaseView) and view.rerun


def kind_of(view: View) -> str:
    """Which sort of view it is: base, tuned, scaled, alone, part or null."""
    if isinstance(view, NullView):
        return "null"
    if isinstance(view, MemberView):
        return "alone"
    if isinstance(view, PartView):
        return "part"
    if isinstance(view, ScaledView):
        return "tuned" if view.scale == 1.0 else "scaled"
    return "base"


BASE = BaseView()
BASE_RERUN = BaseView(rerun=True)
TUNED = ScaledView(1.0)
