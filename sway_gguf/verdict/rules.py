"""The rules: how a value with its interval, nulls and noise floor becomes a verdict and a reason.

The only place where a p or an interval meets a threshold. Knows neither probe kinds nor how anything was measured.
"""

from __future__ import annotations

from functools import singledispatch

from sway_gguf.core.listing import too_few
from sway_gguf.core.measurement import SIZES
from sway_gguf.core.result import Verdict
from sway_gguf.core.rules import (
    AboveFloor,
    AboveNull,
    AboveTolerance,
    AllChecks,
    BelowTolerance,
    Direction,
    Findings,
    Rule,
    Shown,
)
from sway_gguf.stats.calibration import MIN_NULLS, Calibration, smallest_rank_p
from sway_gguf.stats.contrast import gain_of
from sway_gguf.stats.interval import MIN_ITEMS, Interval, mean_interval
from sway_gguf.verdict.reading import Evidence, Reading

FLOOR_MARGIN = 3.0
"""A change between one and this many noise floors may be the floor's own scatter: it warns."""


def verdict_of(evidence: Evidence) -> tuple[Verdict, str]:
    """The verdict by the reading's rule and checks, and why in one line."""
    return _qualified(*_softened(*_decide(evidence), evidence), evidence.reading)


def interval_of(reading: Reading) -> Interval | None:
    """Over the items of the tuned view; None where they are too few, or the value is no mean of effects."""
    measured = reading.tuned
    if not measured.interval:
        return None
    values = [item.value for item in measured.items]
    return mean_interval(values, measured.control_groups(), within=measured.within)


def by_items_alone(reading: Reading) -> bool:
    """Whether no null changes its verdict, or none that an axis asks: its own items show no effect, or leave it open.

    One that surely moved the other way is neither: how far nulls move that way tells it from noise.
    """
    rule = reading.rule
    if not isinstance(rule, AboveNull) or not reading.tuned.interval:
        return False
    span = interval_of(reading)
    if _nothing_there(reading) or span is None:
        return True
    return _reaches(span, rule, reading) and (_has_sign(reading) or rule.optional)


def _nothing_there(reading: Reading) -> bool:
    """Whether a mean of effects is no larger than noise."""
    return abs(reading.tuned.value) <= (reading.floor or 0.0)


def _has_sign(reading: Reading) -> bool:
    """Whether the sign of an effect says where it leads; a size has none, so that only nulls tell what it is worth."""
    return reading.axis not in SIZES


def _softened(verdict: Verdict, reason: str, evidence: Evidence) -> tuple[Verdict, str]:
    """A miss is a WARN where a part that says so passes by itself, and so is what its own items leave open."""
    if verdict == Verdict.FAIL or by_items_alone(evidence.reading):
        passed = {part.name for part in evidence.parts if part.above}
        for part in evidence.reading.tuned.parts:
            if part.instead and part.name in passed:
                return Verdict.WARN, f"{part.instead}: {reason}"
    return verdict, reason


def _qualified(verdict: Verdict, reason: str, reading: Reading) -> tuple[Verdict, str]:
    """A check that was missed turns a PASS into a WARN, whatever the rule, and either into a FAIL where it says so.

    What is below its tolerance as far as too few items tell fails as well: a secret that came out has come out.
    """
    missed = [check for check in reading.tuned.checks if not check.passed]
    fails = any(check.fails for check in missed) and not reading.rule.optional
    few = verdict == Verdict.INCONCLUSIVE and isinstance(reading.rule, BelowTolerance) and not reading.tuned.undecided
    if not missed or not (verdict == Verdict.PASS or (fails and (verdict == Verdict.WARN or few))):
        return verdict, reason
    return Verdict.FAIL if fails else Verdict.WARN, f"{reason}, but {'; '.join(check.text for check in missed)}"


def _decide(evidence: Evidence) -> tuple[Verdict, str]:
    reading = evidence.reading
    if reading.tuned.undecided:
        return Verdict.INCONCLUSIVE, reading.tuned.undecided
    return by_rule(reading.rule, evidence)


def missed_by(rule: Rule) -> Verdict:
    """The verdict on a value that does not meet `rule`."""
    return Verdict.WARN if rule.optional else Verdict.FAIL


@singledispatch
def by_rule(rule: Rule, evidence: Evidence) -> tuple[Verdict, str]:
    """The verdict that a rule gives, and why in one line; one function below for each.

    Raises:
        NotImplementedError: a rule that has none.
    """
    raise NotImplementedError(f"no verdict is known for {type(rule).__name__}")


@by_rule.register
def _above_floor(rule: AboveFloor, evidence: Evidence) -> tuple[Verdict, str]:
    value, floor = evidence.value, evidence.reading.floor
    if value <= (floor or 0.0):
        return Verdict.FAIL, "nothing changes beyond numerical noise"
    if floor is None:
        return Verdict.WARN, "the logits change; how much of it is numerical noise could not be measured"
    if value <= FLOOR_MARGIN * floor:
        return Verdict.WARN, f"the change is only {value / floor:.1f} times the numerical noise"
    return Verdict.PASS, "the logits change"


@by_rule.register
def _above_tolerance(rule: AboveTolerance, evidence: Evidence) -> tuple[Verdict, str]:
    return _against(rule.tolerance, evidence, above=Verdict.PASS, below=missed_by(rule))


@by_rule.register
def _below_tolerance(rule: BelowTolerance, evidence: Evidence) -> tuple[Verdict, str]:
    return _against(rule.tolerance, evidence, above=missed_by(rule), below=Verdict.PASS)


def _against(limit: float, evidence: Evidence, *, above: Verdict, below: Verdict) -> tuple[Verdict, str]:
    if evidence.interval is None:
        return Verdict.INCONCLUSIVE, _too_few(evidence.reading)
    if evidence.interval.low > limit:
        return above, f"the whole interval lies above {limit:g}, by {evidence.interval.low - limit:.2g}"
    if evidence.interval.high < limit:
        return below, f"the whole interval lies below {limit:g}, by {limit - evidence.interval.high:.2g}"
    return Verdict.WARN, f"the interval reaches across {limit:g}; more items would narrow it"


@by_rule.register
def _all_checks(rule: AllChecks, evidence: Evidence) -> tuple[Verdict, str]:
    if evidence.reading.floor is not None and evidence.value <= evidence.reading.floor:
        return Verdict.INCONCLUSIVE, "no effect above numerical noise, so it has no shape"
    failed = [check.text for check in evidence.reading.tuned.checks if not check.passed]
    if failed:
        return Verdict.WARN, "; ".join(failed)
    return Verdict.PASS, "; ".join(check.text for check in evidence.reading.tuned.checks)


@by_rule.register
def _findings(rule: Findings, evidence: Evidence) -> tuple[Verdict, str]:
    checks = evidence.reading.tuned.checks
    missed = [check for check in checks if not check.passed]
    failed = [check for check in missed if check.fails]
    verdict = Verdict.FAIL if failed else Verdict.WARN if missed else Verdict.PASS
    return verdict, "; ".join(check.text for check in failed or missed or checks)


@by_rule.register
def _shown(rule: Shown, evidence: Evidence) -> tuple[Verdict, str]:
    return Verdict.PASS, "; ".join(check.text for check in evidence.reading.tuned.checks)


@by_rule.register
def _above_null(rule: AboveNull, evidence: Evidence) -> tuple[Verdict, str]:
    """Beyond zero in the rule's direction, beyond every null, and beyond chance over all probes of the run.

    Nulls rule out chance alone: an adapter that was trained on something else differs from them too. So an effect
    that is a mean over items must itself lie on the right side of zero, and of the noise floor. It misses where all of
    its interval lies on the wrong side. Where that reaches across, its items show neither side, and nulls that do as
    well show no more; of a size they show that noise is as large.
    """
    reading, nulls = evidence.reading, len(evidence.reading.nulls)
    span, opened = evidence.interval, False
    # What is no mean of effects, such as a share, is as large on noise as on anything.
    if reading.tuned.interval:
        if _nothing_there(reading):
            return missed_by(rule), "no effect above numerical noise"
        # One text that lost a little is no sign that the model was turned from all of its kind.
        if span is None:
            return Verdict.INCONCLUSIVE, _too_few(reading)
        opened = _reaches(span, rule, reading)
        if opened and _has_sign(reading):
            return Verdict.INCONCLUSIVE, _left_open(evidence, span, rule)
        if not opened and not _clears(span, rule, reading):
            return missed_by(rule), _other_way(reading)
    found, corrected, family = evidence.calibration, evidence.corrected, evidence.family
    if found is None or corrected is None or family is None or nulls < MIN_NULLS:
        return Verdict.INCONCLUSIVE, f"{nulls} nulls are too few; ask for {MIN_NULLS} or more with --nulls"
    if not found.beats_all:
        return missed_by(rule), _beaten(evidence, rule, found)
    chance = _by_chance(evidence, found, corrected, family)
    if chance:
        # What stands beyond all of them speaks for the adapter, if not loudly enough: no evidence against it.
        return Verdict.INCONCLUSIVE, f"{chance}; more nulls may tell"
    if span and opened:
        return Verdict.INCONCLUSIVE, _left_open(evidence, span, rule)
    if evidence.early:
        return Verdict.PASS, f"beyond all {nulls} nulls of the first look by far, tail p {corrected:.1g}"
    return Verdict.PASS, f"beyond all {nulls} nulls, rank p {family:.2g}"


def _left_open(evidence: Evidence, span: Interval, rule: AboveNull) -> str:
    """How far the interval reaches, and what nulls say beside it."""
    reading, found = evidence.reading, evidence.calibration
    what = "zero" if _toward(span, rule.direction) <= 0 else "into numerical noise"
    gained = _gained_by_other_text(reading)
    whose = f"{_moves(reading, gained)}; the interval of the difference" if gained else "its interval"
    told = f"{whose} ({span.low:.2g} to {span.high:.2g}) reaches {what}"
    if found and not found.beats_all:
        return f"{told}, and {_beaten(evidence, rule, found)}"
    return f"beyond all {len(found.nulls)} nulls, but {told}; give more items" if found else f"{told}; give more items"


def _other_way(reading: Reading) -> str:
    """That it moved away, or how far it moved and other text with it: what did not move is not said to have."""
    gained = _gained_by_other_text(reading)
    return _moves(reading, gained) if gained else f"it moved the other way ({reading.tuned.value:+.2g} {reading.unit})"


def _moves(reading: Reading, gained: float) -> str:
    """Of its own text and of other text."""
    return f"it moved by {reading.tuned.value + gained:+.2g} {reading.unit}, and other text by {gained:+.2g}"


def _gained_by_other_text(reading: Reading) -> float:
    return float(gain_of(reading.tuned.control_groups()))


def _clears(span: Interval, rule: AboveNull, reading: Reading) -> bool:
    """Whether all of it lies beyond zero in the rule's direction, and beyond noise."""
    return _toward(span, rule.direction) > (reading.floor or 0.0)


def _reaches(span: Interval, rule: AboveNull, reading: Reading) -> bool:
    """Whether zero or noise lies within it, and what lies beyond them in the rule's direction as well."""
    best = {"higher": span.high, "lower": -span.low, "two-sided": max(span.high, -span.low)}[rule.direction]
    return not _clears(span, rule, reading) and best > (reading.floor or 0.0)


def _toward(span: tuple[float, float], direction: Direction) -> float:
    """How far the nearer end of a span lies beyond zero in a direction; negative where it does not."""
    low, high = span
    return {"higher": low, "lower": -high, "two-sided": max(low, -high)}[direction]


def _too_few(reading: Reading) -> str:
    """Which items or controls are lacking for an interval."""
    items = len(reading.tuned.items)
    if items < MIN_ITEMS:
        return too_few(items, MIN_ITEMS, "item", "items")
    fewest = min(map(len, reading.tuned.control_groups()))
    return f"{too_few(fewest, MIN_ITEMS, 'text to compare with', 'texts to compare with')} (--general FILE)"


def _by_chance(evidence: Evidence, found: Calibration, corrected: float, family: float) -> str:
    """Why chance may have brought the value about, or ""."""
    nulls = len(found.nulls)
    if evidence.early:
        return ""
    if corrected >= evidence.alpha:
        return f"beyond all {nulls} nulls here, but the tail p is {corrected:.2g} after correction"
    if family > max(evidence.alpha, smallest_rank_p(nulls)):
        return f"beyond all {nulls} nulls here, but over all probes together some null stands out as far"
    return ""


def _beaten(evidence: Evidence, rule: AboveNull, found: Calibration) -> str:
    value = evidence.reading.compared.value
    as_good = sum(not _beats(value, null, rule) for null in found.nulls)
    return f"{as_good} of {len(found.nulls)} nulls do as well"


def _beats(value: float, null: float, rule: AboveNull) -> bool:
    return value < null if rule.direction == "lower" else value > null
