"""Intervals over items: Student's t with its skewness taken out. Knows lists of numbers; not what an item is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.student import stdtrit
from sway_gguf.stats.unseen import Room, Span, are_equal, farthest

MIN_ITEMS = 5
"""Fewer items than this give no interval: a standard deviation and a skewness of four say next to nothing."""
_NEAR = 2.0
"""Standard errors within which another group of controls may be the one that gained most."""
_CLOSE = 1e-9
_ANYWHERE: Span = (-math.inf, math.inf)

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A confidence interval, in the unit of the items."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A smooth function of the means of groups of items, and how it scatters.

    T = (value − truth) / error is skewed as the items are, the other way round: where what makes most of a mean has not
    been seen, the standard error is small too. Hall's cubic g(T) = T + κ(T²/3 + 1/6) + κ²T³/27 takes that out to the
    order 1/n and stays monotone (Hall 1992, J. R. Statist. Soc. B 54), κ = `skew`. g(T) is held against Student's t, so
    that the ends of items without skewness are Student's. Of eleven ways to an interval this one's worse end was wrong
    least often at 8 to 20 items (benchmarks/coverage.py).

    Attributes:
        value: in the unit of the items.
        error: its standard error.
        skew: skewness of the value's law, γ/√n for a mean, from the third cumulant without bias.
        degrees: of freedom of the error (Welch 1947, Satterthwaite 1946).
        below, above: what groups of equal items leave open either way (`stats/unseen.py`); they have no part in the
            error.
        span: ends between which the value lies in any case.
    """

    value: float
    error: float
    skew: float
    degrees: float
    below: tuple[Room, ...] = ()
    above: tuple[Room, ...] = ()
    span: Span = _ANYWHERE

    def low(self, miss: float) -> float:
        """The lower end that lies above the truth with a chance of `miss`."""
        each = self._each(miss)
        found = self.value - self._bent(self._student(each)) * self.error - farthest(self.below, each)
        return max(found, self.span[0])

    def high(self, miss: float) -> float:
        """The upper end that lies below the truth with a chance of `miss`."""
        each = self._each(miss)
        found = self.value - self._bent(-self._student(each)) * self.error + farthest(self.above, each)
        return min(found, self.span[1])

    def _each(self, miss: float) -> float:
        """The chance is shared where some groups scatter and others are equal."""
        return miss / 2 if self.error and self.below else miss

    def reaches(self, limit: float) -> float:
        """How far the value lies above a limit: in Student's t, its skewness taken out by g."""
        if not self.error:
            return math.copysign(math.inf, self.value - limit) if self.value != limit else 0.0
        t = (self.value - limit) / self.error
        return t + self.skew * (t**2 / 3 + 1 / 6) + self.skew**2 * t**3 / 27

    def _student(self, miss: float) -> float:
        return stdtrit(self.degrees, 1 - miss) if self.error else 0.0

    def _bent(self, straight: float) -> float:
        """The T that g makes `straight`."""
        if abs(self.skew) < _CLOSE:
            return straight
        return (math.cbrt(1 + self.skew * (straight - self.skew / 6)) - 1) * 3 / self.skew


def estimate(value: float, parts: Sequence[Floats], spans: Sequence[Span] = ()) -> Estimate:
    """A value with the scatter of what its items add to it.

    Args:
        value: a sum of means, or a smooth function of means.
        parts: [n] each, group by group, what an item adds to the value times n, up to a constant: of a mean the items
            themselves, of one that is taken off the items turned round, of a function of means its derivatives times
            the items (the influence function, Hampel 1974). Three items or more in each.
        spans: of each part, ends between which an item lies, where parts are items that are shares or scores of few
            steps; without any, parts that are all equal are taken for exact.
    """
    pairs = [*zip(parts, spans, strict=True)] if spans else []
    equal = [(part, span) for part, span in pairs if are_equal(part, span)]
    scattered = [part for part, span in pairs if not are_equal(part, span)] if spans else parts
    below = tuple(Room(float(part[0]) - low, part.size) for part, (low, _) in equal)
    above = tuple(Room(high - float(part[0]), part.size) for part, (_, high) in equal)
    span = (sum(low for low, _ in spans), sum(high for _, high in spans)) if spans else _ANYWHERE
    # Powers of tiny or huge numbers would leave what a float holds.
    unit = max((float(np.ptp(part)) for part in scattered), default=0.0)
    if not unit > 0:
        return Estimate(value, 0.0, 0.0, 1.0, below, above, span)
    scaled = [(part - part.mean()) / unit for part in scattered if np.ptp(part) > 0]
    squares = [float((part**2).sum()) / (part.size - 1) / part.size for part in scaled]
    cubes = [_third_cumulant(part) / part.size**2 for part in scaled]
    square = sum(squares)
    degrees = square**2 / sum(each**2 / (part.size - 1) for each, part in zip(squares, scaled, strict=True))
    error = unit * math.sqrt(square)
    return Estimate(value, error, sum(cubes) / square**1.5, degrees, below, above, span)


def _third_cumulant(deviations: Floats) -> float:
    count = deviations.size
    return float((deviations**3).sum()) * count / ((count - 1) * (count - 2))


def interval_of(found: Estimate, confidence: float = 0.95) -> Interval:
    """Both ends, each of which misses with the same chance."""
    miss = (1 - confidence) / 2
    return Interval(found.low(miss), found.high(miss))


def mean_interval(
    items: Sequence[float],
    controls: Sequence[Sequence[float]] = (),
    *,
    confidence: float = 0.95,
    within: Span | None = None,
) -> Interval | None:
    """Interval of the mean of the items less what the controls gained (`contrast`).

    That is the least of several: the mean itself, and the mean less that of each group. It lies above a limit where all
    of them do, so the lower end is the smallest of theirs and needs no correction (intersection-union test, Berger
    1982). The upper end is that of the least; it could as well be another's that seems hardly larger, and its chance to
    miss is shared among those within two standard errors.

    Args:
        items: [n] values, one per item.
        controls: groups of values, each independent of the others; may be empty.
        confidence: two-sided level.
        within: the least and the most that an item can be, where items are shares or scores of few steps: all of them
            may be equal by chance, and unlike ones are left open (`stats/unseen.py`). None takes equal items for exact.

    Returns:
        The interval, or None where the items or a group of controls are fewer than `MIN_ITEMS`.

    Raises:
        ValueError: a value is not finite.
    """
    own, *groups = (np.asarray(group, np.float64) for group in (items, *controls))
    if any(group.size < MIN_ITEMS for group in (own, *groups)):
        return None
    if not all(np.isfinite(group).all() for group in (own, *groups)):
        raise ValueError("an interval needs finite values")
    mean, miss = float(own.mean()), (1 - confidence) / 2
    spans = _spans(within)
    ways = [estimate(mean, [own], spans[:1])]
    ways += [estimate(mean - float(group.mean()), [own, -group], spans) for group in groups]
    gains = [estimate(0.0, []), *(estimate(float(group.mean()), [group]) for group in groups)]
    most = max(gains, key=lambda gain: gain.value)
    near = sum(most.value - gain.value <= _NEAR * math.hypot(most.error, gain.error) for gain in gains)
    return Interval(min(way.low(miss) for way in ways), ways[gains.index(most)].high(miss / near))


def _spans(within: Span | None) -> tuple[Span, ...]:
    """Of items, and of others that are taken off them."""
    return () if within is None else (within, (-within[1], -within[0]))


def gap_interval(
    one: Sequence[float], other: Sequence[float], *, confidence: float = 0.95, within: Span | None = None
) -> Interval | None:
    """Interval of mean(one) − mean(other), two groups of items that have nothing to do with each other.

    Args:
        one, other: values, one per item.
        confidence: two-sided level.
        within: as of `mean_interval`.

    Returns:
        None where a group has fewer than `MIN_ITEMS`.
    """
    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if min(x.size, y.size) < MIN_ITEMS:
        return None
    return interval_of(estimate(float(x.mean() - y.mean()), [x, -y], _spans(within)), confidence)
