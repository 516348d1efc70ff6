"""From probe verdicts to the six axes and one diagnosis. Knows verdicts and axes, not how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sway_gguf.core.measurement import AXES
from sway_gguf.core.result import AxisResult, Diagnosis, ProbeResult, Verdict

_MISSED = (Verdict.ERROR, Verdict.FAIL)
_WORST_FIRST = (*_MISSED, Verdict.WARN, Verdict.PASS)
_AWAY = 0.001
"""Level, shared by the probes, of a move away from the material against the nulls' spread. What noise damages is
skewed: at a level of a hundredth a twentieth of noise would lie so far out."""
_UNTESTED = {
    "direction": "give --data FILE with the text the adapter was trained on",
    "collateral": "give --general FILE with unrelated text",
    "leakage": "no probe in this run tests it; a suite by sway-gguf init does",
    "survival": "no probe in this run tests it; sway-gguf quants does",
}
_FAILURES = (
    ("applied", Diagnosis.NO_OP),
    ("signal", Diagnosis.NOISE),
    ("direction", Diagnosis.OFF_TARGET),
    ("collateral", Diagnosis.DAMAGING),
    ("leakage", Diagnosis.MEMORIZING),
    ("survival", Diagnosis.LOST_IN_DEPLOYMENT),
)
_SENTENCES = {
    Diagnosis.HEALTHY: "{who} changes the model, by more than noise of its size would{where}.",
    Diagnosis.NO_OP: "{who} loads and does nothing: the logits are those of the base.",
    Diagnosis.NOISE: "{who} changes the model no more than a random adapter of its size would.",
    Diagnosis.OFF_TARGET: "{who} changes the model, but not toward its training material.",
    Diagnosis.DAMAGING: "{who} changes the model, and damages unrelated text beyond the tolerance.",
    Diagnosis.MEMORIZING: "{who} recites its training text.",
    Diagnosis.LOST_IN_DEPLOYMENT: "The effect does not survive in the file that ships.",
    Diagnosis.BROKEN: "The model gives numbers that are not finite: {why}.",
    Diagnosis.INCONCLUSIVE: "The evidence does not decide: {why}.",
}
_IN_PART = "{who} changes the model toward a part of its material alone: passed {held}; failed {missed}."
"""Off-target where one probe of the direction passes and another fails: an adapter that did learn its data may not have
turned the preferences that it is held to."""
_ALSO = {
    "collateral": "It also damages unrelated text beyond the tolerance.",
    "leakage": "It also recites its training text.",
}
"""What is said of a failure beside the one that gives the name: no more than noise of its size may be more than the
model bears, as of a good adapter at several times its scale."""
_EXCUSED = {
    ("applied", Verdict.FAIL): "though its prompts' next tokens do not change beyond rounding",
    ("signal", Verdict.FAIL): "though its prompts' next tokens move no further than noise moves them",
}
"""What a sure move toward the material outweighs, and a reader has to know: such an effect is small."""
_HELD = _EXCUSED | {
    ("applied", Verdict.WARN): "with a warning on whether all of it is applied",
    ("signal", Verdict.WARN): "with a warning on the size or the shape of its effect",
    ("direction", Verdict.PASS): "toward its training material",
    ("direction", Verdict.WARN): "toward its training material with reservations",
    ("collateral", Verdict.PASS): "without measurable damage elsewhere",
    ("collateral", Verdict.WARN): "with damage elsewhere not ruled out",
    ("leakage", Verdict.WARN): "with recitation not ruled out",
    ("survival", Verdict.WARN): "with a warning on what it ships with",
}
"""A warning that the first sentence leaves out is not read: an adapter at an eighth of its scale is called healthy."""


def axes_of(probes: Sequence[ProbeResult]) -> tuple[AxisResult, ...]:
    """Each axis: the worst verdict among its probes that could decide; INCONCLUSIVE only when none could.

    A probe that only qualifies (`decides` is false) can lower an axis that another one answered; by itself it answers
    with no more than a sure miss. One that is open, and no better than some null, does not speak for the adapter:
    beside a PASS it warns. An optional one takes no part: what it looks for, a good adapter need not do.
    """
    return tuple(_axis(axis, [probe for probe in probes if probe.axis == axis]) for axis in AXES)


def _axis(axis: str, probes: Sequence[ProbeResult]) -> AxisResult:
    taking_part = [probe for probe in probes if not probe.optional or probe.verdict == Verdict.ERROR]
    order = _WORST_FIRST if any(_answers(probe) for probe in taking_part) else _MISSED
    for verdict in (*order, Verdict.INCONCLUSIVE):
        found = sorted((probe for probe in taking_part if verdict in (probe.verdict, _beside_others(probe))), key=_open)
        if found:
            return AxisResult(axis, verdict, f"{found[0].name}: {found[0].reason}", tuple(p.name for p in found))
    shown = [probe for probe in probes if probe.verdict not in (Verdict.SKIP, Verdict.ERROR)]
    if shown:
        verdict = Verdict.SKIP if all(probe.optional for probe in shown) else Verdict.INCONCLUSIVE
        alone = f"{shown[0].name} alone cannot answer it"
        lacking = next((p for p in taking_part if p.verdict == Verdict.SKIP and p.decides), None)
        reason = f"{alone}, and {lacking.name} was skipped: {lacking.reason}" if lacking else alone
        return AxisResult(axis, verdict, reason, tuple(p.name for p in shown))
    reason = probes[0].reason if probes else _UNTESTED.get(axis, "no probe in this run tests it")
    return AxisResult(axis, Verdict.SKIP, reason)


def _open(probe: ProbeResult) -> bool:
    """Whether its interval reaches across its limit: what was found is said before what more items would tell."""
    return (
        probe.limit is not None and probe.interval is not None and probe.interval[0] <= probe.limit <= probe.interval[1]
    )


def _beside_others(probe: ProbeResult) -> Verdict:
    """As what it counts where other probes answer: a warning, if it is open and some null does as well."""
    null = probe.null
    beaten = null is not None and null.holm_p is not None and null.beaten
    opened = probe.decides and probe.verdict == Verdict.INCONCLUSIVE
    return Verdict.WARN if opened and beaten else probe.verdict


def _answers(probe: ProbeResult) -> bool:
    return probe.decides and probe.verdict in _WORST_FIRST


def who_is_judged(adapters: int) -> str:
    """The beginning of a sentence about so many of them."""
    return "The adapter" if adapters < 2 else "The set of adapters"


def diagnose(
    axes: Sequence[AxisResult], probes: Sequence[ProbeResult] = (), broken: str = "", adapters: int = 1
) -> tuple[Diagnosis, str]:
    """The diagnosis and a sentence for it.

    The first failing axis names it, in the order of the six questions, with exceptions. A model that moved toward
    its material by more than every null and the noise is called neither no-op nor noise, however small the move; one
    that moved away from it as surely is off-target, and no noise. Where it is open whether the model changed by more
    than noise, it is not said to have changed off its target. Where the material did become likelier, damage elsewhere
    is named before a direction that failed for another reason. And where what the file ships with stands in the way,
    the direction was looked for in the wrong place, unless a probe of it says itself where the adapter went; and so was
    damage, as far as only probes found it that ask through the template.
    Healthy needs `applied` and `signal` (or `direction`) answered with yes, and no axis left undecided. An axis whose
    probe could not measure is undecided.

    Args:
        axes: the six.
        probes: behind them, which tell whether the material became likelier.
        broken: which number of the model is not finite, if one is.
        adapters: that run together.
    """
    who = who_is_judged(adapters)
    by_axis = {axis.axis: axis for axis in axes}
    verdicts = {axis.axis: axis.verdict for axis in axes}
    if broken:
        return Diagnosis.BROKEN, _SENTENCES[Diagnosis.BROKEN].format(why=broken)
    directed = verdicts["direction"] == Verdict.PASS
    excused = excused_by_direction(axes)
    if _moved_away(probes):
        excused.add("signal")
    elif verdicts["signal"] == Verdict.INCONCLUSIVE:
        excused.add("direction")
    if verdicts["collateral"] == Verdict.FAIL and _became_likelier(probes):
        excused.add("direction")
    if verdicts["survival"] == Verdict.FAIL and _failing("survival", probes):
        excused |= {"direction"} if not _failing("direction", probes) else set()
        excused |= {"collateral"} if _through_template("collateral", probes) else set()
    for axis, diagnosis in _FAILURES:
        if verdicts[axis] == Verdict.FAIL and axis not in excused:
            in_part = _in_part(probes, who) if axis == "direction" else ""
            told = _failing(axis, probes) or in_part or _SENTENCES[diagnosis].format(who=who)
            failed = (name for name in _ALSO if verdicts[name] == Verdict.FAIL and name not in excused | {axis})
            return diagnosis, " ".join([told, *(_failing(name, probes) or _ALSO[name] for name in failed)])
    undecided = _undecided(by_axis, directed)
    if undecided:
        return Diagnosis.INCONCLUSIVE, _SENTENCES[Diagnosis.INCONCLUSIVE].format(why=undecided)
    return Diagnosis.HEALTHY, _SENTENCES[Diagnosis.HEALTHY].format(who=who, where=_where(verdicts, probes))


def excused_by_direction(axes: Sequence[AxisResult]) -> set[str]:
    """Axes whose FAIL says nothing where the model moved toward its material by more than every null and the noise."""
    directed = any(axis.axis == "direction" and axis.verdict == Verdict.PASS for axis in axes)
    return {"applied", "signal"} if directed else set()


def _failing(axis: str, probes: Sequence[ProbeResult]) -> str:
    """What the first of the probes that fail an axis says of the adapter, as far as any does."""
    failing = (p for p in probes if p.axis == axis and p.verdict == Verdict.FAIL and not p.optional)
    return next((probe.headline for probe in failing if probe.headline), "")


def _through_template(axis: str, probes: Sequence[ProbeResult]) -> bool:
    """Whether all that fails an axis was asked through the template."""
    failing = [p for p in probes if p.axis == axis and p.verdict == Verdict.FAIL and not p.optional]
    return bool(failing) and all(probe.through_template for probe in failing)


def _in_part(probes: Sequence[ProbeResult], who: str) -> str:
    """What is said where some probes of the direction pass and others fail, or ""."""
    names = {
        verdict: ", ".join(probe.name for probe in _deciding(probes) if probe.verdict == verdict)
        for verdict in (Verdict.PASS, Verdict.FAIL)
    }
    return _IN_PART.format(who=who, held=names[Verdict.PASS], missed=names[Verdict.FAIL]) if all(names.values()) else ""


def _became_likelier(probes: Sequence[ProbeResult]) -> bool:
    """Whether all probes that decide the direction saw their own items gain, whatever other text did."""
    deciding = _deciding(probes)
    return bool(deciding) and all(_mean(probe) > (probe.noise_floor or 0.0) for probe in deciding)


def _deciding(probes: Sequence[ProbeResult]) -> list[ProbeResult]:
    """Those that decide the direction, as far as they measured any item."""
    return [probe for probe in probes if probe.axis == "direction" and probe.decides and probe.items]


def _mean(probe: ProbeResult) -> float:
    """Of its own items, whatever other text did."""
    return sum(item.value for item in probe.items) / len(probe.items)


def _moved_away(probes: Sequence[ProbeResult]) -> bool:
    """Whether the material became less likely, surely and by far more than under any null: what noise hardly does."""
    deciding = _deciding(probes)
    return any(_turned_round(probe, _AWAY / len(deciding)) for probe in deciding)


def _turned_round(probe: ProbeResult, level: float) -> bool:
    null, span, floor = probe.null, probe.interval, probe.noise_floor or 0.0
    if probe.verdict != Verdict.FAIL or null is None or null.value is None or span is None or not null.values:
        return False
    mean = _mean(probe)
    beyond = max(span[1], mean) < -floor and null.value < min(null.values)
    if probe.better == "lower":
        beyond = min(span[0], mean) > floor and null.value > max(null.values)
    return beyond and 1 - null.tail_p < level


def _undecided(axes: Mapping[str, AxisResult], directed: bool) -> str:
    for name in ("applied", "signal"):
        excused = directed and (name == "signal" or axes[name].verdict == Verdict.FAIL)
        if axes[name].verdict not in (Verdict.PASS, Verdict.WARN) and not excused:
            return f"{name} ({axes[name].reason})"
    open_axes = [axis for axis in axes.values() if axis.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR)]
    return "; ".join(f"{axis.axis} ({axis.reason})" for axis in open_axes)


def _where(verdicts: Mapping[str, Verdict], probes: Sequence[ProbeResult]) -> str:
    """What else held, for the healthy sentence; and which probe of the direction does not know."""
    held = [_HELD[axis, verdict] for axis, verdict in verdicts.items() if (axis, verdict) in _HELD]
    unknown = ", ".join(probe.name for probe in _deciding(probes) if probe.verdict == Verdict.INCONCLUSIVE)
    opened = f", with {unknown} left open" if unknown and verdicts["direction"] in (Verdict.PASS, Verdict.WARN) else ""
    return "".join(f", {part}" for part in held) + opened
