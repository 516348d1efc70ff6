"""top1_flips: how often does the likeliest token change on text that the adapter should leave alone?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from sway_gguf.core.answers import Answers, Changes
from sway_gguf.core.measurement import Item, Measurement, Row, Table
from sway_gguf.core.queries import Compare, Query, shorten
from sway_gguf.core.rules import BelowTolerance, Rule
from sway_gguf.material.chunks import spread
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.lift import bits_of
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS

_QUANTILES = (0.999, 0.99, 0.95, 0.5)
_COLUMNS = (
    "mean KL, nats",
    "99.9% KL, nats",
    "99% KL, nats",
    "95% KL, nats",
    "median KL, nats",
    "RMS change of p",
    "share of same top",
    "positions",
)


class Top1FlipsOptions(ProbeOptions):
    """Fields of `top1_flips`."""

    kind: Literal["top1_flips"] = "top1_flips"
    tolerance: float = Field(default=0.2, gt=0, lt=1, description="accepted share of positions")
    max_bits_per_byte: float = Field(default=2.0, gt=0, description="text that the base models worse does not count")
    max_chunks: int = Field(default=12, ge=1, description="pieces of general text, evenly spaced")


class Top1Flips(Probe[Top1FlipsOptions]):
    """Mean over pieces of general text of the share of positions at which base and tuned find another token likeliest.

    Beside it the table that users of llama-perplexity know, over all positions: KL(base ‖ tuned) in nats (mean,
    99.9%, 99%, 95%, median), the root mean square change of the text's own token's probability, and the share of
    same top tokens; exact over the vocabulary. Where the base hesitates between tokens, a small push flips them, and
    nulls of the same size do so too: many flips warn, and other probes tell whether anything was lost.
    """

    kind = "top1_flips"
    axis = "collateral"
    question = "How often does the likeliest next token change on unrelated text?"
    unit = "share"
    passing = "the whole interval lies below the tolerance (WARN otherwise)"
    caveat = "the same likeliest token may stand on other probabilities: see the KL table."
    options_type = Top1FlipsOptions
    quick = False

    @property
    def texts(self) -> list[str]:
        """Texts in use."""
        return self.drawn(spread(list(dict.fromkeys(self.sources.general)), self.options.max_chunks))

    @property
    def rule(self) -> Rule:
        """Against the tolerance."""
        return BelowTolerance(self.options.tolerance, fails=False)

    def missing(self) -> str:
        """General text."""
        return "" if self.texts else "give --general FILE with unrelated text"

    def ask(self) -> Sequence[Query]:
        """Both distributions along every text."""
        return [Compare(text) for text in self.texts]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Flips per text that the base models."""
        limit = self.options.max_bits_per_byte
        found = {text: other.changes(Compare(text)) for text in self.texts}
        known = {
            text: one for text, one in found.items() if one.kl.size and bits_of(float(one.base.sum()), text) <= limit
        }
        items = tuple(
            Item(shorten(text), float(1 - one.same_top.mean()), {"mean_kl": float(one.kl.mean())}, asked=(text,))
            for text, one in known.items()
        )
        lacking = MIN_ITEMS - len(known)
        undecided = (
            f"the base models only {len(known)} of {len(found)} general texts; give --general FILE with {lacking} or "
            "more pieces of text that this base can read"
        )
        return Measurement(
            mean_of(items),
            items,
            undecided=undecided if lacking > 0 else "",
            notes=(_table_line(list(known.values())),) if known else (),
            table=kl_table(list(known.values())) if known else None,
        )


def kl_table(found: Sequence[Changes]) -> Table:
    """Statistics over all positions of all texts, by llama-perplexity's names; KL in nats."""
    kl = np.concatenate([one.kl for one in found])
    moved = np.concatenate([np.exp(one.other) - np.exp(one.base) for one in found])
    values = (
        float(kl.mean()),
        *(float(value) for value in np.quantile(kl, _QUANTILES)),
        float(np.sqrt(np.mean(moved**2))),
        float(np.concatenate([one.same_top for one in found]).mean()),
        float(kl.size),
    )
    return Table(_COLUMNS, (Row("KL(base ‖ tuned)", values),))


def _table_line(found: Sequence[Changes]) -> str:
    (row,) = kl_table(found).rows
    mean, most, very, high, median, moved, same, positions = row.cells
    return (
        f"{row.name} mean {mean:.4f}, 99.9% {most:.3f}, 99% {very:.3f}, 95% {high:.3f}, median {median:.4f} nats; "
        f"RMS Δp {moved:.2%}, same top {same:.2%} of {positions:.0f} positions"
    )
