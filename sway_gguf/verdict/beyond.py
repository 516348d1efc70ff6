"""The rule of nulls: a value beyond zero by its own items, beyond every null, and beyond chance over the run.

Knows neither probe kinds nor how anything was measured.
"""

from __future__ import annotations

from sway_gguf.core.listing import too_few
from sway_gguf.core.measurement import SIZES
from sway_gguf.core.result import Verdict
from sway_gguf.core.rules import AboveNull, Direction, Rule
from sway_gguf.stats.calibration import MIN_NULLS, Calibration, smallest_rank_p
from sway_gguf.stats.contrast import gain_of
from sway_gguf.stats.interval import MIN_ITEMS, Interval, mean_interval
from sway_gguf.verdict.reading import Evidence, Reading


def beyond_nulls(rule: AboveNull, evidence: Evidence) -> tuple[Verdict, str]:
    """The verdict, and why in one line.

    Nulls rule out chance alone: an adapter that was trained on something else differs from them too. So an effect
    that is a mean over items must itself lie on the right side of zero, and of the noise floor.
    """
    # What is no mean of effects, such as a share, is as large on noise as on anything.
    by_items = _by_items(rule, evidence) if evidence.reading.tuned.interval else None
    return by_items or _by_nulls(rule, evidence)


def _by_items(rule: AboveNull, evidence: Evidence) -> tuple[Verdict, str] | None:
    """What its own items say by themselves; None where nulls are to decide.

    It misses where all of its interval lies on the wrong side of zero. Where that reaches across, its items show
    neither side, and nulls that do as well show no more; of a size they show that noise is as large.
    """
    reading, span = evidence.reading, evidence.interval
    if _nothing_there(reading, span):
        return missed_by(rule), "no effect above numerical noise"
    # One text that lost a little is no sign that the model was turned from all of its kind.
    if span is None:
        return Verdict.INCONCLUSIVE, too_few_for_interval(reading)
    if _reaches(span, rule, reading):
        return (Verdict.INCONCLUSIVE, _left_open(evidence, span, rule)) if _has_sign(reading) else None
    return None if _clears(span, rule, reading) else (missed_by(rule), _other_way(reading))


def _by_nulls(rule: AboveNull, evidence: Evidence) -> tuple[Verdict, str]:
    """What nulls say of a value that its own items do not settle."""
    nulls, span = len(evidence.reading.nulls), evidence.interval
    found, corrected, family = evidence.calibration, evidence.corrected, evidence.family
    if found is None or corrected is None or family is None or nulls < MIN_NULLS:
        return Verdict.INCONCLUSIVE, f"{nulls} nulls are too few; ask for {MIN_NULLS} or more with --nulls"
    if not found.beats_all:
        return missed_by(rule), _beaten(evidence, rule, found)
    chance = _by_chance(evidence, found, corrected, family)
    if chance:
        # What stands beyond all of them speaks for the adapter, if not loudly enough: no evidence against it.
        return Verdict.INCONCLUSIVE, f"{chance}; more nulls may tell"
    if span and not _clears(span, rule, evidence.reading):
        return Verdict.INCONCLUSIVE, _left_open(evidence, span, rule)
    if evidence.early:
        return Verdict.PASS, f"beyond all {nulls} nulls of the first look by far, tail p {corrected:.1g}"
    return Verdict.PASS, f"beyond all {nulls} nulls, rank p {family:.2g}"


def by_items_alone(reading: Reading) -> bool:
    """Whether no null changes its verdict, or none that an axis asks: its own items show no effect, or leave it open.

    One that surely moved the other way is neither: how far nulls move that way tells it from noise.
    """
    rule = reading.rule
    if not isinstance(rule, AboveNull) or not reading.tuned.interval:
        return False
    span = interval_of(reading)
    if _nothing_there(reading, span) or span is None:
        return True
    return _reaches(span, rule, reading) and (_has_sign(reading) or rule.optional)


def missed_by(rule: Rule) -> Verdict:
    """The verdict on a value that does not meet `rule`."""
    return Verdict.WARN if rule.optional else Verdict.FAIL


def interval_of(reading: Reading) -> Interval | None:
    """Over the items of the tuned view; None where they are too few, or the value is no mean of effects."""
    measured = reading.tuned
    if not measured.interval:
        return None
    values = [item.value for item in measured.items]
    return mean_interval(values, measured.control_groups(), within=measured.within)


def too_few_for_interval(reading: Reading) -> str:
    """Which items or controls are lacking for an interval."""
    items = len(reading.tuned.items)
    if items < MIN_ITEMS:
        return too_few(items, MIN_ITEMS, "item", "items")
    fewest = min(map(len, reading.tuned.control_groups()))
    return f"{too_few(fewest, MIN_ITEMS, 'text to compare with', 'texts to compare with')} (--general FILE)"


def _nothing_there(reading: Reading, span: Interval | None) -> bool:
    """Whether a mean of effects is no larger than noise; of one with a sign, wherever in its interval it may lie."""
    wide = max(map(abs, span)) if span and _has_sign(reading) else 0.0
    return max(wide, abs(reading.tuned.value)) <= (reading.floor or 0.0)


def _has_sign(reading: Reading) -> bool:
    """Whether the sign of an effect says where it leads; a size has none, so that only nulls tell what it is worth."""
    return reading.axis not in SIZES


def _clears(span: Interval, rule: AboveNull, reading: Reading) -> bool:
    """Whether all of it lies beyond zero in the rule's direction, and beyond noise."""
    return _turned(span, rule.direction).low > (reading.floor or 0.0)


def _reaches(span: Interval, rule: AboveNull, reading: Reading) -> bool:
    """Whether a part of it lies beyond zero in the rule's direction, and a part no further than noise."""
    near, far = _turned(span, rule.direction)
    return near <= (reading.floor or 0.0) and far > 0


def _turned(span: Interval, direction: Direction) -> Interval:
    """How far its nearer and its farther end lie beyond zero in a direction; negative where they do not."""
    low, high = span
    return {
        "higher": span,
        "lower": Interval(-high, -low),
        "two-sided": Interval(max(low, -high), max(high, -low)),
    }[direction]


def _left_open(evidence: Evidence, span: Interval, rule: AboveNull) -> str:
    """How far the interval reaches, and what nulls say beside it."""
    reading, found = evidence.reading, evidence.calibration
    what = "zero" if _turned(span, rule.direction).low <= 0 else "into numerical noise"
    gained = _gained_by_other_text(reading)
    whose = f"{_moves(reading, gained)}; the interval of the difference" if gained else "its interval"
    told = f"{whose} ({span.low:.2g} to {span.high:.2g}) reaches {what}"
    if found and found.beats_all:
        told = f"beyond all {len(found.nulls)} nulls, but {told}"
    elif found:
        told = f"{told}, and {_beaten(evidence, rule, found)}"
    return f"{told}; give more items"


def _other_way(reading: Reading) -> str:
    """That it moved away, or how far it moved and other text with it: what did not move is not said to have."""
    gained = _gained_by_other_text(reading)
    return _moves(reading, gained) if gained else f"it moved the other way ({reading.tuned.value:+.2g} {reading.unit})"


def _moves(reading: Reading, gained: float) -> str:
    """Of its own text and of other text."""
    return f"it moved by {reading.tuned.value + gained:+.2g} {reading.unit}, and other text by {gained:+.2g}"


def _gained_by_other_text(reading: Reading) -> float:
    return float(gain_of(reading.tuned.control_groups()))


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
