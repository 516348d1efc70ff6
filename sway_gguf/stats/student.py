"""Student's t, by SciPy: `stdtr(degrees, t)` is its distribution, `stdtrit(degrees, share)` a quantile.

All else of `scipy.special`, which is put off, takes a tenth of a second to import.
"""

from __future__ import annotations

from sway_gguf.core.put_off import put_off

put_off("scipy.special")
try:
    from scipy.special._ufuncs import stdtr, stdtrit
except ImportError:  # A release that keeps them elsewhere.
    from scipy.special import stdtr, stdtrit

__all__ = ["stdtr", "stdtrit"]
