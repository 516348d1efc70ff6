"""What a collateral value means in units that a user knows: perplexity, quantization, items that turned, what could
have been seen.

The only place where these become a clause. Judges nothing: the verdict is that of the rules.
"""

from __future__ import annotations

import math

from sway_gguf.core.result import Verdict
from sway_gguf.core.rules import AboveTolerance
from sway_gguf.core.toll import Costs, Toll
from sway_gguf.stats.detectable import detectable, more_items
from sway_gguf.stats.interval import MIN_ITEMS, Interval
from sway_gguf.verdict.quantization import against
from sway_gguf.verdict.reading import Evidence


def toll_of(evidence: Evidence, verdict: Verdict, costs: Costs | None = None) -> Toll | None:
    """All that can be told of one value; None where there is nothing.

    Args:
        evidence: the value with its interval.
        verdict: on it. What items could have shown is told where it leaves the question open.
        costs: of quantizing the base, to compare running text with.
    """
    reading, measured = evidence.reading, evidence.reading.tuned
    if reading.axis != "collateral" or not measured.items:
        return None
    told = []
    perplexity = _ratio(evidence.value) if measured.of_text else None
    compared = costs if measured.of_text and evidence.interval else None
    if perplexity is not None:
        told.append(_text_lost(perplexity, evidence.interval, compared))
    if measured.turned:
        told.append(measured.turned.words)
    seen, more = _seen(evidence)
    if seen is not None and _is_open(evidence, verdict):
        told.append(_could_be_seen(evidence, seen, more))
    return Toll("; ".join(told), perplexity, compared, measured.turned, seen, more) if told else None


def _ratio(value: float) -> float:
    """Perplexity over the base's, from a change in mean log-probability; a loss beyond all measure stays finite."""
    return math.exp(min(-value, 700.0))


def _text_lost(perplexity: float, interval: Interval | None, costs: Costs | None) -> str:
    if interval is None:
        return f"perplexity {_changed(perplexity)}"
    ends = f"{_changed(_ratio(interval.high))} to {_changed(_ratio(interval.low))}"
    words = f"perplexity {_changed(perplexity)} ({ends})"
    return f"{words}: {against(-interval.high, -interval.low, costs)}" if costs else words


def _changed(ratio: float) -> str:
    """A ratio of perplexities: +3.2%, -12%, ×2.4."""
    change = ratio - 1
    if ratio >= 1e4:
        return "more than ×10,000"
    if ratio >= 2:
        return f"×{ratio:.1f}" if ratio < 100 else f"×{ratio:.0f}"
    if abs(change) < 0.0005:
        return "±0.0%"
    return f"{change:+.1%}" if abs(change) < 0.0995 else f"{change:+.0%}"


def _seen(evidence: Evidence) -> tuple[float | None, int | None]:
    """The loss that these items would have shown, and how many more would show one as large as the tolerance."""
    rule, measured = evidence.reading.rule, evidence.reading.tuned
    values = [item.value for item in measured.items]
    if not isinstance(rule, AboveTolerance) or not measured.interval:
        return None, None
    loss = detectable(values, measured.within)
    if not loss or rule.tolerance >= 0:
        return loss or None, None
    more = more_items(values, -rule.tolerance, measured.within)
    return loss, None if more is None else max(more, MIN_ITEMS - len(values), 0)


def _is_open(evidence: Evidence, verdict: Verdict) -> bool:
    """Whether items decide too little: too few of them, or an interval across the tolerance."""
    rule, span = evidence.reading.rule, evidence.interval
    if verdict == Verdict.INCONCLUSIVE or span is None:
        return True
    return isinstance(rule, AboveTolerance) and span.low <= rule.tolerance <= span.high


def _could_be_seen(evidence: Evidence, seen: float, more: int | None) -> str:
    rule, count = evidence.reading.rule, len(evidence.reading.tuned.items)
    assert isinstance(rule, AboveTolerance)
    words = f"these {count} items would have shown a loss of {seen:.2g} {evidence.reading.unit} or more"
    if more is None:
        return words
    return f"{words}, {more} more would show {-rule.tolerance:g}" if more else words
