"""Two looks: what the first one ends, what goes on, when the last one stops, and what a report says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sway_gguf.core.measurement import Item, Measurement, Part
from sway_gguf.core.result import NullsUsed, Verdict
from sway_gguf.core.rules import AboveNull
from sway_gguf.core.views import NullView
from sway_gguf.report.facts import look_line
from sway_gguf.suite.schedule import Nulls, Standing, schedule
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.looks import FIRST_NULLS, settled
from sway_gguf.verdict.reading import Reading
from tests.test_suite import all_probes

FEW = [0.1, -0.2, 0.0, 0.2, -0.1]
"""Standard deviation 0.158, so t = x / 0.173: 23 and a tail p of 1e-5 on 4 degrees at x = 4."""


def measured(value: float, parts: Sequence[Part] = ()) -> Measurement:
    items = tuple(Item(str(n), value + 0.01 * (n - 4)) for n in range(9))
    return Measurement(value, items, parts=tuple(parts))


def reading(
    value: float, *, early: Sequence[float] = FEW, nulls: Sequence[float] = (), parts: Sequence[Part] = ()
) -> Reading:
    tuned = measured(value, parts)
    found = tuple(Measurement(y, parts=tuple(replace(part, values=(y,)) for part in parts)) for y in nulls)
    return Reading(
        "p", "p", "signal", "nats", AboveNull(), tuned, found, 0.0, part=tuned, early=tuple(map(Measurement, early))
    )


def test_what_lies_far_beyond_five_nulls_is_decided_by_them() -> None:
    far = reading(5.0)
    assert settled([far], FIRST_NULLS)
    (found,) = judge([far], alpha=0.05, seed=0, first=FIRST_NULLS)
    assert (found.verdict, found.null.early if found.null else None) == (Verdict.PASS, True)
    assert found.null is not None
    assert found.null.p == found.null.holm_p == found.null.tail_p < 1e-5
    assert found.null.rank_p == 1 / 6


def test_what_is_beyond_five_nulls_and_not_far_goes_on() -> None:
    assert not settled([reading(3.0)], FIRST_NULLS)
    (found,) = judge([reading(3.0)], alpha=0.05, seed=0, first=FIRST_NULLS)
    assert found.verdict == Verdict.INCONCLUSIVE


def test_five_nulls_alone_fail_nobody() -> None:
    assert not settled([reading(0.15)], FIRST_NULLS)


def test_the_more_probes_are_left_the_higher_is_the_bar() -> None:
    assert settled([reading(5.0)], FIRST_NULLS)
    assert not settled([replace(reading(5.0), name=name) for name in "abc"], FIRST_NULLS)
    assert settled([replace(reading(9.0), name=name) for name in "abc"], FIRST_NULLS)


def test_the_last_look_ends_once_a_null_did_as_well() -> None:
    assert not settled([reading(1.0, nulls=[0.0, 0.1, 0.2, 0.3, 0.4])], FIRST_NULLS)
    assert not settled([reading(1.0, nulls=[2.0, 0.1, 0.2, 0.3])], FIRST_NULLS)
    assert settled([reading(1.0, nulls=[2.0, 0.1, 0.2, 0.3, 0.4])], FIRST_NULLS)


def test_it_goes_on_while_a_part_would_soften_the_miss() -> None:
    """A later null may do as well as the part, and turn the WARN into a FAIL."""
    part = Part("trained", tuple(0.9 + 0.01 * n for n in range(9)), instead="by heart")
    beaten = reading(0.2, nulls=[0.3, 0.1, 0.2, 0.3, 0.4], parts=[part])
    assert judge([beaten], alpha=0.05, seed=0, first=FIRST_NULLS)[0].verdict == Verdict.WARN
    assert not settled([beaten], FIRST_NULLS)
    assert settled([replace(beaten, nulls=(*beaten.nulls, measured(1.0, [replace(part, values=(1.0,))])))], FIRST_NULLS)


def test_nulls_for_everything_are_asked_whichever_look_decides() -> None:
    plan = schedule(all_probes(), Nulls(tuple(range(1, 20)), panel=4, first=FIRST_NULLS, everything=True))
    sized = [place for place, probe in enumerate(all_probes()) if probe.kind == "external_perplexity"]
    made = [visit for visit in plan.fewest if isinstance(visit.view, NullView) and visit.standing == Standing.PANEL]
    assert len(made) == 3
    assert all(set(sized) <= set(visit.asked) for visit in made)
    assert plan.sizes == ()


def test_a_report_says_which_look_it_was_and_how_much_nulls_answered() -> None:
    nulls = NullsUsed(5, (1, 2, 3, 4, 5), "rotation", 1.0, 0.02, 1 / 6, "", planned=19, panel=8, look=1)
    assert look_line(nulls).startswith(
        "5 of at most 19 nulls were asked: the first look decided. They answered at most 8 items"
    )
    assert look_line(replace(nulls, count=19, look=2, panel=20)).startswith("The first look did not decide everything")
    assert look_line(replace(nulls, count=3, look=0, panel=None)) == ""
