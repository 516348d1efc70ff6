"""The simulation of two looks decides as the product does, and its bar holds where the benchmark says it does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.looks import Early, Lift, draw, level, one_look, power, two_looks
from sway_gguf.core.measurement import Measurement
from sway_gguf.core.rules import AboveNull
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.looks import FIRST_NULLS, MOST_FIRST_NULLS, near, settled
from sway_gguf.verdict.reading import Reading


def _readings(
    values: np.ndarray, nulls: int, early: np.ndarray | None = None, taken: Sequence[int] = (FIRST_NULLS,) * 4
) -> list[Reading]:
    """One run's probes after so many nulls of the last look, and of the first each; values are [1 + nulls, probes]."""
    first = values[:1] if early is None else early
    return [
        Reading(
            name=f"probe {place}",
            kind="any",
            axis="signal",
            unit="nats",
            rule=AboveNull("higher"),
            tuned=_measured(column[0]),
            nulls=tuple(map(_measured, column[1 : nulls + 1])),
            floor=0.0,
            part=_measured(part[0]),
            early=tuple(map(_measured, part[1 : taken[place] + 1])),
        )
        for place, (column, part) in enumerate(zip(values.T, first.T, strict=True))
    ]


def _measured(value: float) -> Measurement:
    return Measurement(float(value), interval=False)


def _mixed(runs: int) -> np.ndarray:
    """Runs in which some probes stand out by nothing, by some, or by very much."""
    rng = np.random.default_rng(3)
    values = draw("0.9", 0.5, runs, rng, probes=4)
    values[:, 0] += rng.choice([0.0, 2.0, 6.0, 60.0, 400.0], size=(runs, 4))
    return values


def test_one_look_decides_as_the_judge_does() -> None:
    values = _mixed(60)
    for run, passed in zip(values, one_look(values).probes, strict=True):
        verdicts = [result.verdict == "PASS" for result in judge(_readings(run, 19), alpha=0.05)]
        assert verdicts == passed.tolist()


def test_two_looks_decide_and_end_as_the_judge_and_its_looks_do() -> None:
    values = _mixed(60)
    early = values + np.random.default_rng(4).normal(0, 0.3, values.shape)
    found = two_looks(values, early)
    assert len(set(found.visits)) > 3
    for run, part, passed, visits in zip(values, early, found.probes, found.visits, strict=True):
        taken = [FIRST_NULLS] * run.shape[1]
        while max(taken) < MOST_FIRST_NULLS and (left := near(_readings(run, 0, part, taken), FIRST_NULLS)):
            taken = [count + 1 if place in left else count for place, count in enumerate(taken)]
        ends = (n for n in range(20) if n == 19 or settled(_readings(run, n, part, taken), FIRST_NULLS))
        last = next(ends)
        assert max(taken) + last == visits
        results = judge(_readings(run, last, part, taken), alpha=0.05, first=FIRST_NULLS)
        assert [result.verdict == "PASS" for result in results] == passed.tolist()


@pytest.mark.parametrize("law", ["normal", "0.6"])
def test_a_second_look_adds_next_to_nothing_to_the_level(law: str) -> None:
    for rates in level(law, 0.5, 10_000, 0, Early()).values():
        assert rates.one <= rates.two <= rates.one + 0.1
        assert rates.two < 5.7, "5 points and two standard errors of 10,000 runs"


def test_a_weaker_bar_lets_more_through() -> None:
    lax = level("1.2", 0.0, 10_000, 0, Early(bar=1e-2))
    strict = level("1.2", 0.0, 10_000, 0, Early())
    assert all(lax[probes].added > strict[probes].added + 1 for probes in lax)


def test_the_last_look_keeps_the_power_of_all_items_with_twenty_and_not_with_eight() -> None:
    assert power(Lift(32, 0.02, 0.001, 0.001), [8], 500, 0) == (1.0, [1.0])
    once, [few, many] = power(Lift(24, 0.2, 0.02, 0.03), [8, 20], 1000, 0)
    assert 0.5 < once < 0.8
    assert few < 0.95 < many
