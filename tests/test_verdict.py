"""Rules, axes and the diagnosis: what each verdict takes, and that no rule gives one on too little."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sway_gguf.core.measurement import (
    AXES,
    AboveFloor,
    AboveNull,
    AboveTolerance,
    AllChecks,
    Check,
    Item,
    Measurement,
    Rule,
)
from sway_gguf.core.result import AxisResult, Diagnosis, ProbeResult, Verdict
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import Reading, judge

NULLS = [0.1 * (n % 5) for n in range(19)]


def measured(value: float, items: int = 12, spread: float = 0.1) -> Measurement:
    """A measurement whose items scatter evenly about `value`."""
    offsets = [spread * (n - (items - 1) / 2) for n in range(items)]
    return Measurement(value, tuple(Item(str(n), value + offset) for n, offset in enumerate(offsets)))


def reading(
    rule: Rule, tuned: Measurement, nulls: Sequence[float] = (), floor: float = 0.0, name: str = "p"
) -> Reading:
    return Reading(name, name, "signal", "nats", rule, tuned, tuple(Measurement(y) for y in nulls), floor)


def verdict_of(*args: object, **kwargs: object) -> Verdict:
    return judge([reading(*args, **kwargs)], alpha=0.05, seed=0)[0].verdict  # type: ignore[arg-type]


def test_beyond_every_null_passes() -> None:
    assert verdict_of(AboveNull(), measured(5.0), NULLS) == Verdict.PASS


def test_one_null_that_does_as_well_fails() -> None:
    found = judge([reading(AboveNull(), measured(5.0), [*NULLS[:-1], 5.0])], alpha=0.05, seed=0)[0]
    assert found.verdict == Verdict.FAIL
    assert found.reason == "1 of 19 nulls do as well"


def test_a_value_just_beyond_the_nulls_fails_by_its_tail_p() -> None:
    assert verdict_of(AboveNull(), measured(0.41), NULLS) == Verdict.FAIL


def test_lower_is_better_mirrors_higher() -> None:
    assert verdict_of(AboveNull("lower"), measured(-5.0), NULLS) == Verdict.PASS
    assert verdict_of(AboveNull("lower"), measured(5.0), NULLS) == Verdict.FAIL


def test_an_effect_within_the_noise_floor_is_none() -> None:
    assert verdict_of(AboveNull(), measured(5.0), NULLS, floor=6.0) == Verdict.FAIL


@pytest.mark.parametrize(
    ("items", "nulls", "advice"), [(4, 19, "give 1 or more in addition"), (12, 4, "ask for 5 or more with --nulls")]
)
def test_too_little_evidence_is_inconclusive_and_says_what_is_lacking(items: int, nulls: int, advice: str) -> None:
    found = judge([reading(AboveNull(), measured(5.0, items), NULLS[:nulls])], alpha=0.05, seed=0)[0]
    assert found.verdict == Verdict.INCONCLUSIVE
    assert advice in found.reason


def test_holm_counts_only_probes_that_nulls_decide() -> None:
    alone = judge([reading(AboveNull(), measured(0.8), NULLS)], alpha=0.05, seed=0)
    shown = judge(
        [reading(AboveNull(), measured(0.8), NULLS), reading(AboveTolerance(-0.1), measured(1.0), NULLS[:5], name="q")],
        alpha=0.05,
        seed=0,
    )
    both = judge([reading(AboveNull(), measured(0.8), NULLS, name=n) for n in "pq"], alpha=0.05, seed=0)
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


def test_too_few_items_give_no_verdict_on_damage() -> None:
    assert verdict_of(AboveTolerance(-0.15), measured(-3.0, items=3)) == Verdict.INCONCLUSIVE


def test_a_probe_that_cannot_tell_is_inconclusive_whatever_its_value() -> None:
    assert verdict_of(AboveTolerance(-0.15), replace(measured(-3.0), undecided="cannot tell")) == Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("passed", "verdict"), [(True, Verdict.PASS), (False, Verdict.WARN)])
def test_checks_warn_and_never_fail(passed: bool, verdict: Verdict) -> None:
    shape = replace(measured(1.0), checks=(Check("rising", passed, "rises"),))
    assert verdict_of(AllChecks(), shape) == verdict


def probe(axis: str, verdict: Verdict, decides: bool = True) -> ProbeResult:
    return ProbeResult(f"{axis}-{verdict}", "k", axis, verdict, "because", decides=decides)


def axis_verdict(*probes: ProbeResult) -> Verdict:
    return next(axis.verdict for axis in axes_of(probes) if axis.axis == probes[0].axis)


def test_an_axis_is_its_worst_deciding_verdict() -> None:
    P, W, F, I, S = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.SKIP  # noqa: E741
    assert axis_verdict(probe("signal", P), probe("signal", W)) == W
    assert axis_verdict(probe("signal", W), probe("signal", F), probe("signal", I)) == F
    assert axis_verdict(probe("signal", P), probe("signal", I)) == P
    assert axis_verdict(probe("signal", I), probe("signal", S)) == I
    assert axis_verdict(probe("signal", S)) == S


def test_the_shape_of_a_curve_alone_answers_nothing() -> None:
    shape = probe("signal", Verdict.PASS, decides=False)
    assert axis_verdict(shape) == Verdict.INCONCLUSIVE
    assert axis_verdict(shape, probe("signal", Verdict.INCONCLUSIVE)) == Verdict.INCONCLUSIVE
    assert axis_verdict(shape, probe("signal", Verdict.PASS)) == Verdict.PASS


def axes(**verdicts: Verdict) -> list[AxisResult]:
    return [AxisResult(axis, verdicts.get(axis, Verdict.SKIP), "because") for axis in AXES]


GOOD = {"applied": Verdict.PASS, "signal": Verdict.PASS, "direction": Verdict.PASS, "collateral": Verdict.PASS}


@pytest.mark.parametrize(
    ("changed", "diagnosis"),
    [
        ({}, Diagnosis.HEALTHY),
        ({"direction": Verdict.SKIP, "collateral": Verdict.SKIP}, Diagnosis.HEALTHY),
        ({"applied": Verdict.FAIL, "signal": Verdict.FAIL}, Diagnosis.NO_OP),
        ({"signal": Verdict.FAIL, "direction": Verdict.FAIL}, Diagnosis.NOISE),
        ({"signal": Verdict.FAIL, "direction": Verdict.SKIP}, Diagnosis.NOISE),
        ({"signal": Verdict.FAIL}, Diagnosis.HEALTHY),
        ({"direction": Verdict.FAIL}, Diagnosis.OFF_TARGET),
        ({"collateral": Verdict.FAIL}, Diagnosis.DAMAGING),
        ({"leakage": Verdict.FAIL}, Diagnosis.MEMORIZING),
        ({"survival": Verdict.FAIL}, Diagnosis.LOST_IN_DEPLOYMENT),
        ({"collateral": Verdict.INCONCLUSIVE}, Diagnosis.INCONCLUSIVE),
        ({"signal": Verdict.INCONCLUSIVE, "direction": Verdict.SKIP}, Diagnosis.INCONCLUSIVE),
        ({"applied": Verdict.ERROR}, Diagnosis.BROKEN),
    ],
)
def test_the_diagnosis(changed: dict[str, Verdict], diagnosis: Diagnosis) -> None:
    assert diagnose(axes(**(GOOD | changed)))[0] == diagnosis


def test_nothing_is_healthy_without_applied_and_an_effect() -> None:
    for applied, signal in itertools.product((Verdict.SKIP, Verdict.INCONCLUSIVE), repeat=2):
        found = diagnose(axes(applied=applied, signal=signal, collateral=Verdict.PASS))[0]
        assert found == Diagnosis.INCONCLUSIVE


@pytest.mark.parametrize("items", [1, 4, 5, 40])
@pytest.mark.parametrize("controls", [0, 1, 4, 5])
def test_what_is_lacking_is_never_a_negative_number(items: int, controls: int) -> None:
    tuned = replace(measured(1.0, items), controls=measured(0.0, controls).items)
    found = judge([reading(AboveTolerance(-0.15), tuned)], alpha=0.05, seed=0)[0]
    enough = items >= 5 and controls in (0, 5)
    assert (found.verdict == Verdict.INCONCLUSIVE) != enough
    lacking = 5 - (items if items < 5 else controls)
    assert enough or f"give {lacking} or more" in found.reason
