"""Student's t, by SciPy, whose special functions take a tenth of a second to import: paid where one is wanted."""

from __future__ import annotations


def stdtr(degrees: float, t: float) -> float:
    """The chance of a value up to t."""
    from scipy import special

    return float(special.stdtr(degrees, t))


def stdtrit(degrees: float, share: float) -> float:
    """The value below which this share lies."""
    from scipy import special

    return float(special.stdtrit(degrees, share))
