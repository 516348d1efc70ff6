"""The composite score of the `sway` project, as plain records. Knows shapes only; nothing here computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """One number for a run, beside its verdicts.

    Attributes:
        overall: weighted mean of the components that have a probe, 0 to 1.
        band: noise, partial, healthy or suspicious, by `overall` alone.
        components: by category; 0 for one without a probe, which takes no part.
        weights: of the categories.
    """

    overall: float
    band: str
    components: Mapping[str, float]
    weights: Mapping[str, float]
