"""Whether going on with a training still pays, from the checkpoints so far. Knows numbers; watches nothing."""

from __future__ import annotations

import numpy as np

from sway_gguf.choose.choice import NEGLIGIBLE, compared, scores_of, standings
from sway_gguf.choose.pick import Picking
from sway_gguf.core.pick import Standing
from sway_gguf.core.scales import nearest_to_one

_ALPHA = 0.05


def why_stop(picking: Picking, patience: int) -> str:
    """Why to stop now, in a sentence without its end; "" for going on.

    Looked at after every checkpoint, so a fall has to be sure at a level that all looks share: α/(j(j+1)) at the j-th,
    which sum to α.

    Args:
        picking: with all checkpoints so far measured, in order of steps.
        patience: checkpoints in a row whose held-out lift is no larger than the best before them.
    """
    row = _row(picking)
    if len(row) < len({contender.path for contender in picking.contenders}):
        return "the newest checkpoint gives numbers that are not finite"
    newest, names = row[-1], [picking.contenders[place].name for place in row]
    standing = standings(picking.measured, picking.tolerance, picking.seed)
    own = [p for p in picking.measured if picking.contenders[p].path == picking.contenders[newest].path]
    if all(standing[place] == Standing.BEYOND for place in own):
        return f"unrelated text surely loses more than {-picking.tolerance:g} nats/token with {names[-1]}"
    if all(standing[place] == Standing.ENDLESS for place in own):
        return f"the replies of {names[-1]} no longer end"
    kept, looks = [picking.measured[place] for place in row], len(row) - 1
    if not looks:
        return ""
    bounds = compared(kept, picking.speaks, picking.seed, 1 - _ALPHA / (looks * (looks + 1)))
    if bounds is not None and float(np.max(bounds[:-1, -1])) > NEGLIGIBLE:
        return f"the held-out lift of {names[-1]} surely lies below that of {names[int(np.argmax(bounds[:-1, -1]))]}"
    scores = [scores_of(lifts, picking.speaks(lifts)) for lifts in kept]
    best = int(np.argmax(scores))
    # The first of those that are as good counts: creeping on by less than anybody would notice is no progress.
    first = next(place for place, score in enumerate(scores) if score >= scores[best] - NEGLIGIBLE)
    if len(row) - 1 - first >= patience:
        return f"{len(row) - 1 - first} checkpoints in a row bring no more held-out lift than {names[first]}"
    return ""


def _row(picking: Picking) -> list[int]:
    """Places of the checkpoints at the scale nearest to 1, in the order measured."""
    scale = nearest_to_one(contender.scale for contender in picking.contenders)
    return [place for place in picking.measured if picking.contenders[place].scale == scale]
