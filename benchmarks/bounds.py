"""How often does some bound of several lie beyond its truth? Resamples of the items against signs on their deviations.

Rows of items whose means are all nothing: one-sided bounds on each (`stats/simultaneous.py`), and bounds on the
difference of every pair (`stats/pairwise.py`). Knows laws and the package's own bounds; the other side stands here.

    python -m benchmarks.bounds --runs 1000
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import laws
from sway_gguf.stats.pairwise import pairwise_bounds
from sway_gguf.stats.simultaneous import lower_bounds

LEVEL, DRAWN = 0.05, 4095
LAWS = ("normal", "t4", "exponential", "−exponential")


def signed(rows: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Lower bounds by the wild bootstrap with Rademacher signs (Wu 1986). [k, n] → [k]."""
    count = rows.shape[1]
    means = rows.mean(axis=1)
    deviations = rows - means[:, None]
    turned = rng.choice((1.0, -1.0), (DRAWN, count)) @ deviations.T / count
    errors = np.sqrt(((deviations**2).mean(axis=1) - turned**2) / (count - 1))
    reach = np.quantile((turned / errors).max(axis=1), 1 - LEVEL, method="higher")
    return np.asarray(means - reach * deviations.std(axis=1, ddof=1) / np.sqrt(count))


def wrong(law: str, rows: int, items: int, runs: int) -> tuple[int, int]:
    """In how many runs some bound of ours, and of signs, lies above its truth."""
    rng = np.random.default_rng([LAWS.index(law), rows, items])
    ours = theirs = 0
    for run in range(runs):
        drawn = laws()[law](rng, (rows, items))
        bounds = lower_bounds(list(drawn), seed=run)
        assert bounds is not None
        ours += bool((bounds > 0).any())
        theirs += bool((signed(drawn, rng) > 0).any())
    return ours, theirs


def wrong_pairs(odd: int, rows: int, items: int, runs: int) -> int:
    """In how many runs some pair of equals is told apart; rows share half of their scatter, `odd` have a long tail."""
    rng = np.random.default_rng([odd, rows, items])
    found = 0
    for run in range(runs):
        drawn = 0.5 * rng.standard_normal((rows, items)) + rng.standard_normal((1, items))
        drawn[:odd] += 1.5 * laws()["−exponential"](rng, (odd, items))
        bounds = pairwise_bounds([drawn], seed=run)
        assert bounds is not None
        found += bool((bounds > 0).any())
    return found


def main() -> None:
    """Print a row for each law and number of rows and items."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    print("| law | rows | items | some bound wrong, % | by signs |\n|---|---|---|---|---|")
    for law, rows, items in product(LAWS, (1, 10), (8, 16)):
        ours, theirs = (100 * count / runs for count in wrong(law, rows, items, runs))
        print(f"| {law} | {rows} | {items} | {ours:.1f} | {theirs:.1f} |", flush=True)
    for odd, items in product((0, 1), (8, 16)):
        told = f"{odd} with a long tail" if odd else "normal"
        print(
            f"| pairs of 6, {told} | 6 | {items} | {100 * wrong_pairs(odd, 6, items, runs) / runs:.1f} | |", flush=True
        )


if __name__ == "__main__":
    main()
