"""What a damage is in units that a user knows, as plain records. Knows shapes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turned:
    """Items of a measurement that came out on the other side, such as facts that were known and are forgotten.

    Attributes:
        count: how many turned.
        of: how many could have.
        words: both in a clause for reports.
    """

    count: int
    of: int
    words: str


@dataclass(frozen=True, slots=True)
class Costs:
    """What storing a base's weights in fewer bits costs running text.

    Attributes:
        by_type: loss in nats per token, by type of weights, ascending.
        measured: whether it was measured on this very base; else it is what bases of its size lost.
    """

    by_type: Mapping[str, float]
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Toll:
    """A collateral value in units that a user knows.

    Attributes:
        text: all of it in a clause for reports.
        perplexity: e^−value, the tuned model's perplexity over the base's; None where the value is of no running text.
        costs: what quantizing costs text, to compare with; None where nothing is compared.
        turned: items that came out on the other side; None where no single item has sides.
        detectable: smallest loss, in the probe's unit, that four of five such samples of items tell from none; None
            where no tolerance decides, or for fewer than three items.
        more_items: how many in addition would tell a loss as large as the tolerance from none; 0 where these do, None
            where none is told or ten thousand would not.
    """

    text: str
    perplexity: float | None = None
    costs: Costs | None = None
    turned: Turned | None = None
    detectable: float | None = None
    more_items: int | None = None
