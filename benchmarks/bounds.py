"""How often does some bound of several lie beyond its truth? Resamples of the items against signs on their deviations.

Rows of items whose means are all nothing: one-sided bounds on each (`stats/simultaneous.py`), and bounds on the
difference of every pair (`stats/pairwise.py`). Knows laws and the package's own bounds.

    python -m benchmarks.bounds --runs 1000
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np

from benchmarks.coverage import laws
from sway_gguf.stats.pairwise import pairwise_bounds
from sway_gguf.stats.simultaneous import lower_bounds

LAWS = ("normal", "t4", "exponential", "−exponential")


def wrong(law: str, rows: int, items: int, runs: int) -> tuple[int, int]:
    """In how many runs some bound by resamples, and some by signs, lies above its truth."""
    rng = np.random.default_rng([LAWS.index(law), rows, items])
    found = np.zeros(2, int)
    for run in range(runs):
        drawn = laws()[law](rng, (rows, items))
        resampled, turned = (lower_bounds(list(drawn), seed=run, symmetric=signs) for signs in (False, True))
        assert resampled is not None
        assert turned is not None
        found += [(resampled > 0).any(), (turned > 0).any()]
    return int(found[0]), int(found[1])


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
        resampled, signed = (100 * count / runs for count in wrong(law, rows, items, runs))
        print(f"| {law} | {rows} | {items} | {resampled:.1f} | {signed:.1f} |", flush=True)
    for odd, items in product((0, 1), (8, 16)):
        told = f"{odd} with a long tail" if odd else "normal"
        print(
            f"| pairs of 6, {told} | 6 | {items} | {100 * wrong_pairs(odd, 6, items, runs) / runs:.1f} | |", flush=True
        )


if __name__ == "__main__":
    main()
