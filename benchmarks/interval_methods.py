"""Ways to an interval, for many runs at once: what they need of the data, and the two ends each of them gives.

A statistic is a sum of group means of which some may be left out (a mean, a gap, items beyond what controls gained), or
a ratio of two means of the same items. All resamples of a run are weighted sums, so that a matrix product makes those
of many runs. Knows arrays; neither where the data come from nor which method is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


class Groups(NamedTuple):
    """Means, variances and third cumulants of groups, without bias: [groups, …]."""

    means: Floats
    squares: Floats
    cubes: Floats


class Estimate(NamedTuple):
    """A statistic with its standard error, each [runs] or [runs, resamples].

    Attributes:
        value: of the statistic.
        error: its standard error.
        skew: skewness of the value's own law, by the third cumulants: γ/√n of a mean.
        pull: a sixth of the same by moments over n, as the jackknife has it: the acceleration of BCa.
        degrees: of freedom of the error (Satterthwaite 1946).
    """

    value: Floats
    error: Floats
    skew: Floats
    pull: Floats
    degrees: Floats


class Drawn(NamedTuple):
    """A sample's estimate [runs], and those of its resamples, plain and smoothed [runs, resamples].

    Attributes:
        groups, sizes: of the sample, where the statistic is one of groups.
        pairs: what a ratio was taken of, [runs, items] each; None for any other statistic.
    """

    seen: Estimate
    plain: Estimate
    smooth: Estimate
    groups: Groups | None = None
    sizes: Sequence[int] = ()
    pairs: tuple[Floats, Floats] | None = None


Ends = tuple[Floats, Floats]
Statistic = Callable[[Groups, Sequence[int]], Estimate]
_Part = tuple[float, Floats, Floats, Floats, int, NDArray[np.bool_] | bool]
"""Sign, mean, variance, third cumulant and size of a group, and whether it counts."""


def _estimate(parts: Sequence[_Part]) -> Estimate:
    value = sum(np.where(on, sign * mean, 0.0) for sign, mean, _, _, _, on in parts)
    squares = [np.where(on, variance / size, 0.0) for _, _, variance, _, size, on in parts]
    cubes = [np.where(on, sign * third / size**2, 0.0) for sign, _, _, third, size, on in parts]
    sizes = [size for *_, size, _ in parts]
    square = np.sum(squares, axis=0)
    over_n = np.sum([each * (n - 1) / n for each, n in zip(squares, sizes, strict=True)], axis=0)
    third = np.sum([each * (n - 1) * (n - 2) / n**2 for each, n in zip(cubes, sizes, strict=True)], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        skew = np.where(square > 0, np.sum(cubes, axis=0) / square**1.5, 0.0)
        pull = np.where(square > 0, third / over_n**1.5 / 6, 0.0)
        spent = np.sum([each**2 / (n - 1) for each, n in zip(squares, sizes, strict=True)], axis=0)
        degrees = np.where(square > 0, square**2 / spent, 1.0)
    return Estimate(np.asarray(value), np.sqrt(square), np.asarray(skew), np.asarray(pull), np.asarray(degrees))


def third_cumulant(centred: Floats) -> Floats:
    """Third cumulant of rows of deviations, without bias."""
    size = centred.shape[-1]
    return np.asarray((centred**3).mean(axis=-1) * size**2 / ((size - 1) * (size - 2)))


def gap(groups: Groups, sizes: Sequence[int]) -> Estimate:
    """Mean of the first group less that of the second, or the mean of the one there is."""
    rows = zip((1.0, -1.0), *groups, sizes, (True, True), strict=False)
    return _estimate([tuple(row) for row in rows])


def contrast(groups: Groups, sizes: Sequence[int]) -> Estimate:
    """Mean of the first group less the largest of the others' means where that is above zero (`stats/contrast.py`)."""
    most = groups.means[1:].max(axis=0)
    picked = [(1.0, *(each[0] for each in groups), sizes[0], True)]
    for place in range(1, len(sizes)):
        counts = (groups.means[place] == most) & (most > 0)
        picked.append((-1.0, *(each[place] for each in groups), sizes[place], counts))
    return _estimate(picked)


def weights_of(size: int, resamples: int, rng: np.random.Generator) -> Floats:
    """[resamples, size] how much of each item a resample is."""
    return np.asarray(rng.multinomial(size, np.full(size, 1 / size), resamples) / size)


def smoothing(size: int, resamples: int, rng: np.random.Generator) -> Floats:
    """[resamples, size] what a kernel of variance s²/n on every item adds to the weights of a mean.

    It makes the variance of a resample's mean s²/n in place of s²(n − 1)/n² (Hesterberg 2015, on the smooth bootstrap).
    """
    bell = rng.standard_normal((resamples, size))
    bell -= bell.mean(axis=1, keepdims=True)
    return np.asarray(bell / (size * np.sqrt(size - 1)))


def drawn(data: Sequence[Floats], statistic: Statistic, resamples: int, rng: np.random.Generator) -> Drawn:
    """Estimates of [runs, size] data, group by group, and of as many resamples for all runs alike."""
    sizes = [each.shape[1] for each in data]
    whole, plain, smooth = [], [], []
    for each, size in zip(data, sizes, strict=True):
        mean = each.mean(axis=1)
        centred = each - mean[:, None]
        whole.append((mean, each.var(axis=1, ddof=1), third_cumulant(centred)))
        weights, kernel = weights_of(size, resamples, rng), smoothing(size, resamples, rng)
        # Powers of the deviations: of the values themselves, differences of large numbers would be left.
        moved = centred @ weights.T
        second = np.maximum(centred**2 @ weights.T - moved**2, 0.0)
        second[second < 1e-12 * whole[-1][1][:, None]] = 0.0
        plain.append((mean[:, None] + moved, second * size / (size - 1), np.zeros_like(moved)))
        # The sum of squares of a smoothed resample: along its own deviations, and across them.
        width = np.sqrt(whole[-1][1] / size)[:, None]
        along = (np.sqrt(second * size) + width * rng.standard_normal(resamples)) ** 2
        across = width**2 * rng.chisquare(size - 2, resamples)
        smoothed = mean[:, None] + moved + centred @ kernel.T
        smooth.append((smoothed, (along + across) / (size - 1), np.zeros_like(moved)))
    each_of = [Groups(*map(np.array, zip(*rows, strict=True))) for rows in (whole, plain, smooth)]
    return Drawn(*(statistic(groups, sizes) for groups in each_of), each_of[0], sizes)


def ratio_drawn(above: Floats, below: Floats, resamples: int, rng: np.random.Generator) -> Drawn:
    """The same of mean(above) / mean(below), drawn in pairs; errors by the delta method. Smoothed are values alone."""
    size = above.shape[1]
    weights, kernel = weights_of(size, resamples, rng), smoothing(size, resamples, rng)

    def of(given: Floats) -> Estimate:
        x, y = above @ given.T, below @ given.T
        square = np.maximum(above**2 @ given.T - x**2, 0), np.maximum(below**2 @ given.T - y**2, 0)
        cross = (above * below) @ given.T - x * y
        value = x / y
        error = np.sqrt(np.maximum(square[0] - 2 * value * cross + value**2 * square[1], 0) / (size - 1)) / y
        none = np.zeros_like(value)
        return Estimate(value, error, none, none, np.full_like(value, size - 1))

    seen = Estimate(*(each[:, 0] for each in of(np.full((1, size), 1 / size))))
    rest = (above - seen.value[:, None] * below) / below.mean(axis=1, keepdims=True)
    skew = third_cumulant(rest) / size**2 / seen.error**3
    pull = skew / 6 * (size - 2) / np.sqrt(size * (size - 1))
    return Drawn(seen._replace(skew=skew, pull=pull), of(weights), of(weights + kernel), pairs=(above, below))


def _at(ordered: Floats, levels: Floats) -> Floats:
    """Quantile of each sorted row at a level of its own, as NumPy's. [runs, m], [runs] → [runs]."""
    place = np.clip(levels, 0, 1) * (ordered.shape[1] - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    rows, part = np.arange(len(ordered)), place - below
    return np.asarray(ordered[rows, below] * (1 - part) + ordered[rows, above] * part)


def student(of: Drawn, level: float) -> Ends:
    """Student's t, Welch's with several groups."""
    reach = stats.t.ppf(1 - level / 2, of.seen.degrees)
    return of.seen.value - reach * of.seen.error, of.seen.value + reach * of.seen.error


def _straightened(t: Floats, skew: Floats) -> Floats:
    """A studentized value with its skewness taken out by Hall's monotone cubic (1992): t + κ(t²/3 + 1/6) + κ²t³/27."""
    return t + skew * (t**2 / 3 + 1 / 6) + skew**2 * t**3 / 27


def bent(wanted: Floats, skew: Floats) -> Floats:
    """The studentized value that is straightened to `wanted`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (np.cbrt(1 + skew * (wanted - skew / 6)) - 1) * 3 / skew
    return np.where(np.abs(skew) < 1e-9, wanted, found)


def straightened(of: Drawn, level: float) -> Ends:
    """Student's t of the value without its skewness."""
    seen, reach = of.seen, stats.t.ppf(1 - level / 2, of.seen.degrees)
    return seen.value - bent(reach, seen.skew) * seen.error, seen.value - bent(-reach, seen.skew) * seen.error


def least_way(of: Drawn, level: float) -> Ends:
    """Of items beyond controls, as `mean_interval` has it: the least of the lower ends, and a shared upper end."""
    assert of.groups is not None
    items, count = Groups(*(each[:1] for each in of.groups)), len(of.sizes)
    ways = [gap(items, of.sizes[:1])]
    for place in range(1, count):
        both = Groups(*(each[[0, place]] for each in of.groups))
        ways.append(gap(both, (of.sizes[0], of.sizes[place])))
    gains = np.concatenate([np.zeros_like(of.groups.means[:1]), of.groups.means[1:]])
    shares = of.groups.squares[1:] / np.array(of.sizes[1:])[:, None]
    scatter = np.concatenate([np.zeros_like(of.groups.means[:1]), shares])
    most, runs = gains.argmax(axis=0), np.arange(gains.shape[1])
    apart = gains[most, runs] - gains
    near = (apart <= 2 * np.sqrt(scatter + scatter[most, runs])).sum(axis=0)
    low = np.min([straightened(of._replace(seen=way), level)[0] for way in ways], axis=0)
    upper = np.array([[straightened(of._replace(seen=way), level / n)[1] for n in range(1, count + 1)] for way in ways])
    return low, upper[most, near - 1, runs]


def _straightened_over_n(of: Drawn, level: float) -> Ends:
    """The same with the skewness of moments over n, which is too small."""
    return straightened(of._replace(seen=of.seen._replace(skew=6 * of.seen.pull)), level)


def fieller(of: Drawn, level: float) -> Ends:
    """The ratios r for which mean(above − r·below) lies within Student's t of zero (Fieller 1954)."""
    assert of.pairs is not None
    above, below = of.pairs
    size = above.shape[1]
    square = stats.t.ppf(1 - level / 2, size - 1) ** 2 / size
    x, y = above.mean(axis=1), below.mean(axis=1)
    cross = ((above - x[:, None]) * (below - y[:, None])).sum(axis=1) / (size - 1)
    a, b, c = (
        y**2 - square * below.var(axis=1, ddof=1),
        x * y - square * cross,
        x**2 - square * above.var(axis=1, ddof=1),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(b**2 - a * c, 0))
        low, high = (b - root) / a, (b + root) / a
    return np.where(a > 0, low, -np.inf), np.where(a > 0, high, np.inf)


def fieller_straightened(of: Drawn, level: float) -> Ends:
    """The ratios for which the mean of the rests, its skewness taken out, lies within Student's t of zero."""
    assert of.pairs is not None
    above, below = of.pairs
    size = above.shape[1]
    reach = stats.t.ppf(1 - level / 2, size - 1)

    def standing(ratio: Floats) -> Floats:
        rest = above - ratio[:, None] * below
        mean = rest.mean(axis=1)
        error = rest.std(axis=1, ddof=1) / np.sqrt(size)
        return _straightened(mean / error, third_cumulant(rest - mean[:, None]) / size**2 / error**3)

    def end(wanted: float, far: Floats) -> Floats:
        inside, outside = of.seen.value, far
        for _ in range(50):
            middle = (inside + outside) / 2
            within = standing(middle) * np.sign(wanted) < abs(wanted)
            inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
        return inside

    width = 40 * of.seen.error
    return end(reach, of.seen.value - width), end(-reach, of.seen.value + width)


def _expanded(of: Drawn, level: float) -> Floats:
    """Normal quantile in place of that of level/2: as far out as Student's t and a divisor of n − 1 would go."""
    degrees = of.seen.degrees
    return np.asarray(np.sqrt((degrees + 1) / degrees) * stats.t.ppf(1 - level / 2, degrees))


def _percentile(of: Drawn, values: Floats, reach: Floats) -> Ends:
    ordered = np.sort(values, axis=1)
    return _at(ordered, stats.norm.cdf(-reach)), _at(ordered, stats.norm.cdf(reach))


def _bca(of: Drawn, values: Floats, reach: Floats) -> Ends:
    """Bias-corrected and accelerated (Efron 1987)."""
    ordered = np.sort(values, axis=1)
    seen, count = of.seen.value[:, None], values.shape[1]
    below = ((values < seen).sum(axis=1) + (values <= seen).sum(axis=1)) / (2 * count)
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = stats.norm.ppf(below)

        def end(z: Floats) -> Floats:
            return np.nan_to_num(stats.norm.cdf(bias + (bias + z) / (1 - of.seen.pull * (bias + z))), nan=0.5)

        return _at(ordered, end(-reach)), _at(ordered, end(reach))


def _normal(of: Drawn, level: float) -> Floats:
    return np.full(len(of.seen.value), stats.norm.ppf(1 - level / 2))


def _studentized(of: Drawn, others: Estimate, level: float) -> Ends:
    """Bootstrap-t (Efron 1981). A resample of no spread stands infinitely far out, unless it has the sample's value."""
    moved = others.value - of.seen.value[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(moved == 0, 0.0, moved / others.error)
    place = max(0, round((t.shape[1] + 1) * level / 2) - 1)
    t = np.partition(t, (place, t.shape[1] - 1 - place), axis=1)
    with np.errstate(invalid="ignore"):
        far = t[:, -1 - place] * of.seen.error, t[:, place] * of.seen.error
    return of.seen.value - np.nan_to_num(far[0], posinf=np.inf), of.seen.value - np.nan_to_num(far[1], neginf=-np.inf)


METHODS: dict[str, Callable[[Drawn, float], Ends]] = {
    "Student's t": student,
    "t, straightened over n": _straightened_over_n,
    "t, straightened": straightened,
    "percentile": lambda of, level: _percentile(of, of.plain.value, _normal(of, level)),
    "percentile, expanded": lambda of, level: _percentile(of, of.plain.value, _expanded(of, level)),
    "smooth percentile": lambda of, level: _percentile(of, of.smooth.value, _normal(of, level)),
    "BCa": lambda of, level: _bca(of, of.plain.value, _normal(of, level)),
    "BCa, expanded": lambda of, level: _bca(of, of.plain.value, _expanded(of, level)),
    "smooth BCa": lambda of, level: _bca(of, of.smooth.value, _normal(of, level)),
    "studentized": lambda of, level: _studentized(of, of.plain, level),
    "smooth studentized": lambda of, level: _studentized(of, of.smooth, level),
}
CONTRAST_METHODS = METHODS | {"t, straightened, least way": least_way}
RATIO_METHODS: dict[str, Callable[[Drawn, float], Ends]] = {
    **{name: how for name, how in METHODS.items() if name != "smooth studentized"},
    "Fieller": fieller,
    "Fieller, straightened": fieller_straightened,
}
