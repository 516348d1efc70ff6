"""The composite score of the `sway` project, on our results: its weights, bands and components.

A number without an interval that no verdict hangs on. Knows the categories of the original's kinds, which is what the
original's score is made of; a kind that it does not have goes by its axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sway_gguf.core.result import ProbeResult, SuiteResult, Verdict
from sway_gguf.core.score import Score
from sway_gguf.stats.calibration import MIN_NULLS

WEIGHTS: Mapping[str, float] = {
    "adherence": 0.30,
    "attribution": 0.35,
    "calibration": 0.20,
    "ablation": 0.15,
    "baseline": 0.0,
}
"""Of the categories, as in `DEFAULT_COMPONENT_WEIGHTS` of dlm_sway.core.result."""
_CATEGORIES = {"adapter_ablation": "ablation", "style_fingerprint": "calibration", "adapter_revert": "adherence"}
"""Where the original's category is not that of our axis."""
_BY_AXIS = {"signal": "adherence", "direction": "attribution", "collateral": "calibration", "leakage": "calibration"}
_BY_VERDICT = {Verdict.PASS: 1.0, Verdict.WARN: 0.5, Verdict.FAIL: 0.0}


class Part(NamedTuple):
    """What one probe gives: its category, its score in [0, 1] and its weight in the category."""

    category: str
    score: float
    weight: float = 1.0


def score_of(result: SuiteResult) -> Score | None:
    """The score of a run; None where no probe that counts has one."""
    parts = [found for probe in result.probes if (found := _part(probe)) is not None]
    return composite(parts) if any(WEIGHTS[part.category] > 0 for part in parts) else None


def composite(parts: Iterable[Part]) -> Score:
    """Weighted mean within each category, and over those that have a probe (dlm_sway.suite.score.compute)."""
    by_category: dict[str, list[Part]] = {category: [] for category in WEIGHTS}
    for part in parts:
        by_category[part.category].append(part)
    components = {category: _mean(found) for category, found in by_category.items()}
    active = {category: WEIGHTS[category] for category, found in by_category.items() if found}
    total = sum(active.values()) or 1.0
    overall = sum(weight * components[category] for category, weight in active.items()) / total
    return Score(overall, band(overall), components, dict(WEIGHTS))


def band(overall: float) -> str:
    """The word for a score (SwayScore.band_for)."""
    if overall < 0.3:
        return "noise"
    if overall < 0.6:
        return "partial"
    return "healthy" if overall <= 0.85 else "suspicious"


def sigmoid_of(z: float) -> float:
    """sigmoid(z/3): 0.5 at the nulls' mean, 0.88 at three standard deviations (dlm_sway.probes._zscore)."""
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, z / 3.0))))


def _mean(parts: list[Part]) -> float:
    if not parts:
        return 0.0
    total = sum(max(part.weight, 0.0) for part in parts) or 1.0
    return sum(max(part.weight, 0.0) * part.score for part in parts) / total


def _part(probe: ProbeResult) -> Part | None:
    """By its z where nulls decide it, else by its verdict; None for what was not decided or could not be measured.

    What is open though nulls do as well has its z: left out, it would raise the score of noise.
    """
    z = _z_toward(probe) if probe.verdict in _BY_VERDICT or _open_and_beaten(probe) else None
    score = _BY_VERDICT.get(probe.verdict) if z is None else sigmoid_of(z)
    if score is None:
        return None
    return Part(_CATEGORIES.get(probe.kind, _BY_AXIS.get(probe.axis, "baseline")), score)


def _open_and_beaten(probe: ProbeResult) -> bool:
    """Whether its items leave it open, though they are enough, and of enough nulls some does as well."""
    if probe.verdict != Verdict.INCONCLUSIVE or probe.null is None or probe.interval is None:
        return False
    return len(probe.null.values) >= MIN_NULLS and probe.null.beaten


def _z_toward(probe: ProbeResult) -> float | None:
    """z with the sign that makes better positive: the tail p is one-sided in the probe's own direction."""
    null = probe.null
    if null is None or null.holm_p is None or null.z is None:
        return None
    return abs(null.z) if null.tail_p <= 0.5 else -abs(null.z)
