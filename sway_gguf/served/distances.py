"""How far what a server told is from what a view predicts: over the tokens that it named and all others together, or
over the words of a reply. Knows distributions and texts; not who predicted them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.pieces import Pieces
from sway_gguf.core.answers import LogProbs
from sway_gguf.core.common import common
from sway_gguf.core.divergence import js
from sway_gguf.served.forms import Told

_LEAST = 1e-12
"""A probability below this is rounding."""
_BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Known:
    """What a server told of one first token, in our vocabulary.

    Attributes:
        groups: token ids that one of its tokens may be; no id is in two.
        chances: [k + 1] probability of each group, and last of all other tokens together.
        strange: share of its tokens that our vocabulary does not have.
    """

    groups: tuple[tuple[int, ...], ...]
    chances: NDArray[np.float64]
    strange: float


def known(first: Sequence[Told], pieces: Pieces) -> Known:
    """The tokens that a server named, found in our vocabulary; what is spelled in no way we know goes to the rest."""
    chances: dict[tuple[int, ...], float] = {}
    taken: dict[int, tuple[int, ...]] = {}
    strange = 0
    for each in first:
        ids = tuple(one for one in _ids(each, pieces) if one not in taken)
        if ids:
            chances[ids] = float(np.exp(each.logprob))
            taken.update(dict.fromkeys(ids, ids))
        elif (each.text or each.data) and _BROKEN not in each.text and not _ids(each, pieces):
            strange += 1
    values = np.array([*chances.values()], np.float64)
    values = values / max(1.0, float(values.sum()))
    rest = max(0.0, 1.0 - float(values.sum()))
    return Known(tuple(chances), np.append(values, rest), strange / len(first) if first else 0.0)


def _ids(each: Told, pieces: Pieces) -> tuple[int, ...]:
    """The ids are the server's own: one is taken where the token says the same here, or says nothing as text."""
    said = each.data if each.data is not None else each.text.encode("utf-8", "surrogatepass")
    if each.id is not None:
        ours = pieces.said(each.id)
        if ours and (not said or ours == said or ours.lstrip(b" ") == said):
            return (each.id,)
    return pieces.ids(said) if said and _BROKEN not in each.text else ()


def from_told(told: Known, row: LogProbs) -> float:
    """Jensen–Shannon divergence of what a server told and [V] log-probabilities, over its groups and the rest, nats.

    The rest stands for all tokens that it did not name, so a token that the view finds likely and the server does not
    name counts. By the data processing inequality it is at most the divergence over the whole vocabulary.
    """
    return js(_logs(told.chances), _logs(coarse(told, row)))


def coarse(told: Known, row: LogProbs) -> NDArray[np.float64]:
    """[k + 1] what a view gives to the groups that a server named, and to the rest."""
    row64 = row.astype(np.float64)
    named = np.array([float(np.exp(row64[list(group)]).sum()) for group in told.groups], np.float64)
    return np.append(named, max(0.0, 1.0 - float(named.sum())))


def between(told: Known, row: LogProbs, other: LogProbs) -> float:
    """The same of two views, over the groups that the server named."""
    return js(_logs(coarse(told, row)), _logs(coarse(told, other)))


def tempered(row: LogProbs, temperature: float) -> LogProbs:
    """[V] log-probabilities as sampling at this temperature shapes them."""
    if temperature == 1.0:
        return row
    scaled = row.astype(np.float64) / temperature
    top = float(scaled.max())
    return np.asarray(scaled - top - np.log(np.exp(scaled - top).sum()), np.float32)


def of_replies(one: str, other: str) -> float:
    """Share of the longer of two replies, white space at both ends aside, behind their common beginning, 0 to 1."""
    a, b = one.strip(), other.strip()
    longest = max(len(a), len(b))
    return 1.0 - common(a, b) / longest if longest else 0.0


def _logs(chances: NDArray[np.float64]) -> NDArray[np.float32]:
    found = np.maximum(chances, _LEAST)
    return np.asarray(np.log(found / found.sum()), np.float32)
