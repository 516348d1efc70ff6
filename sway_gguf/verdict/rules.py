"""The rules: how a value with its interval, nulls and noise floor becomes a verdict and a reason.

The only place where a p or an interval meets a threshold. Knows neither probe kinds nor how anything was measured.
"""

from __future__ import annotations

from functools import singledispatch

from sway_gguf.core.result import Verdict
from sway_gguf.core.rules import (
    AboveFloor,
    AboveNull,
    AboveTolerance,
    AllChecks,
    BelowTolerance,
    Findings,
    Rule,
    Shown,
)
from sway_gguf.verdict.beyond import beyond_nulls, by_items_alone, missed_by, too_few_for_interval
from sway_gguf.verdict.reading import Evidence, Reading

FLOOR_MARGIN = 3.0
"""A change between one and this many noise floors may be the floor's own scatter: it warns."""


def verdict_of(evidence: Evidence) -> tuple[Verdict, str]:
    """The verdict by the reading's rule and checks, and why in one line."""
    return _qualified(*_softened(*_decide(evidence), evidence), evidence.reading)


def _softened(verdict: Verdict, reason: str, evidence: Evidence) -> tuple[Verdict, str]:
    """A miss is a WARN where a part that says so passes by itself, and so is what its own items leave open."""
    passed = {part.name for part in evidence.parts if part.above}
    told = next((part.instead for part in evidence.reading.tuned.parts if part.instead and part.name in passed), "")
    if told and (verdict == Verdict.FAIL or by_items_alone(evidence.reading)):
        return Verdict.WARN, f"{told}: {reason}"
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
        return Verdict.INCONCLUSIVE, too_few_for_interval(evidence.reading)
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


by_rule.register(AboveNull, beyond_nulls)
