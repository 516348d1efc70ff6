"""The gate: one decision from a result and what is asked of it. Knows verdicts and limits; measures nothing.

Chance must neither fail a good adapter nor pass a bad one: a limit is met or missed by the whole interval of a value
and its noise floor, and what lies across it is INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sway_gguf.core.gate import GateDecision, GateLine, GateRules, Limits, Outcome
from sway_gguf.core.result import AxisResult, Diagnosis, ProbeResult, SuiteResult, Verdict
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.verdict.axes import axes_of, diagnose, excused_by_direction
from sway_gguf.verdict.regression import regressions
from sway_gguf.verdict.score import score_of

_LOSSES = ("external_perplexity", "everyday_replies")
_LIFTS = ("section_internalization",)
"""Kinds whose value is what max_loss and min_lift are said in: change of log-probability per token, on unrelated text
and on the material beyond other text. Facts and margins have the unit and another scale."""
_NOTHING_MORE = GateRules()
_ORDER = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)
_OUTCOMES = {
    Verdict.FAIL: Outcome.FAIL,
    Verdict.ERROR: Outcome.FAIL,
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}
"""Of a verdict; of all others it is PASS."""


def decide(
    result: SuiteResult,
    rules: GateRules = _NOTHING_MORE,
    baseline: SuiteResult | None = None,
) -> GateDecision:
    """Decide whether an adapter may ship.

    Args:
        result: of a run.
        rules: what is asked beside its verdicts.
        baseline: an earlier result; a probe whose items surely got worse fails.
    """
    lines = [*_verdicts(result, rules), *_probes(result, rules), *_asked(result, rules)]
    if baseline is not None:
        lines += regressions(baseline, result, [name for name, limits in rules.probes.items() if limits.informational])
    counted = {line.outcome for line in lines if not line.informational}
    outcome = next(each for each in _ORDER if each in counted or each == Outcome.PASS)
    ordered = sorted(lines, key=lambda line: (line.informational, _ORDER.index(line.outcome), not line.warning))
    return GateDecision(outcome, tuple(ordered), rules.strict)


def _verdicts(result: SuiteResult, rules: GateRules) -> list[GateLine]:
    """The diagnosis and the axes, without the probes that decide nothing here."""
    left_out = {name for name, limits in rules.probes.items() if limits.informational}
    broken = result.diagnosis == Diagnosis.BROKEN
    diagnosis, headline, axes = result.diagnosis, result.headline, result.axes
    if left_out and not broken:
        probes = [probe for probe in result.probes if probe.name not in left_out]
        axes = axes_of(probes)
        adapters = sum(record.role == "adapter" for record in result.files)
        diagnosis, headline = diagnose(axes, probes, adapters=adapters)
    excused = excused_by_direction(axes) - set(rules.require)
    undecided = diagnosis == Diagnosis.INCONCLUSIVE
    outcome = Outcome.FAIL if broken else Outcome.INCONCLUSIVE if undecided else Outcome.PASS
    lines = [GateLine("diagnosis", outcome, headline, informational=outcome == Outcome.PASS)]
    return lines + [_axis(axis, axis.axis in rules.require, axis.axis in excused) for axis in axes]


def _axis(axis: AxisResult, required: bool, excused: bool) -> GateLine:
    subject = f"axis {axis.axis}"
    if required and axis.verdict in (Verdict.SKIP, Verdict.INCONCLUSIVE):
        return GateLine(subject, Outcome.FAIL, f"required, and not answered: {axis.reason}")
    if excused and axis.verdict == Verdict.FAIL:
        return GateLine(
            subject, Outcome.PASS, f"excused by a sure move toward the material: {axis.reason}", warning=True
        )
    outcome = _OUTCOMES.get(axis.verdict, Outcome.PASS)
    return GateLine(subject, outcome, axis.reason, axis.verdict == Verdict.SKIP, axis.verdict == Verdict.WARN)


def _probes(result: SuiteResult, rules: GateRules) -> list[GateLine]:
    """A probe speaks through its axis; by itself where it could not measure, or a limit is set on it."""
    lines = [_verdict(probe) for probe in result.probes]
    for probe in result.probes:
        limits = rules.probes.get(probe.name, Limits())
        for bound in _bounds(limits):
            line = replace(against(probe, bound), subject=f"{probe.name} {_words(bound)}")
            lines.append(replace(line, informational=limits.informational))
    return lines


def _verdict(probe: ProbeResult) -> GateLine:
    outcome = _OUTCOMES.get(probe.verdict, Outcome.PASS)
    return GateLine(f"probe {probe.name}", outcome, probe.reason, informational=probe.verdict != Verdict.ERROR)


def _asked(result: SuiteResult, rules: GateRules) -> Iterable[GateLine]:
    """Limits on what the whole run found."""
    if rules.max_loss is not None:
        yield from _over(result, _LOSSES, Limits(min=-rules.max_loss), f"max-loss {rules.max_loss:g}", rules)
    if rules.min_lift is not None:
        yield from _over(result, _LIFTS, Limits(min=rules.min_lift), f"min-lift {rules.min_lift:g}", rules)
    if rules.threshold is not None:
        score = result.score or score_of(result)
        subject = f"threshold {rules.threshold:g}"
        if score is None:
            yield GateLine(subject, Outcome.FAIL, "no probe of this run has a score")
        else:
            outcome = Outcome.PASS if score.overall >= rules.threshold else Outcome.FAIL
            yield GateLine(subject, outcome, f"the score is {score.overall:.2f} ({score.band}); it has no interval")


def _over(result: SuiteResult, kinds: Sequence[str], limits: Limits, subject: str, rules: GateRules) -> list[GateLine]:
    """One line per probe of those kinds; a failure where none was asked."""
    found = [
        replace(against(probe, limits), subject=f"{subject}, {probe.name}")
        for probe in result.probes
        if probe.kind in kinds and (probe.value is not None or probe.verdict == Verdict.INCONCLUSIVE)
        if not rules.probes.get(probe.name, Limits()).informational
    ]
    return found or [GateLine(subject, Outcome.FAIL, f"nothing measured it; add {' or '.join(kinds)} to the suite")]


def against(probe: ProbeResult, limits: Limits) -> GateLine:
    """Whether a probe's value keeps within limits, as surely as its interval and noise floor can tell."""
    subject = f"probe {probe.name}"
    if probe.verdict == Verdict.INCONCLUSIVE and not probe.items and not probe.value:
        return GateLine(subject, Outcome.INCONCLUSIVE, f"nothing measured: {probe.reason}")
    if probe.value is None:
        return GateLine(subject, Outcome.FAIL, f"not measured: {probe.reason}")
    if probe.interval is None and 0 < len(probe.items) < MIN_ITEMS:
        few = (
            f"{len(probe.items)} items are too few to hold {probe.value:.3g} against a limit; give {MIN_ITEMS} or more"
        )
        return GateLine(subject, Outcome.INCONCLUSIVE, few)
    low, high = probe.interval or (probe.value, probe.value)
    floor = probe.noise_floor or 0.0
    low, high = low - floor, high + floor
    least = float("-inf") if limits.min is None else limits.min
    most = float("inf") if limits.max is None else limits.max
    said = f"{probe.value:.3g} {probe.unit}".rstrip()
    said += f", {low:.3g} to {high:.3g} with noise" if high > low else ", which has no interval"
    if low >= least and high <= most:
        return GateLine(subject, Outcome.PASS, said)
    if high < least or low > most:
        return GateLine(subject, Outcome.FAIL, said)
    return GateLine(subject, Outcome.INCONCLUSIVE, f"{said}, reaches across the limit; more items would narrow it")


def _bounds(limits: Limits) -> Sequence[Limits]:
    low = [Limits(min=limits.min)] if limits.min is not None else []
    return [*low, *([Limits(max=limits.max)] if limits.max is not None else [])]


def _words(bound: Limits) -> str:
    return f"min {bound.min:g}" if bound.min is not None else f"max {bound.max:g}"
