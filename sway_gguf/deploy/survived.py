"""What the rows of a survival matrix say: a verdict on each, and which to ship. Knows numbers; makes no file."""

from __future__ import annotations

from collections.abc import Mapping

from sway_gguf.core.result import Verdict
from sway_gguf.core.survival import DeploymentResult, SurvivalMatrix
from sway_gguf.stats.interval import Interval

_AMPLIFIED = 1.1
"""A deployment that shows more of the effect than this many times the reference's runs at another scale."""


def verdict_on(
    share: float, retained: Interval | None, collateral: Interval | None, wanted: float, tolerance: float
) -> tuple[Verdict, str]:
    """Of one deployment, and why.

    Args:
        share: of the reference's effect that it keeps, with the interval `retained`.
        collateral: interval of the change on general text, nats per token; None for too little text.
        wanted: share that must be kept.
        tolerance: accepted change on general text.
    """
    if retained is None:
        return Verdict.INCONCLUSIVE, "too few sections for an interval"
    if retained.high < wanted:
        return Verdict.FAIL, f"keeps {retained.low:.0%} to {retained.high:.0%} of the effect, {wanted:.0%} are wanted"
    if retained.low < wanted:
        return Verdict.WARN, f"the interval of what it keeps reaches across {wanted:.0%}"
    if share > _AMPLIFIED:
        return (
            Verdict.WARN,
            f"{share:.0%} of the effect: more than the adapter does at the reference; look at its scale",
        )
    if collateral is not None and collateral.high < tolerance:
        return Verdict.FAIL, f"general text loses more than {-tolerance:g} nats per token"
    if collateral is not None and collateral.low < tolerance:
        return Verdict.WARN, f"the change on general text reaches across {tolerance:g}"
    if collateral is None:
        return Verdict.PASS, f"keeps at least {retained.low:.0%} of the effect; too little general text to judge damage"
    return Verdict.PASS, f"keeps at least {retained.low:.0%} of the effect"


def matrix_of(
    rows: tuple[DeploymentResult, ...], wanted: float, tolerance: float, remarks: tuple[str, ...]
) -> SurvivalMatrix:
    """All rows, the smallest that passes and those that no smaller one betters, in words and names."""
    passing = sorted((row for row in rows if row.verdict == Verdict.PASS), key=lambda row: row.size)
    pareto = tuple(
        row.name
        for row in sorted(rows, key=lambda row: row.size)
        if not any(other.size <= row.size and other.retained > row.retained for other in rows)
    )
    lost = [row for row in rows if row.verdict == Verdict.FAIL]
    if not passing:
        summary = "No deployment keeps enough of the effect."
    else:
        summary = f"{passing[0].name} is the smallest that keeps at least {wanted:.0%} of the effect."
    if lost:
        worst = min(lost, key=lambda row: row.retained)
        summary += f" Most is lost in {worst.name}: {worst.retained:.0%} is left."
    name = passing[0].name if passing else ""
    return SurvivalMatrix(rows, wanted, tolerance, name, pareto, summary, remarks)


def cost_line(costs: Mapping[str, float]) -> tuple[str, ...]:
    """What quantizing alone costs, as a remark; nothing where it was not measured."""
    told = ", ".join(f"{kind} {round(cost, 4) + 0.0:.4f}" for kind, cost in costs.items())
    return (f"Without the adapter, general text loses in nats per token: {told}.",) if told else ()
