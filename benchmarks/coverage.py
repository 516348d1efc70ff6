"""How often does a 95% interval leave out what it should hold, at 8 to 40 items, and on which side?

Items are drawn from laws whose mean is known: normal, heavy-tailed, skewed either way, shaped like the items of real
runs (benchmarks/items.json), mostly nothing, and in documents that hang together. What the package averages or
contrasts is estimated from them: a mean (a paired difference is one), a gap of two groups, items beyond what groups of
controls gained, a ratio of means over the same items. A verdict asks whether the whole interval lies beyond a limit, so
the two ends are counted apart: where the lower one lies above the truth, a PASS may be false. Knows laws and
statistics; benchmarks/interval_methods.py knows the methods.

    python -m benchmarks.coverage --runs 10000 --json coverage.jsonl
    python -m benchmarks.coverage --json coverage.jsonl --tables
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.interval_methods import (
    CONTRAST_METHODS,
    METHODS,
    RATIO_METHODS,
    Drawn,
    Floats,
    contrast,
    drawn,
    gap,
    ratio_drawn,
)

LEVEL, RESAMPLES, CHUNK = 0.05, 1999, 500
SIZES = (5, 8, 12, 20, 40)
CONTROLS, GROUPS = 8, 3
"""Items of a group of controls, and how many groups: those of `check`."""
WORST = (8, 12, 20)
"""Numbers of items over which a method's worst error is taken."""
HOPELESS = ("documents", "mostly nothing", "−mostly nothing")
"""Laws that no method can mend by its formula: they are shown, and left out of what is called the worst."""
REAL = Path(__file__).with_name("items.json")
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
"""[runs, items] of mean 0 and, documents aside, standard deviation 1."""


def _lognormal(sigma: float) -> Draw:
    mean, sd = np.exp(sigma**2 / 2), np.exp(sigma**2 / 2) * np.sqrt(np.expm1(sigma**2))
    return lambda rng, shape: (rng.lognormal(0, sigma, shape) - mean) / sd


def _documents(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Items of one document are correlated by a third; four of them each."""
    runs, items = shape
    common = np.repeat(rng.standard_normal((runs, -(-items // 4))), 4, axis=1)[:, :items]
    return np.asarray(np.sqrt(1 / 3) * common + np.sqrt(2 / 3) * rng.standard_normal(shape))


def _mostly_nothing(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Four items of five are one and the same, the fifth is anywhere above: mean 0.1 and variance 17/300 of uniform."""
    values = np.where(rng.random(shape) < 0.2, rng.random(shape), 0.0)
    return np.asarray((values - 0.1) / np.sqrt(0.2 / 3 - 0.01))


def _like(items: Sequence[float]) -> Draw:
    """The law whose quantiles are straight lines between items, the outermost at (1/2)/n from either end."""
    ordered = np.sort(np.asarray(items, np.float64))
    places = (np.arange(len(ordered)) + 0.5) / len(ordered)
    # Integrals over each straight piece, and over the flat ends.
    low, high, width = ordered[:-1], ordered[1:], 1 / len(ordered)
    ends = ordered[[0, -1]]
    mean = width * float(((low + high) / 2).sum() + ends.sum() / 2)
    square = width * float(((low**2 + low * high + high**2) / 3).sum() + (ends**2).sum() / 2)
    sd = np.sqrt(square - mean**2)
    return lambda rng, shape: (np.interp(rng.random(shape), places, ordered) - mean) / sd


def _turned(draw: Draw) -> Draw:
    return lambda rng, shape: -draw(rng, shape)


@cache
def laws() -> Mapping[str, Draw]:
    """By name. A skewed one stands beside the same turned round."""
    skewed: dict[str, Draw] = {
        "lognormal 0.6": _lognormal(0.6),
        "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1.0,
        "lognormal 1.2": _lognormal(1.2),
        "mostly nothing": _mostly_nothing,
    }
    real = json.loads(REAL.read_text(encoding="utf-8"))
    return {
        "normal": lambda rng, shape: rng.standard_normal(shape),
        "t4": lambda rng, shape: rng.standard_t(4, shape) / np.sqrt(2),
        **{f"real: {name}": _like(items) for name, items in real.items()},
        **skewed,
        **{f"−{name}": _turned(draw) for name, draw in skewed.items()},
        "documents": _documents,
    }


def _mean(law: Draw, items: int, runs: int, rng: np.random.Generator) -> tuple[Drawn, float]:
    return drawn([law(rng, (runs, items))], gap, RESAMPLES, rng), 0.0


def _gap(law: Draw, items: int, runs: int, rng: np.random.Generator) -> tuple[Drawn, float]:
    """Of n items and half as many others that scatter twice as far."""
    others = 2 * law(rng, (runs, max(5, items // 2)))
    return drawn([law(rng, (runs, items)), others], gap, RESAMPLES, rng), 0.0


def _contrast(gains: Sequence[float]) -> Callable[..., tuple[Drawn, float]]:
    def of(law: Draw, items: int, runs: int, rng: np.random.Generator) -> tuple[Drawn, float]:
        controls = [gain + law(rng, (runs, CONTROLS)) for gain in gains]
        return drawn([law(rng, (runs, items)), *controls], contrast, RESAMPLES, rng), -max(0.0, *gains)

    return of


def _ratio(law: Draw, items: int, runs: int, rng: np.random.Generator) -> tuple[Drawn, float]:
    """What is kept of a lift: nine tenths, and a rest by the same law."""
    whole = 1 + 0.3 * law(rng, (runs, items))
    return ratio_drawn(0.9 * whole + 0.1 * law(rng, (runs, items)), whole, RESAMPLES, rng), 0.9


STATISTICS: dict[str, Callable[..., tuple[Drawn, float]]] = {
    "mean": _mean,
    "gap": _gap,
    "contrast, one gains": _contrast((1.0, 0.0, -1.0)),
    "contrast, none gains": _contrast((0.0, 0.0, 0.0)),
    "ratio": _ratio,
}


class Cell(NamedTuple):
    """What one method did for a statistic, a law and a number of items.

    Attributes:
        low, high: share of runs whose lower end lies above the truth, whose upper end lies below it.
        length: median of the interval, in standard errors of the mean of so many items.
        endless: share of runs with an end at infinity.
    """

    statistic: str
    law: str
    items: int
    method: str
    low: float
    high: float
    length: float
    endless: float


def cell(statistic: str, law: str, items: int, runs: int) -> Iterator[Cell]:
    """Every method on the same runs, drawn by a seed that hangs on the cell alone."""
    methods = CONTRAST_METHODS if "contrast" in statistic else RATIO_METHODS if statistic == "ratio" else METHODS
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in methods}
    for start in range(0, runs, CHUNK):
        rng = np.random.default_rng([list(STATISTICS).index(statistic), list(laws()).index(law), items, start])
        of, truth = STATISTICS[statistic](laws()[law], items, min(CHUNK, runs - start), rng)
        for name, method in methods.items():
            found[name].append(np.array(method(of, LEVEL)) - truth)
    for name, chunks in found.items():
        low, high = np.concatenate(chunks, axis=1)
        length = float(np.median(high - low) * np.sqrt(items))
        endless = float(np.isinf(high - low).mean())
        yield Cell(statistic, law, items, name, float((low > 0).mean()), float((high < 0).mean()), length, endless)


def main() -> None:
    """Run what the file does not hold yet, or print the tables of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--statistics", nargs="+", choices=STATISTICS, default=list(STATISTICS))
    parser.add_argument("--laws", nargs="+", choices=laws(), default=list(laws()))
    parser.add_argument("--items", nargs="+", type=int, default=SIZES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append each cell; what it holds is not run again")
    parser.add_argument("--tables", action="store_true", help="print tables of what the file holds, and run nothing")
    asked = parser.parse_args()
    if asked.tables:
        print("\n\n".join(tables(_read(asked.json))))
        return
    held = {tuple(each[:3]) for each in _read(asked.json)} if asked.json and asked.json.exists() else set()
    for statistic, items, law in product(asked.statistics, asked.items, asked.laws):
        if (statistic, law, items) in held:
            continue
        found = list(cell(statistic, law, items, asked.runs))
        print(f"{statistic}, {law}, {items} items", flush=True)
        for each in found:
            told = f"low {each.low:.2%}  high {each.high:.2%}  length {each.length:.2f}  endless {each.endless:.1%}"
            print(f"  {each.method:22} {told}", flush=True)
        if asked.json:
            with asked.json.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(each._asdict(), ensure_ascii=False) + "\n" for each in found)


def tables(cells: Sequence[Cell]) -> Iterator[str]:
    """Markdown: the worst one-sided error by statistic and number of items, and both errors of a mean law by law."""
    statistics = [name for name in STATISTICS if any(each.statistic == name for each in cells)]
    for statistic in statistics:
        own = [each for each in cells if each.statistic == statistic]
        sizes = sorted({each.items for each in own})
        yield f"**{statistic}**: worst error of one end over all laws, %, and the median length beside Student's t"
        rows = []
        for method in dict.fromkeys(each.method for each in own):
            worst = [_worst(own, method, (items,)) for items in sizes]
            longer = [_longer(own, method, items) for items in sizes]
            shown = [f"{100 * error:.1f} ({length:.2f})" for error, length in zip(worst, longer, strict=True)]
            rows.append([method, *shown, f"{100 * _worst(own, method, WORST):.1f}"])
        yield _table(["method", *(f"{items} items" for items in sizes), "8 to 20"], rows)
        for items in (each for each in (8, 20) if each in sizes):
            yield f"**{statistic}**, {items} items: lower end above the truth / upper end below it, %"
            some = {(each.law, each.method): each for each in own if each.items == items}
            named = list(dict.fromkeys(method for _, method in some))
            yield _table(
                ["law", *named],
                [
                    [law, *(f"{100 * some[law, name].low:.1f} / {100 * some[law, name].high:.1f}" for name in named)]
                    for law in dict.fromkeys(law for law, _ in some)
                ],
            )


def _worst(cells: Sequence[Cell], method: str, sizes: Sequence[int]) -> float:
    mine = [each for each in cells if each.method == method and each.items in sizes and each.law not in HOPELESS]
    return max((max(each.low, each.high) for each in mine), default=np.nan)


def _longer(cells: Sequence[Cell], method: str, items: int) -> float:
    """Median over the laws of the interval's length beside Student's t on the same runs."""
    plain = {each.law: each.length for each in cells if each.method == "Student's t" and each.items == items}
    mine = [each for each in cells if each.method == method and each.items == items and each.law not in HOPELESS]
    return float(np.median([each.length / plain[each.law] for each in mine]))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def _read(path: Path) -> list[Cell]:
    return [Cell(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
