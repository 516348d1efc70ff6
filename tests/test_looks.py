"""Two looks: what the first one ends, what goes on, when the last one stops, and what a report says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sway_gguf.core.measurement import Item, Measurement, Part
from sway_gguf.core.result import NullsUsed, Verdict
from sway_gguf.core.rules import AboveNull
from sway_gguf.core.views import NullView
from sway_gguf.engine.fake import FakeBackend
from sway_gguf.probes.registry import build_probes
from sway_gguf.report.facts import look_line
from sway_gguf.suite.decisions import decisions_of
from sway_gguf.suite.measure import measure
from sway_gguf.suite.schedule import Nulls, Schedule, schedule
from sway_gguf.suite.standing import Standing
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.looks import FIRST_NULLS, MOST_FIRST_NULLS, near, settled
from sway_gguf.verdict.reading import Reading
from tests.test_suite import SOURCES, all_probes, effect

FEW = [0.1, -0.2, 0.0, 0.2, -0.1]
"""Standard deviation 0.158, so t = x / 0.173: 23 and a tail p of 1e-5 on 4 degrees at x = 4."""


def measured(value: float, parts: Sequence[Part] = ()) -> Measurement:
    items = tuple(Item(str(n), value + 0.01 * (n - 4)) for n in range(9))
    return Measurement(value, items, parts=tuple(parts))


def reading(
    value: float, *, early: Sequence[float] = FEW, nulls: Sequence[float] = (), parts: Sequence[Part] = ()
) -> Reading:
    tuned = measured(value, parts)
    found, first = (
        tuple(Measurement(y, parts=tuple(replace(part, values=(y,)) for part in parts)) for y in values)
        for values in (nulls, early)
    )
    return Reading("p", "p", "signal", "nats", AboveNull(), tuned, found, 0.0, part=tuned, early=first)


def test_what_lies_far_beyond_five_nulls_is_decided_by_them() -> None:
    far = reading(5.0)
    assert settled([far], FIRST_NULLS)
    (found,) = judge([far], alpha=0.05, first=FIRST_NULLS)
    assert (found.verdict, found.null.early if found.null else None) == (Verdict.PASS, True)
    assert found.null is not None
    assert found.null.p == found.null.holm_p == found.null.tail_p < 1e-5
    assert found.null.rank_p == 1 / 6


def test_what_is_beyond_five_nulls_and_not_far_goes_on() -> None:
    assert not settled([reading(3.0)], FIRST_NULLS)
    (found,) = judge([reading(3.0)], alpha=0.05, first=FIRST_NULLS)
    assert found.verdict == Verdict.INCONCLUSIVE


def test_five_nulls_alone_fail_nobody() -> None:
    assert not settled([reading(0.15)], FIRST_NULLS)


def test_the_more_probes_are_left_the_higher_is_the_bar() -> None:
    assert settled([reading(5.0)], FIRST_NULLS)
    assert not settled([replace(reading(5.0), name=name) for name in "abc"], FIRST_NULLS)
    assert settled([replace(reading(9.0), name=name) for name in "abc"], FIRST_NULLS)


def test_another_null_of_the_first_look_may_settle_what_beats_all_of_them() -> None:
    close = reading(3.0)
    assert near([close], FIRST_NULLS) == [0]
    assert near([close, reading(9.0)], FIRST_NULLS) == [0]
    assert not settled([close], FIRST_NULLS)
    # The same spread over two nulls more: t = 3 / 0.158 / √(8/7) on six degrees, and a bar of 9e-7.
    assert settled([reading(3.0, early=[*FEW, 0.1, -0.1])], FIRST_NULLS)
    assert not settled([reading(2.0, early=[*FEW, 0.1, -0.1])], FIRST_NULLS)


def test_no_further_null_is_taken_where_the_last_look_has_to_be_made_anyway() -> None:
    assert near([reading(3.0), reading(0.15)], FIRST_NULLS) == []
    assert near([reading(5.0)], FIRST_NULLS) == []
    assert near([reading(3.0)], None) == []
    undecided = replace(reading(0.15), tuned=replace(measured(0.15), undecided="no items"))
    assert near([reading(3.0), undecided], FIRST_NULLS) == [0]


def scripted(scatter: float) -> tuple[list[Reading], list[tuple[int, str]], Schedule]:
    """The readings of a run over scripted text, seeds and queries that nulls were asked, the schedule."""
    backend = FakeBackend(effect(section=1.0, logit=1.0, scatter=scatter))
    probes = build_probes([{"name": "section_internalization", "kind": "section_internalization"}], SOURCES)
    plan = schedule(probes, Nulls(tuple(range(20, 39)), panel=6, first=FIRST_NULLS, part=5))
    found = measure(backend, probes, plan, decisions=decisions_of(FIRST_NULLS, alpha=0.05))
    asked = [(view.seed, str(query)) for view, query in backend.asked if isinstance(view, NullView)]
    return found.readings, asked, plan


def test_the_first_look_takes_a_null_more_until_it_decides() -> None:
    [(clear,), (close,), (doubtful,)] = [scripted(scatter)[0] for scatter in (0.01, 0.045, 0.25)]
    assert (len(clear.early), len(clear.nulls)) == (FIRST_NULLS, 0)
    assert FIRST_NULLS < len(close.early) <= MOST_FIRST_NULLS
    assert close.nulls == ()
    assert (len(doubtful.early), len(doubtful.nulls)) == (MOST_FIRST_NULLS, 19)


def test_nulls_of_the_first_look_are_asked_about_the_items_alone_and_those_of_the_last_about_other_text_too() -> None:
    (doubtful,), asked, _ = scripted(0.25)
    alone = [query for _, query in scripted(0.01)[1]]
    assert alone
    assert all("'section " in query for query in alone)
    assert any("'general" in query for _, query in asked)
    assert not any(null.controls for null in doubtful.early)
    assert all(null.controls for null in doubtful.nulls)


def beside(gained: float) -> Reading:
    """At 8 on its items, of which other text gained so much; nulls of the first look answered the items alone."""
    far = reading(8.0)
    controls = tuple(Item(str(n), gained, group="other") for n in range(5))
    return replace(far, tuned=replace(far.tuned, value=8.0 - gained, controls=controls))


def test_what_other_text_gained_has_to_leave_something_that_stands_out_as_well() -> None:
    (clear,) = judge([beside(1.0)], alpha=0.05, first=FIRST_NULLS)
    assert (clear.verdict, clear.null.value if clear.null else None) == (Verdict.PASS, 7.0)
    # 0.5 beats all five nulls, at t = 2.9 and a tail p of 0.02: the last look has to tell.
    assert settled([beside(7.0)], FIRST_NULLS)
    assert not settled([beside(7.5)], FIRST_NULLS)
    assert near([beside(7.5)], FIRST_NULLS) == [0]
    assert not settled([beside(7.9)], FIRST_NULLS)
    assert near([beside(7.9)], FIRST_NULLS) == []


def test_what_other_text_lost_makes_nothing_of_it() -> None:
    assert beside(-3.0).at_first.compared.value == 8.0


def test_what_a_null_answered_at_the_first_look_it_is_not_asked_at_the_last() -> None:
    readings, asked, plan = scripted(0.25)
    assert readings[0].nulls
    assert len(asked) == len(set(asked))
    planned = [
        (visit.view.seed, str(query))
        for visit in plan.every
        if isinstance(visit.view, NullView)
        for group in visit.groups
        for query in group.queries
    ]
    assert sorted(planned) == sorted(asked)


def test_the_last_look_ends_once_a_null_did_as_well() -> None:
    assert not settled([reading(1.0, nulls=[0.0, 0.1, 0.2, 0.3, 0.4])], FIRST_NULLS)
    assert not settled([reading(1.0, nulls=[2.0, 0.1, 0.2, 0.3])], FIRST_NULLS)
    assert settled([reading(1.0, nulls=[2.0, 0.1, 0.2, 0.3, 0.4])], FIRST_NULLS)


def test_it_goes_on_while_a_part_would_soften_the_miss() -> None:
    """A later null may do as well as the part, and turn the WARN into a FAIL."""
    part = Part("trained", tuple(0.9 + 0.01 * n for n in range(9)), instead="by heart")
    beaten = reading(0.2, nulls=[0.3, 0.1, 0.2, 0.3, 0.4], parts=[part])
    assert judge([beaten], alpha=0.05, first=FIRST_NULLS)[0].verdict == Verdict.WARN
    assert not settled([beaten], FIRST_NULLS)
    assert settled([replace(beaten, nulls=(*beaten.nulls, measured(1.0, [replace(part, values=(1.0,))])))], FIRST_NULLS)


@pytest.mark.parametrize("axis", ["signal", "direction"])
def test_what_its_items_leave_open_goes_on_while_a_part_would_speak_for_it(axis: str) -> None:
    part = Part("trained", tuple(0.9 + 0.01 * n for n in range(9)), instead="by heart")
    items = tuple(Item(str(n), 0.2 + 4 * (n - 4)) for n in range(9))
    found = reading(0.2, nulls=[0.1] * 5, parts=[part])
    found = replace(found, axis=axis, tuned=replace(found.tuned, items=items))
    assert not settled([found], FIRST_NULLS)
    (judged,) = judge([found], alpha=0.05, first=FIRST_NULLS)
    assert judged.verdict == (Verdict.WARN if axis == "direction" else Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(("early", "goes_on"), [(FEW, True), ([*FEW[1:], 1.0], False)])
def test_five_nulls_of_the_first_look_let_no_part_speak(early: Sequence[float], goes_on: bool) -> None:
    """Nothing corrects a part, and five nulls let a sixth of noise stand out: it goes on, unless it is beaten there."""
    part = Part("trained", tuple(0.9 + 0.01 * n for n in range(9)), instead="by heart")
    items = tuple(Item(str(n), 0.2 + 4 * (n - 4)) for n in range(9))
    found = reading(0.2, early=early, parts=[part])
    found = replace(found, axis="direction", tuned=replace(found.tuned, items=items))
    assert settled([found], FIRST_NULLS) is not goes_on
    assert near([found], FIRST_NULLS) == []
    assert judge([found], alpha=0.05, first=FIRST_NULLS)[0].verdict == Verdict.INCONCLUSIVE


def open_and_optional(value: float = 3.0, *, nulls: Sequence[float] = ()) -> Reading:
    """Far from its nulls, but its items reach across zero: no null could let it pass."""
    items = tuple(Item(str(n), value + 4 * (n - 4)) for n in range(9))
    found = reading(value, nulls=nulls)
    return replace(found, name="o", rule=AboveNull(fails=False), tuned=replace(found.tuned, items=items))


def test_what_no_null_could_let_pass_and_no_axis_asks_ends_with_the_first_look() -> None:
    readings = [reading(9.0), open_and_optional()]
    assert settled(readings, FIRST_NULLS)
    assert near(readings, FIRST_NULLS) == []
    clear, spared = judge(readings, alpha=0.05, first=FIRST_NULLS)
    assert (clear.verdict, spared.verdict) == (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert spared.reason.startswith("beyond all 5 nulls, but its interval")
    assert spared.null is not None
    assert spared.null.early


def test_what_is_spared_may_end_with_another_null_that_is_asked_anyway() -> None:
    """In the last look it would go along, at the price of all nulls; beaten, it can end nowhere sooner."""
    assert near([reading(3.0), open_and_optional()], FIRST_NULLS) == [0, 1]
    assert near([reading(3.0), open_and_optional(0.15)], FIRST_NULLS) == [0]
    assert near([reading(0.15), open_and_optional()], FIRST_NULLS) == []


def test_where_there_is_no_effect_at_all_no_further_null_is_asked() -> None:
    """It fails whatever they do; one that moved the other way goes on, for how far nulls move that way names it."""
    nothing = replace(reading(0.15), floor=0.2)
    assert settled([nothing], FIRST_NULLS)
    assert settled([reading(9.0), nothing], FIRST_NULLS)
    (found,) = judge([nothing], alpha=0.05, first=FIRST_NULLS)
    assert (found.verdict, found.reason) == (Verdict.FAIL, "no effect above numerical noise")
    assert found.null is not None
    assert len(found.null.values) == FIRST_NULLS
    assert not settled([replace(reading(-0.3), floor=0.2)], FIRST_NULLS)


def test_a_size_that_an_axis_asks_goes_on_whatever_its_interval() -> None:
    """Nulls may still call it noise. Of a direction they can say nothing more."""
    asked = replace(open_and_optional(), rule=AboveNull())
    assert not settled([reading(9.0), asked], FIRST_NULLS)
    assert settled([reading(9.0), replace(asked, axis="direction")], FIRST_NULLS)


def test_what_is_spared_goes_along_where_the_last_look_is_made_anyway() -> None:
    """The last look corrects over all that it was made for; five nulls of it say as much as nineteen."""
    unclear = reading(3.0)
    assert not settled([unclear, open_and_optional()], FIRST_NULLS)
    beaten = reading(3.0, nulls=[3.5, 0.1, 0.2, 0.3, 0.4])
    assert not settled([beaten, open_and_optional(nulls=FEW[:4])], FIRST_NULLS)
    assert settled([beaten, open_and_optional(nulls=FEW)], FIRST_NULLS)
    found = judge([beaten, open_and_optional(nulls=FEW)], alpha=0.05, first=FIRST_NULLS)
    assert [each.verdict for each in found] == [Verdict.FAIL, Verdict.INCONCLUSIVE]


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
