"""From distances to a verdict: which candidate is nearest, how surely, and whether it is near enough to be the one.

Nearest is not the same: a server of another model is nearest to something too. So what is called tuned or base lies
within a tenth of what the adapter changes, of a set within a sixteenth of what its smallest member does, and no farther
than another quantization of one model does. Knows distances and names; asks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.served import Fit, Heard, Serves
from sway_gguf.core.views import TUNED, MemberView
from sway_gguf.served.candidates import MOST_PARTS, Candidate
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.stats.nearest import nearest, surely_above

ALPHA = 0.01
MOST_SHARE = 0.1
"""Of the adapter's effect, that the nearest candidate may be off."""
MOST_OF_MEMBER = 1 / 16
"""Of what the smallest member of a set changes, that the set at full scale may be off: a divergence goes with the
square of what a scale is off, so this is a quarter of that member's. A single adapter at ¾ is another candidate."""
MOST_NATS = 0.01
"""That it may be off in all; what another quantization of the same model comes to stands in the design notes."""
SURELY_FARTHER = 0.03
"""Nats from which on it is none of the candidates, whichever is nearest."""
MOST_STRANGE = 0.3
"""Share of its tokens that a server may spell otherwise than we do."""
MOST_OF_REPLIES = 0.35
"""Of the effect on greedy replies, which part for good at the first token that rounds the other way."""
LOGPROBS, REPLIES = "log-probabilities", "replies"


@dataclass(frozen=True)
class Measured:
    """What one way of asking brought, in numbers.

    Attributes:
        asked_as, endpoint, evidence: as `Heard` has them.
        candidates: [k].
        distances: [k, n] of what the server told from each, prompt by prompt.
        effect: [n] distance of tuned from base.
        strange: [n] share of its tokens that the base's vocabulary does not have.
        floor: mean distance of the base from itself by rounding; None where that was not measured.
        ways: how many ways of asking are decided on, to correct for.
        least: mean distance of a set from itself without the member that it misses least; None for an adapter alone.
    """

    asked_as: str
    endpoint: str
    evidence: str
    candidates: Sequence[Candidate]
    distances: NDArray[np.float64]
    effect: NDArray[np.float64]
    strange: NDArray[np.float64]
    floor: float | None = None
    ways: int = 1
    least: float | None = None


def heard(found: Measured, seed: int) -> Heard:
    """The verdict of one way of asking."""
    names = [candidate.name for candidate in found.candidates]
    best = nearest(found.distances, seed=seed, comparisons=(len(names) - 1) * found.ways)
    means = found.distances.mean(axis=1)
    order = np.argsort(means, kind="stable")
    fits = tuple(Fit(names[row], float(means[row]), best.p[row]) for row in order)
    serves, p, reason = _decided(found, best.row, best.p, seed)
    return Heard(
        found.asked_as,
        found.endpoint,
        found.evidence,
        int(found.distances.shape[1]),
        fits,
        float(found.effect.mean()),
        found.floor,
        serves,
        p,
        reason,
    )


def _decided(found: Measured, row: int, p: Sequence[float], seed: int) -> tuple[Serves, float, str]:
    best, off, count = found.candidates[row], float(found.distances[row].mean()), found.distances.shape[1]
    if count < MIN_ITEMS:
        return Serves.UNSURE, 1.0, f"{count} prompts were answered, and fewer than {MIN_ITEMS} tell nothing"
    if (strange := surely_above(found.strange, MOST_STRANGE, seed=seed) * found.ways) < ALPHA:
        return Serves.ELSE, strange, "its tokens are not those of the base's vocabulary: another model"
    effect = float(found.effect.mean())
    limit = min(MOST_NATS, MOST_SHARE * effect) if found.evidence == LOGPROBS else MOST_OF_REPLIES * effect
    told = f"nearest to {best.name}, {_off(off, effect, found.floor)}"
    rival = max(_others(found, best.means), key=p.__getitem__)
    if off <= limit and p[rival] < ALPHA:
        if best.means == Serves.TUNED and _members(found) > MOST_PARTS:
            return Serves.UNSURE, p[rival], f"{told}; {_FORGOTTEN}"
        # A share of the whole set's effect hides a small member that is doubled.
        share = MOST_OF_MEMBER if found.evidence == LOGPROBS else MOST_OF_REPLIES
        if best.means == Serves.TUNED and found.least is not None and _off_full(found) > share * found.least:
            return Serves.UNSURE, p[rival], f"{told}; {_RESCALED}"
        return best.means, p[rival], told
    most = max(limit, SURELY_FARTHER if found.evidence == LOGPROBS else MOST_OF_REPLIES)
    beyond = min(1.0, surely_above(found.distances[row], most, seed=seed) * len(found.candidates) * found.ways)
    if beyond < ALPHA:
        return Serves.ELSE, beyond, f"{told}: another model, adapter or checkpoint, or a coarse quantization"
    tuned = max(p[other] for other, each in enumerate(found.candidates) if each.means == Serves.TUNED)
    if tuned < ALPHA:
        return Serves.ELSE, tuned, told if off > limit else f"{told}; {found.candidates[rival].name} is as near"
    if off <= limit:
        return Serves.UNSURE, p[rival], f"{told}; {found.candidates[rival].name} is as near"
    if p[rival] >= ALPHA:
        return Serves.UNSURE, p[rival], f"{told}; base and tuned model differ by {effect:.2g} on these prompts"
    return Serves.UNSURE, p[rival], f"{told}: hold it against the base file that the server has"


_FORGOTTEN = (
    f"of more than {MOST_PARTS} adapters, a server that forgot several of them is not among what was thought of"
)

_RESCALED = (
    "for the smallest member of the set that is too far off: one adapter of the set may run at another scale, or the "
    "server's base be quantized otherwise; hold it against the base file that the server has"
)


def _off_full(found: Measured) -> float:
    """How far it is from the set at full scale: a set at 0.9 may be nearer where one member alone is weaker."""
    return min(float(row.mean()) for row, each in zip(found.distances, found.candidates, strict=True)
               if each.means == Serves.TUNED and each.view == TUNED)  # fmt: skip


def _members(found: Measured) -> int:
    """How many adapters the set has: each of them alone is a candidate."""
    return sum(isinstance(each.view, MemberView) for each in found.candidates)


def _others(found: Measured, means: Serves) -> list[int]:
    """Candidates that mean something else."""
    return [other for other, each in enumerate(found.candidates) if each.means != means]


def is_rounding(off: float, floor: float | None) -> bool:
    """Whether a distance is no more than rounding makes; never where that was not measured."""
    return floor is not None and off <= max(_FEW * floor, _NOTHING)


def _off(off: float, effect: float, floor: float | None) -> str:
    """How far the nearest candidate is off, in words."""
    if is_rounding(off, floor):
        return "no farther than rounding goes"
    share = off / effect if effect > 0 else float("inf")
    return f"off by {share:.1%} of what the adapter changes" if share < 1 else "farther off than base is from tuned"


_FEW, _NOTHING = 5.0, 1e-5
"""How many times the floor, and how many nats, are still rounding."""


def together(found: Sequence[Heard]) -> tuple[Serves, float]:
    """The verdict of all ways of asking, and its p; those that cannot tell leave it to the others."""
    decided = [each for each in found if each.serves != Serves.UNSURE]
    if not decided:
        return Serves.UNSURE, max((each.p for each in found), default=1.0)
    verdicts = {each.serves for each in decided}
    if len(verdicts) == 1:
        return decided[0].serves, max(each.p for each in decided)
    # Served in one way and not in another: those who ask in the other way do not get it.
    worst = Serves.ELSE if Serves.TUNED in verdicts else Serves.BASE
    return worst, max(each.p for each in decided if each.serves != Serves.TUNED)
