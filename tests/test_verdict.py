"""Rules, axes and the diagnosis: what each verdict takes, and that no rule gives one on too little."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sway_gguf.core.measurement import AXES, Check, Item, Measurement, checked
from sway_gguf.core.result import AxisResult, Diagnosis, ProbeResult, Verdict
from sway_gguf.core.rules import AboveFloor, AboveNull, AboveTolerance, AllChecks, BelowTolerance, Direction, Rule
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.reading import Reading

NULLS = [0.1 * (n % 5) for n in range(19)]


def measured(value: float, items: int = 12, spread: float = 0.1) -> Measurement:
    """A measurement whose items scatter evenly about `value`."""
    offsets = [spread * (n - (items - 1) / 2) for n in range(items)]
    return Measurement(value, tuple(Item(str(n), value + offset) for n, offset in enumerate(offsets)))


def reading(
    rule: Rule, tuned: Measurement, nulls: Sequence[float] = (), floor: float | None = 0.0, name: str = "p"
) -> Reading:
    return Reading(name, name, "signal", "nats", rule, tuned, tuple(Measurement(y) for y in nulls), floor)


def directed(tuned: Measurement, nulls: Sequence[float], floor: float = 0.0) -> ProbeResult:
    """The verdict on an effect whose sign says where it leads."""
    return judge([replace(reading(AboveNull(), tuned, nulls, floor), axis="direction")], alpha=0.05)[0]


def verdict_of(*args: object, **kwargs: object) -> Verdict:
    return judge([reading(*args, **kwargs)], alpha=0.05)[0].verdict  # type: ignore[arg-type]


def test_beyond_every_null_passes() -> None:
    assert verdict_of(AboveNull(), measured(5.0), NULLS) == Verdict.PASS


def test_where_no_item_could_be_read_there_is_no_value() -> None:
    """A mean over nothing is 0, which read as no change at all."""
    unread = Measurement(0.0, undecided="the base models no text")
    assert judge([reading(AboveTolerance(-0.15), unread)], alpha=0.05)[0].value is None


def test_one_null_that_does_as_well_fails() -> None:
    found = judge([reading(AboveNull(), measured(5.0), [*NULLS[:-1], 5.0])], alpha=0.05)[0]
    assert found.verdict == Verdict.FAIL
    assert found.reason == "1 of 19 nulls do as well"


def test_a_value_just_beyond_the_nulls_is_open_by_its_tail_p() -> None:
    """It speaks for the adapter, if not loudly enough: to call that noise, or off-target, would claim the contrary."""
    assert verdict_of(AboveNull(), measured(0.41), NULLS) == Verdict.INCONCLUSIVE


def test_lower_is_better_mirrors_higher() -> None:
    assert verdict_of(AboveNull("lower"), measured(-5.0), NULLS) == Verdict.PASS
    assert verdict_of(AboveNull("lower"), measured(5.0), NULLS) == Verdict.FAIL


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_an_effect_that_went_the_other_way_fails_however_low_the_nulls_are(direction: Direction) -> None:
    turn = 1 if direction == "higher" else -1
    lower = [turn * (-5 - 0.1 * (n % 5)) for n in range(19)]
    found = judge([reading(AboveNull(direction), measured(turn * -3.1), lower)], alpha=0.05)[0]
    assert found.verdict == Verdict.FAIL
    assert "the other way" in found.reason


def test_material_that_stayed_while_other_text_gained_is_not_said_to_have_moved_away() -> None:
    """Its value is -0.5: items of 0 in the mean, less the 0.5 of the shuffled words."""
    left = replace(measured(-0.5), items=measured(0.0).items, controls=(Item("c", 0.5, group="shuffled words"),) * 5)
    found = judge([reading(AboveNull(), left, NULLS)], alpha=0.05)[0]
    assert (found.verdict, found.reason) == (Verdict.FAIL, "it moved by +0 nats, and other text by +0.5")


@pytest.mark.parametrize("value", [-3.1, 0.05, 5.0])
def test_too_few_items_leave_it_open_whichever_way_they_went(value: float) -> None:
    """A text of one line was called off-target by a single item that lost 1.9; five of them leave no doubt."""
    assert verdict_of(AboveNull(), measured(value, items=4), NULLS) == Verdict.INCONCLUSIVE
    assert (verdict_of(AboveNull(), measured(value, items=5, spread=0.01), NULLS) == Verdict.PASS) == (value == 5)
    assert verdict_of(AboveNull(), measured(value, items=4), NULLS, floor=9.0) == Verdict.FAIL


@pytest.mark.parametrize("value", [-0.2, -0.01, 0.01, 0.2])
@pytest.mark.parametrize("nulls", [[-5 - 0.1 * (n % 5) for n in range(19)], [1.0] * 19, []])
def test_an_interval_that_reaches_zero_shows_no_direction_whatever_nulls_do(value: float, nulls: list[float]) -> None:
    """A value just below zero is no more evidence of a move elsewhere than one just above it is of a move toward."""
    found = directed(measured(value, spread=0.5), nulls)
    assert found.verdict == Verdict.INCONCLUSIVE
    assert "reaches zero" in found.reason
    assert ("19 of 19 nulls do as well" in found.reason) == (1.0 in nulls)
    assert ("beyond all 19 nulls" in found.reason) == (-5 in nulls)


@pytest.mark.parametrize(("value", "verdict"), [(-0.2, Verdict.FAIL), (0.2, Verdict.PASS)])
def test_an_interval_on_one_side_of_zero_shows_which(value: float, verdict: Verdict) -> None:
    assert directed(measured(value, spread=0.05), [-5 - 0.1 * (n % 5) for n in range(19)]).verdict == verdict


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(-0.9, Verdict.FAIL), (-0.2, Verdict.INCONCLUSIVE), (0.01, Verdict.INCONCLUSIVE), (0.2, Verdict.INCONCLUSIVE)],
)
def test_a_value_within_noise_by_luck_shows_no_more_than_its_interval(value: float, verdict: Verdict) -> None:
    """The items scatter by 0.36, so that the interval reaches 0.23 to either side; noise is 0.1."""
    assert directed(measured(value), NULLS, floor=0.1).verdict == verdict


def test_an_effect_that_is_surely_within_noise_is_none() -> None:
    found = directed(measured(0.2), NULLS, floor=0.6)
    assert (found.verdict, found.reason) == (Verdict.FAIL, "no effect above numerical noise")


def test_a_size_has_no_side_so_nulls_that_do_as_well_show_that_it_is_noise() -> None:
    """A divergence of few items that are far apart has an interval which reaches zero, and is no nearer to nothing."""
    assert verdict_of(AboveNull(), measured(0.2, spread=0.5), [1.0] * 19) == Verdict.FAIL
    assert verdict_of(AboveNull(), measured(0.2, spread=0.5), [-5 - 0.1 * (n % 5) for n in range(19)]) == (
        Verdict.INCONCLUSIVE
    )


def test_what_other_text_gained_is_told_where_the_difference_is_open() -> None:
    left = replace(measured(0.0, spread=0.5), items=measured(2.5, spread=0.5).items)
    controls = tuple(Item(f"c{n}", 2.5 + 0.5 * (n % 5 - 2), group="shuffled words") for n in range(10))
    found = directed(replace(left, value=0.0001, controls=controls), NULLS)
    assert found.verdict == Verdict.INCONCLUSIVE
    assert found.reason.startswith("it moved by +2.5 nats, and other text by +2.5; the interval of the difference (-")


def test_an_interval_that_reaches_the_noise_floor_decides_nothing() -> None:
    assert verdict_of(AboveNull(), measured(5.0, spread=0.5), NULLS, floor=4.5) == Verdict.INCONCLUSIVE


def test_too_few_controls_are_told() -> None:
    few = replace(measured(5.0), controls=(Item("c", 0.1),) * 3)
    found = judge([reading(AboveNull(), few, NULLS)], alpha=0.05)[0]
    assert found.verdict == Verdict.INCONCLUSIVE
    assert "give 2 or more in addition (--general FILE)" in found.reason


def test_a_missed_check_that_fails_fails_what_nulls_let_pass() -> None:
    harmful = replace(measured(5.0), checks=(checked("harm", False, "fine", "lost more than it gained", fails=True),))
    found = judge([reading(AboveNull(), harmful, NULLS)], alpha=0.05)[0]
    assert found.verdict == Verdict.FAIL
    assert "lost more than it gained" in found.reason


def test_a_missed_check_that_fails_also_fails_what_lies_across_a_tolerance() -> None:
    across = replace(measured(-0.15, spread=0.05), checks=(checked("canaries", False, "", "one came out", fails=True),))
    assert verdict_of(AboveTolerance(-0.15), across) == Verdict.FAIL


def test_what_came_out_fails_where_too_few_items_leave_the_rest_open() -> None:
    few = Measurement(0.1, (Item("a", 0.1),), checks=(checked("canaries", False, "", "one came out", fails=True),))
    assert verdict_of(BelowTolerance(0.3), few) == Verdict.FAIL
    assert verdict_of(BelowTolerance(0.3), replace(few, checks=())) == Verdict.INCONCLUSIVE
    assert verdict_of(BelowTolerance(0.3), replace(few, undecided="nothing was read")) == Verdict.INCONCLUSIVE


def test_the_rank_p_leads() -> None:
    found = judge([reading(AboveNull(), measured(5.0), NULLS)], alpha=0.05)[0]
    assert found.null is not None
    assert found.null.family_p == pytest.approx(0.05)
    assert found.reason == "beyond all 19 nulls, rank p 0.05"


def test_an_unknown_noise_floor_warns_and_no_change_fails() -> None:
    assert verdict_of(AboveFloor(), measured(0.5), floor=None) == Verdict.WARN
    assert verdict_of(AboveFloor(), measured(0.0), floor=None) == Verdict.FAIL


def test_an_effect_within_the_noise_floor_is_none() -> None:
    assert verdict_of(AboveNull(), measured(5.0), NULLS, floor=6.0) == Verdict.FAIL


@pytest.mark.parametrize(
    ("items", "nulls", "advice"), [(4, 19, "give 1 or more in addition"), (12, 4, "ask for 5 or more with --nulls")]
)
def test_too_little_evidence_is_inconclusive_and_says_what_is_lacking(items: int, nulls: int, advice: str) -> None:
    found = judge([reading(AboveNull(), measured(5.0, items), NULLS[:nulls])], alpha=0.05)[0]
    assert found.verdict == Verdict.INCONCLUSIVE
    assert advice in found.reason


def test_holm_counts_only_probes_that_nulls_decide() -> None:
    alone = judge([reading(AboveNull(), measured(0.8), NULLS)], alpha=0.05)
    shown = judge(
        [reading(AboveNull(), measured(0.8), NULLS), reading(AboveTolerance(-0.1), measured(1.0), NULLS[:5], name="q")],
        alpha=0.05,
    )
    both = judge([reading(AboveNull(), measured(0.8), NULLS, name=n) for n in "pq"], alpha=0.05)
    assert alone[0].null is not None
    assert shown[0].null is not None
    assert shown[1].null is not None
    assert both[0].null is not None
    assert alone[0].null.holm_p == shown[0].null.holm_p == pytest.approx(alone[0].null.tail_p)
    assert shown[1].null.holm_p is None
    assert both[0].null.holm_p == pytest.approx(2 * alone[0].null.tail_p)


@pytest.mark.parametrize(
    ("value", "floor", "verdict"),
    [
        (0.0, 0.0, Verdict.FAIL),
        (1e-9, 0.0, Verdict.PASS),
        (0.9, 1.0, Verdict.FAIL),
        (2.0, 1.0, Verdict.WARN),
        (4.0, 1.0, Verdict.PASS),
    ],
)
def test_above_the_noise_floor(value: float, floor: float, verdict: Verdict) -> None:
    assert verdict_of(AboveFloor(), measured(value), floor=floor) == verdict


@pytest.mark.parametrize(
    ("value", "spread", "verdict"),
    [(0.0, 0.01, Verdict.PASS), (-0.5, 0.01, Verdict.FAIL), (-0.15, 0.05, Verdict.WARN)],
)
def test_the_interval_against_the_tolerance(value: float, spread: float, verdict: Verdict) -> None:
    assert verdict_of(AboveTolerance(-0.15), measured(value, spread=spread)) == verdict


def test_how_near_the_interval_came_to_the_tolerance_is_told() -> None:
    """Of items that are all alike the interval is a point: 0.05 above the limit, and 0.35 below."""
    for value, told in ((-0.1, "above -0.15, by 0.05"), (-0.5, "below -0.15, by 0.35")):
        found = judge([reading(AboveTolerance(-0.15), measured(value, spread=0.0))], alpha=0.05)[0]
        assert found.reason == f"the whole interval lies {told}"


def test_too_few_items_give_no_verdict_on_damage() -> None:
    assert verdict_of(AboveTolerance(-0.15), measured(-3.0, items=3)) == Verdict.INCONCLUSIVE


def test_a_probe_that_cannot_tell_is_inconclusive_whatever_its_value() -> None:
    assert verdict_of(AboveTolerance(-0.15), replace(measured(-3.0), undecided="cannot tell")) == Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("passed", "verdict"), [(True, Verdict.PASS), (False, Verdict.WARN)])
def test_checks_warn_and_never_fail(passed: bool, verdict: Verdict) -> None:
    shape = replace(measured(1.0), checks=(Check("rising", passed, "rises"),))
    assert verdict_of(AllChecks(), shape) == verdict


def probe(axis: str, verdict: Verdict, decides: bool = True, optional: bool = False) -> ProbeResult:
    return ProbeResult(f"{axis}-{verdict}", "k", axis, verdict, "because", decides=decides, optional=optional)


def axis_verdict(*probes: ProbeResult) -> Verdict:
    return next(axis.verdict for axis in axes_of(probes) if axis.axis == probes[0].axis)


def test_an_axis_is_its_worst_deciding_verdict() -> None:
    P, W, F, I, S = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.SKIP  # noqa: E741
    assert axis_verdict(probe("signal", P), probe("signal", W)) == W
    assert axis_verdict(probe("signal", W), probe("signal", F), probe("signal", I)) == F
    assert axis_verdict(probe("signal", P), probe("signal", I)) == P
    assert axis_verdict(probe("signal", I), probe("signal", S)) == I
    assert axis_verdict(probe("signal", S)) == S


def test_an_axis_says_what_was_found_before_what_more_items_would_tell() -> None:
    across = replace(probe("collateral", Verdict.WARN), name="across", limit=-0.5, interval=(-0.7, -0.1))
    found = replace(probe("collateral", Verdict.WARN), name="found")
    (axis,) = (each for each in axes_of([across, found]) if each.axis == "collateral")
    assert (axis.reason, axis.probes) == ("found: because", ("found", "across"))


def test_the_shape_of_a_curve_alone_answers_nothing() -> None:
    shape = probe("signal", Verdict.PASS, decides=False)
    assert axis_verdict(shape) == Verdict.INCONCLUSIVE
    assert axis_verdict(shape, probe("signal", Verdict.INCONCLUSIVE)) == Verdict.INCONCLUSIVE
    assert axis_verdict(shape, probe("signal", Verdict.PASS)) == Verdict.PASS


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.WARN, Verdict.INCONCLUSIVE])
def test_an_optional_probe_neither_answers_an_axis_nor_lowers_one(verdict: Verdict) -> None:
    beside = probe("signal", verdict, decides=False, optional=True)
    assert axis_verdict(beside) == Verdict.SKIP
    assert axis_verdict(beside, probe("signal", Verdict.PASS)) == Verdict.PASS
    assert axis_verdict(beside, probe("signal", Verdict.FAIL)) == Verdict.FAIL


def test_optional_rules_through_the_diagnosis() -> None:
    """Nulls that do as well as an optional probe's value: no claim is made of it."""

    def run_of(*rules: tuple[str, Rule, float]) -> tuple[Diagnosis, str]:
        readings = [replace(reading(rule, measured(value), NULLS, name=axis), axis=axis) for axis, rule, value in rules]
        results = judge(readings, alpha=0.05)
        return diagnose(axes_of(results), results)

    applied = ("applied", AboveFloor(), 1.0)
    assert run_of(applied, ("signal", AboveNull(fails=False), 0.2))[0] == Diagnosis.INCONCLUSIVE
    diagnosis, headline = run_of(applied, ("signal", AboveNull(), 5.0), ("direction", AboveNull(fails=False), 0.2))
    assert diagnosis == Diagnosis.HEALTHY
    assert "toward" not in headline


def learned(value: float) -> ProbeResult:
    return replace(probe("direction", Verdict.FAIL), items=(Item("s", value),) * 5)


def test_off_target_comes_before_damaging_unless_the_material_became_likelier() -> None:
    broken = axes(**GOOD | {"direction": Verdict.FAIL, "collateral": Verdict.FAIL})
    assert diagnose(broken, [learned(-0.5)])[0] == Diagnosis.OFF_TARGET
    assert diagnose(broken, [learned(0.5)])[0] == Diagnosis.DAMAGING
    assert diagnose(broken, [learned(0.5), learned(-0.1)])[0] == Diagnosis.OFF_TARGET


def test_what_moved_toward_a_part_of_the_material_is_not_said_to_move_toward_none_of_it() -> None:
    """Light training on a document lifts its sections, and turns no preference yet."""
    sections, preferences = (
        replace(learned(value), name=name, verdict=verdict)
        for name, verdict, value in (("sections", Verdict.PASS, 0.05), ("preferences", Verdict.FAIL, 0.0))
    )
    failed = axes(**GOOD | {"direction": Verdict.FAIL})
    found, sentence = diagnose(failed, [sections, preferences])
    assert found == Diagnosis.OFF_TARGET
    assert sentence.endswith("toward a part of its material alone: passed sections; failed preferences.")
    none = diagnose(failed, [replace(sections, verdict=Verdict.FAIL), preferences])[1]
    assert none.endswith("but not toward its training material.")


@pytest.mark.parametrize(("nulls", "verdict"), [([1.0] * 19, Verdict.WARN), ([-5.0, -6.0] * 9, Verdict.PASS)])
def test_what_is_open_and_no_better_than_noise_warns_beside_a_pass(nulls: list[float], verdict: Verdict) -> None:
    """Of probes that nulls decide a twentieth of noise passes some: one more that nulls beat is no second witness."""
    passed = replace(reading(AboveNull(), measured(5.0), NULLS, name="preferences"), axis="direction")
    opened = replace(reading(AboveNull(), measured(0.2, spread=0.5), nulls, name="sections"), axis="direction")
    results = judge([passed, opened], alpha=0.05)
    assert [each.verdict for each in results] == [Verdict.PASS, Verdict.INCONCLUSIVE]
    direction = next(axis for axis in axes_of(results) if axis.axis == "direction")
    assert direction.verdict == verdict
    assert direction.reason.startswith("sections: its interval" if verdict == Verdict.WARN else "preferences: beyond")
    assert next(axis for axis in axes_of(results[1:]) if axis.axis == "direction").verdict == Verdict.INCONCLUSIVE


def test_a_part_of_the_material_that_was_left_open_is_named() -> None:
    sections, preferences = (
        replace(learned(0.1), name=name, axis="direction", decides=True, verdict=verdict)
        for name, verdict in (("sections", Verdict.PASS), ("preferences", Verdict.INCONCLUSIVE))
    )
    found, sentence = diagnose(axes(**GOOD), [sections, preferences])
    assert found == Diagnosis.HEALTHY
    assert sentence.endswith("elsewhere, with preferences left open.")
    assert "left open" not in diagnose(axes(**GOOD), [sections])[1]


@pytest.mark.parametrize(
    ("value", "diagnosis"), [(-2.0, Diagnosis.OFF_TARGET), (-0.1, Diagnosis.NOISE), (0.2, Diagnosis.NOISE)]
)
def test_a_move_away_from_the_material_far_beyond_every_null_is_no_noise(value: float, diagnosis: Diagnosis) -> None:
    """The nulls' values reach from 0 to 0.4: -0.1 lies beyond all of them, and not by more than their spread allows."""
    readings = [
        replace(reading(AboveFloor(), measured(1.0), name="applied"), axis="applied"),
        reading(AboveNull(), measured(0.2), NULLS, name="signal"),
        replace(reading(AboveNull(), measured(value, spread=0.001), NULLS, name="direction"), axis="direction"),
    ]
    results = judge(readings, alpha=0.05)
    assert diagnose(axes_of(results), results)[0] == diagnosis


def test_a_wrong_template_is_named_before_what_it_spoils() -> None:
    """Everyday replies were asked through it as the data's were; prose was not."""
    spoilt = axes(**GOOD | dict.fromkeys(("direction", "collateral", "survival"), Verdict.FAIL))
    template = replace(probe("survival", Verdict.FAIL), headline="another template")
    replies = replace(probe("collateral", Verdict.FAIL), through_template=True)
    missed, prose = probe("direction", Verdict.FAIL), probe("collateral", Verdict.FAIL)
    assert diagnose(spoilt, [missed, replies, template]) == (Diagnosis.LOST_IN_DEPLOYMENT, "another template")
    assert diagnose(spoilt, [missed, replies, prose, template])[0] == Diagnosis.DAMAGING
    quantized = replace(template, headline="")
    assert diagnose(spoilt, [missed, replies, quantized])[0] == Diagnosis.OFF_TARGET


def test_where_the_adapter_went_is_named_before_a_template_that_would_lift_a_little_more() -> None:
    failed = axes(**GOOD | {"direction": Verdict.FAIL, "survival": Verdict.FAIL})
    template = replace(probe("survival", Verdict.FAIL), headline="another template")
    elsewhere = replace(probe("direction", Verdict.FAIL), headline="elsewhere", decides=False)
    assert diagnose(failed, [elsewhere, template]) == (Diagnosis.OFF_TARGET, "elsewhere")
    missed = probe("direction", Verdict.FAIL)
    assert diagnose(failed, [missed, elsewhere, template]) == (Diagnosis.OFF_TARGET, "elsewhere")


def test_damage_is_said_beside_whatever_gives_the_name() -> None:
    """An adapter at eight times its scale is called noise, and takes prose apart: noise alone sounds harmless."""
    bad = GOOD | dict.fromkeys(("signal", "direction", "collateral"), Verdict.FAIL)
    noise, damaging = "no more than a random adapter of its size would.", "beyond the tolerance."
    found, sentence = diagnose(axes(**bad))
    assert found == Diagnosis.NOISE
    assert sentence.endswith(f"{noise} It also damages unrelated text {damaging}")
    endless = replace(probe("collateral", Verdict.FAIL), headline="It does not stop.")
    assert diagnose(axes(**bad), [endless])[1].endswith(f"{noise} It does not stop.")
    sentence = diagnose(axes(**GOOD | dict.fromkeys(("collateral", "leakage"), Verdict.FAIL)))[1]
    assert sentence.endswith(f"damages unrelated text {damaging} It also recites its training text.")
    # What the wrong template spoiled is no damage.
    replies, template = (
        replace(probe("collateral", Verdict.FAIL), through_template=True),
        probe("survival", Verdict.FAIL),
    )
    spoilt = axes(**GOOD | dict.fromkeys(("collateral", "survival"), Verdict.FAIL))
    assert "also" not in diagnose(spoilt, [replies, replace(template, headline="another template")])[1]


def test_what_a_sure_direction_outweighs_is_said() -> None:
    assert "no further than noise moves them" in diagnose(axes(**GOOD | {"signal": Verdict.FAIL}))[1]
    assert "do not change beyond rounding" in diagnose(axes(**GOOD | {"applied": Verdict.FAIL}))[1]


def test_the_headline_says_no_more_than_the_axes() -> None:
    said = {verdict: diagnose(axes(**GOOD | {"direction": verdict}))[1] for verdict in (Verdict.PASS, Verdict.WARN)}
    assert "toward its training material," in said[Verdict.PASS]
    assert "with reservations" in said[Verdict.WARN]
    assert "toward" not in diagnose(axes(**GOOD | {"direction": Verdict.SKIP}))[1]
    for axis in AXES:
        assert diagnose(axes(**GOOD | {axis: Verdict.WARN}))[1] != diagnose(axes(**GOOD))[1]
    assert "not ruled out" in diagnose(axes(**GOOD | {"collateral": Verdict.WARN}))[1]


def axes(**verdicts: Verdict) -> list[AxisResult]:
    return [AxisResult(axis, verdicts.get(axis, Verdict.SKIP), "because") for axis in AXES]


GOOD = {"applied": Verdict.PASS, "signal": Verdict.PASS, "direction": Verdict.PASS, "collateral": Verdict.PASS}


@pytest.mark.parametrize(
    ("changed", "diagnosis"),
    [
        ({}, Diagnosis.HEALTHY),
        ({"direction": Verdict.SKIP, "collateral": Verdict.SKIP}, Diagnosis.HEALTHY),
        ({"signal": Verdict.FAIL, "direction": Verdict.FAIL}, Diagnosis.NOISE),
        ({"signal": Verdict.FAIL, "direction": Verdict.SKIP}, Diagnosis.NOISE),
        ({"signal": Verdict.FAIL}, Diagnosis.HEALTHY),
        ({"applied": Verdict.FAIL, "signal": Verdict.FAIL}, Diagnosis.HEALTHY),
        ({"applied": Verdict.FAIL, "signal": Verdict.FAIL, "direction": Verdict.FAIL}, Diagnosis.NO_OP),
        ({"direction": Verdict.FAIL}, Diagnosis.OFF_TARGET),
        ({"collateral": Verdict.FAIL}, Diagnosis.DAMAGING),
        ({"leakage": Verdict.FAIL}, Diagnosis.MEMORIZING),
        ({"survival": Verdict.FAIL}, Diagnosis.LOST_IN_DEPLOYMENT),
        ({"collateral": Verdict.INCONCLUSIVE}, Diagnosis.INCONCLUSIVE),
        ({"signal": Verdict.INCONCLUSIVE, "direction": Verdict.SKIP}, Diagnosis.INCONCLUSIVE),
        # One random adapter of six is beyond five nulls: open, and not a change that missed its target.
        ({"signal": Verdict.INCONCLUSIVE, "direction": Verdict.FAIL}, Diagnosis.INCONCLUSIVE),
        ({"signal": Verdict.INCONCLUSIVE, "direction": Verdict.FAIL, "collateral": Verdict.FAIL}, Diagnosis.DAMAGING),
        ({"applied": Verdict.ERROR}, Diagnosis.INCONCLUSIVE),
        ({"collateral": Verdict.ERROR}, Diagnosis.INCONCLUSIVE),
    ],
)
def test_the_diagnosis(changed: dict[str, Verdict], diagnosis: Diagnosis) -> None:
    assert diagnose(axes(**(GOOD | changed)))[0] == diagnosis


def test_only_numbers_of_the_model_make_it_broken() -> None:
    found, sentence = diagnose(axes(applied=Verdict.ERROR), broken="the tuned view gave NaN")
    assert found == Diagnosis.BROKEN
    assert sentence == "The model gives numbers that are not finite: the tuned view gave NaN."


def test_nothing_is_healthy_without_applied_and_an_effect() -> None:
    for applied, signal in itertools.product((Verdict.SKIP, Verdict.INCONCLUSIVE), repeat=2):
        found = diagnose(axes(applied=applied, signal=signal, collateral=Verdict.PASS))[0]
        assert found == Diagnosis.INCONCLUSIVE


@pytest.mark.parametrize("items", [1, 4, 5, 40])
@pytest.mark.parametrize("controls", [0, 1, 4, 5])
def test_what_is_lacking_is_never_a_negative_number(items: int, controls: int) -> None:
    tuned = replace(measured(1.0, items), controls=measured(0.0, controls).items)
    found = judge([reading(AboveTolerance(-0.15), tuned)], alpha=0.05)[0]
    enough = items >= 5 and controls in (0, 5)
    assert (found.verdict == Verdict.INCONCLUSIVE) != enough
    lacking = 5 - (items if items < 5 else controls)
    assert enough or f"give {lacking} or more" in found.reason


def test_an_interval_within_the_noise_is_told_as_such() -> None:
    found = judge([reading(AboveNull(), measured(5.0, spread=0.5), NULLS, floor=4.5)], alpha=0.05)[0]
    assert (found.verdict, "reaches into numerical noise" in found.reason) == (Verdict.INCONCLUSIVE, True)
