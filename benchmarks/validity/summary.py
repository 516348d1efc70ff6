"""What the results say: shares with exact intervals, the smallest lift that is found, where verdicts part.

Knows cells and numbers; draws nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from benchmarks.validity.cells import Cell
from benchmarks.validity.judging import CLAIMS, claimed
from sway_gguf.stats.binomial import proportion_interval

OURS, THEIRS = "ours, where the original was asked", "the original's rule"
FOUND = 0.8
"""The share of runs from which on a lift counts as found."""
_RESAMPLES, _FEWEST = 500, 3
ALONE = 1e-6
"""Nats per token; smaller lifts are as good as none."""


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with its exact 95% interval (Clopper & Pearson 1934)."""

    count: int
    of: int

    @classmethod
    def over(cls, cells: Iterable[Cell], holds: Callable[[Cell], bool]) -> Share:
        """Of the cells for which something holds."""
        found = [holds(cell) for cell in cells]
        return cls(sum(found), len(found))

    @property
    def interval(self) -> tuple[float, float]:
        """In [0, 1]; everything where there are none."""
        found = proportion_interval(self.count, self.of)
        return (found.low, found.high) if found else (0.0, 1.0)

    @property
    def rate(self) -> float:
        """The share itself; 0 of none."""
        return self.count / self.of if self.of else 0.0

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count} of {self.of}, {self.rate:.1%} ({low:.1%} to {high:.1%})" if self.of else "none"


def false_alarms(cells: Sequence[Cell]) -> dict[str, Share]:
    """Of adapters that learned nothing: what claims that one did, by our rule and the original's."""
    asked = [cell for cell in cells if "original" in cell]
    return {
        "PASS of signal or direction": Share.over(cells, claimed),
        **{
            f"PASS of {axis}": Share.over(cells, lambda cell, axis=axis: cell["axes"].get(axis) == "PASS")
            for axis in CLAIMS
        },
        "nulls let some probe through": Share.over(cells, lambda cell: bool(cell["beyond"])),
        OURS: Share.over(asked, claimed),
        THEIRS: Share.over(asked, originals_claim),
        "the original's rule, by delta_kl": Share.over(asked, lambda cell: "delta_kl" in cell["original"]["passed"]),
    }


def originals_claim(cell: Cell) -> bool:
    """Whether the original's rule says of the adapter that it learned something."""
    return bool(cell["original"]["passed"])


def grouped(cells: Iterable[Cell], key: str) -> dict[str, list[Cell]]:
    """Cells by a field, in the order of its values."""
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell[key]):
        groups.setdefault(str(cell[key]), []).append(cell)
    return groups


@dataclass(frozen=True, slots=True)
class Curve:
    """How often a lift is found.

    Attributes:
        lifts: [n] nats per token, ascending.
        shares: [n] the monotone fit by least squares (pool adjacent violators).
        smallest: the lift from which on FOUND of the runs find it; None where none does.
        interval: of `smallest`, 95%, over trainings; an end is None where resamples found none, both are for fewer than
            three trainings.
    """

    lifts: NDArray[np.float64]
    shares: NDArray[np.float64]
    smallest: float | None
    interval: tuple[float | None, float | None]


def curve(lifts: Sequence[float], found: Sequence[bool], trainings: Sequence[int], seed: int = 0) -> Curve:
    """The curve through runs: a lift, whether it was found, and the training that it comes from."""
    x, y, of = np.maximum(lifts, ALONE), np.asarray(found, float), np.asarray(trainings)
    sorted_lifts, shares = _monotone(x, y)
    groups, rng = [np.flatnonzero(of == each) for each in np.unique(of)], np.random.default_rng(seed)
    if len(groups) < _FEWEST:
        return Curve(sorted_lifts, shares, _smallest(sorted_lifts, shares), (None, None))
    again = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([groups[place] for place in rng.integers(len(groups), size=len(groups))])
        again.append(_smallest(*_monotone(x[rows], y[rows])))
    ends = np.quantile([np.inf if each is None else each for each in again], (0.025, 0.975), method="nearest")
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return Curve(sorted_lifts, shares, _smallest(sorted_lifts, shares), (low, high))


def _monotone(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(x, kind="stable")
    return x[order], np.asarray(isotonic_regression(y[order]).x)


def _smallest(lifts: NDArray[np.float64], shares: NDArray[np.float64]) -> float | None:
    enough = np.flatnonzero(shares >= FOUND - 1e-12)
    return float(lifts[enough[0]]) if enough.size else None


def found_by(cell: Cell, rule: str, kind: str) -> bool:
    """Whether a rule of the power study passes an effect by a probe, as the original's has to pass it by one."""
    return bool(cell["rules"][rule]["verdicts"][kind] == "PASS")


def found_at_all(cell: Cell, rule: str) -> bool:
    """Whether it passes by either of the probes that every adapter is asked."""
    return any(found_by(cell, rule, kind) for kind in ("section_internalization", "delta_kl"))


def power_curve(cells: Sequence[Cell], rule: str) -> Curve:
    """How often a rule finds the lift that these cells have, by whichever of its probes."""
    lifts = [cell["values"]["section_internalization"] for cell in cells]
    return curve(lifts, [found_at_all(cell, rule) for cell in cells], [cell["training"] for cell in cells])


def originals_curve(cells: Sequence[Cell]) -> Curve:
    """The same of the original's rule, by whichever of its probes."""
    lifts = [cell["values"]["section_internalization"] for cell in cells]
    return curve(lifts, [originals_claim(cell) for cell in cells], [cell["training"] for cell in cells])


def flips(cells: Iterable[Cell]) -> dict[str, tuple[Counter[str], Share]]:
    """By adapter: outcomes of the gate over seeds, and the share that differs from the commonest."""
    found: dict[str, Counter[str]] = {}
    for cell in cells:
        found.setdefault(cell["adapter"], Counter()).update(cell["outcomes"])
    gates = {name: _by_outcome(counts) for name, counts in found.items()}
    return {
        name: (counts, Share(gates[name].total() - max(gates[name].values()), gates[name].total()))
        for name, counts in found.items()
    }


def _by_outcome(counts: Counter[str]) -> Counter[str]:
    """Outcomes of the gate alone, without the diagnosis that stands behind them."""
    found: Counter[str] = Counter()
    for name, count in counts.items():
        found[name.partition(",")[0]] += count
    return found


def opposite(counts: Counter[str]) -> Share:
    """Of the runs that the gate decided, those on the rarer side of PASS and FAIL."""
    decided = {name: count for name, count in _by_outcome(counts).items() if name in ("PASS", "FAIL")}
    return Share(min(decided.get("PASS", 0), decided.get("FAIL", 0)), sum(decided.values()))


@dataclass(frozen=True, slots=True)
class Parting:
    """A verdict that one type of a base gives otherwise than the reference type.

    Attributes:
        adapter, type, axis: where.
        reference, other: the two verdicts.
        probe: where a tolerance parts the two, the probe against it whose interval has the nearest end.
        near: distance of that end from the tolerance, in the probe's unit.
        told: what the reports of the reference and of the other type say of it.
    """

    adapter: str
    type: str
    axis: str
    reference: str
    other: str
    probe: str = ""
    near: float | None = None
    told: tuple[str, str] = ("", "")

    @property
    def says(self) -> bool:
        """Whether both reports name a distance from the tolerance, or that the interval reaches across it."""
        return all(re.search(r"\d, by \d|reaches across -?\d", words) for words in self.told)


def partings(cells: Sequence[Cell], reference: str) -> list[Parting]:
    """Every axis of every adapter whose verdict differs between a type and the reference."""
    base = {cell["adapter"]: cell for cell in cells if cell["type"] == reference}
    found = []
    for cell in cells:
        if cell["type"] == reference or cell["adapter"] not in base:
            continue
        one = base[cell["adapter"]]
        for axis, verdict in cell["axes"].items():
            if verdict != one["axes"][axis]:
                plain = Parting(cell["adapter"], cell["type"], axis, one["axes"][axis], verdict)
                found.append(_against_tolerance(plain, one, cell) if axis == "collateral" else plain)
    return found


def _against_tolerance(parting: Parting, one: Cell, other: Cell) -> Parting:
    """With the probe against a tolerance that parts the two."""
    near = []
    for name, verdict in other["probes"].items():
        limits = [cell["limits"].get(name) for cell in (one, other)]
        if verdict != one["probes"].get(name) and all(limits):
            ends = [abs(end - limit["limit"]) for limit in limits for end in limit["interval"] or ()]
            near.append((min(ends, default=math.inf), name, (limits[0]["reason"], limits[1]["reason"])))
    if not near:
        return parting
    distance, name, told = min(near)
    return replace(parting, probe=name, near=distance if math.isfinite(distance) else None, told=told)


def agreement(cells: Sequence[Cell], reference: str) -> dict[str, Share]:
    """By type: adapters whose diagnosis is that of the reference type."""
    base = {cell["adapter"]: cell["diagnosis"] for cell in cells if cell["type"] == reference}
    return {
        kind: Share.over([c for c in of if c["adapter"] in base], lambda c: c["diagnosis"] == base[c["adapter"]])
        for kind, of in grouped(cells, "type").items()
        if kind != reference
    }


def moves(cells: Sequence[Cell], reference: str) -> dict[str, tuple[float, float]]:
    """By type: how far the end of an interval against a tolerance lies from that on the reference type, at most.

    In the probe's unit, and in lengths of the reference's interval; for an adapter whose intervals are points, in the
    first alone.
    """
    base = {cell["adapter"]: cell["limits"] for cell in cells if cell["type"] == reference}
    found: dict[str, tuple[float, float]] = {}
    for cell in cells:
        if cell["type"] == reference or cell["adapter"] not in base:
            continue
        far, share = found.get(cell["type"], (0.0, 0.0))
        for name, limit in cell["limits"].items():
            one, other = base[cell["adapter"]].get(name, {}).get("interval"), limit["interval"]
            if one and other:
                moved = max(abs(end - start) for start, end in zip(one, other, strict=True))
                length = one[1] - one[0]
                far, share = max(far, moved), max(share, moved / length if length else 0.0)
        found[cell["type"]] = far, share
    return found
