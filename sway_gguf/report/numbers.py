"""One formatter per kind of number, shared by every report. Knows numbers only."""

from __future__ import annotations

import math
from datetime import UTC, datetime

MISSING = "–"


def number(value: float | None, signed: bool = False, digits: int = 3) -> str:
    """Three significant digits, or as many as asked for: 0.247, -1.79, 4.3e-14."""
    if value is None:
        return MISSING
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    plus = "+" if signed else ""
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:{plus}.1e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:{plus}.{places}f}"


def span(low_high: tuple[float, float] | None) -> str:
    """An interval: 0.178…0.326."""
    return MISSING if low_high is None else f"{number(low_high[0])}…{number(low_high[1])}"


def plus_minus(value: float | None, low_high: tuple[float, float] | None) -> str:
    """A value with the farther end of its interval: 0.461 ±0.051."""
    if value is None or low_high is None:
        return number(value)
    return f"{number(value)} ±{number(max(value - low_high[0], low_high[1] - value), digits=2)}"


def p_value(value: float | None) -> str:
    """Two significant digits; tiny ones as <1e-9."""
    if value is None:
        return MISSING
    if value < 1e-9:
        return "<1e-9"
    return f"{value:.2g}" if value >= 1e-3 else f"{value:.0e}"


def z_score(value: float | None) -> str:
    """One digit after the point, signed."""
    if value is None:
        return MISSING
    return f"{value:+.1f}" if abs(value) < 1000 else f"{value:+.0f}"


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes: 7.9 MB."""
    if round(value) < 1000:
        return f"{value:.0f} B"
    for unit in ("kB", "MB"):
        value /= 1000
        if round(value, 1) < 1000:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} GB"


def parameters(value: int) -> str:
    """A model's size: 2.2 M, 1.5 B."""
    return f"{value / 1e9:.1f} B" if round(value / 1e6, 1) >= 1000 else f"{value / 1e6:.1f} M"


def seconds(value: float) -> str:
    """A duration: 6.8 s, 3 min 20 s."""
    if round(value, 1) < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def about(value: float) -> str:
    """A duration that is only foreseen: about 40 s, about 4 min, about 1.5 h."""
    if value < 90:
        return f"about {max(1, round(value))} s"
    return f"about {value / 60:.0f} min" if value < 90 * 60 else f"about {value / 3600:.1f} h"


def moment(text: str) -> str:
    """When something began, to the minute: 2026-11-28 15:09 UTC; what is no time stays as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text
