"""What would shorten the long ends of intervals of few items, and what would it cost? And what are equal shares worth?

The laws are those of benchmarks/coverage.py. A cap on the estimated skewness, or on how many standard errors off an end
may lie, against the worst error of an end over all laws; then the law that is mostly nothing, of shares, with and
without what equal items leave open (`stats/unseen.py`). Knows arrays; the package's own intervals come in at the end.

    python -m benchmarks.interval_caps
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from benchmarks.coverage import HOPELESS, LEVEL, laws
from benchmarks.interval_methods import Floats, bent, third_cumulant
from sway_gguf.stats.interval import mean_interval

SIZES = (5, 8, 12)
SKEWNESS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.0)
"""Of the mean's law; no sample shows more than 1."""
ERRORS = (np.inf, 10.0, 8.0, 7.0, 6.0, 5.0, 4.0)
SHARE, MEAN = 0.2, 0.1
"""How many items are anything at all, and the mean of all of them."""
Sample = tuple[Floats, Floats, Floats]
"""Mean, standard error and skewness of each run."""


def samples(items: int, runs: int) -> dict[str, Sample]:
    """Of every law that a formula can mend."""
    found = {}
    for number, (name, law) in enumerate(laws().items()):
        if name in HOPELESS:
            continue
        drawn = law(np.random.default_rng([items, number]), (runs, items))
        mean, error = drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / np.sqrt(items)
        found[name] = mean, error, third_cumulant(drawn - mean[:, None]) / items**2 / error**3
    return found


def ends(sample: Sample, items: int, skewness: float, errors: float) -> tuple[Floats, Floats]:
    """Both ends of each run under the two caps."""
    mean, error, skew = sample
    reach, held = stats.t.ppf(1 - LEVEL / 2, items - 1), np.clip(skew, -skewness, skewness)
    low, high = (np.clip(bent(sign * reach, held), -errors, errors) for sign in (1, -1))
    return mean - low * error, mean - high * error


def row(found: dict[str, Sample], items: int, skewness: float, errors: float) -> tuple[float, float, float]:
    """The worst error of an end, the mean length of all laws, and how often an end lies six errors off or more."""
    missed, lengths, far = [], [], []
    for sample in found.values():
        low, high = ends(sample, items, skewness, errors)
        missed += [float((low > 0).mean()), float((high < 0).mean())]
        lengths.append(float((high - low).mean()))
        mean, error, _ = sample
        far.append(float((np.maximum(mean - low, high - mean) >= 6 * error * (1 - 1e-9)).mean()))
    return max(missed), float(np.mean(lengths)), float(np.mean(far))


def equal_shares(items: int, runs: int) -> tuple[float, float]:
    """How often the upper end lies below the mean of shares that are mostly nothing: as they are, and by what equal
    ones leave open."""
    rng = np.random.default_rng(items)
    drawn = np.where(rng.random((runs, items)) < SHARE, rng.random((runs, items)), 0.0).tolist()
    found = [[mean_interval(each, within=within) for each in drawn] for within in (None, (0.0, 1.0))]
    plain, held = (float(np.mean([span is not None and span.high < MEAN for span in each])) for each in found)
    return plain, held


def lines(sizes: Sequence[int], runs: int) -> Iterator[str]:
    """All of it, for printing."""
    for items in sizes:
        found = samples(items, runs)
        caps = [("skewness", cap, np.inf) for cap in SKEWNESS] + [("errors", 1.0, cap) for cap in ERRORS]
        for what, skewness, errors in caps:
            worst, length, far = row(found, items, skewness, errors)
            cap = skewness if what == "skewness" else errors
            yield f"{items:2} items, {what} ≤ {cap:4.3g}: worst end {worst:.1%}, length {length:.2f}, far off {far:.0%}"
        plain, held = equal_shares(items, runs // 5)
        yield f"{items:2} items mostly nothing: upper end misses {plain:.1%}, where equal ones leave room {held:.1%}"


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--items", nargs="+", type=int, default=SIZES)
    asked = parser.parse_args()
    for line in lines(asked.items, asked.runs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
