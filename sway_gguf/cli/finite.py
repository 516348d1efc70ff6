"""Numbers on the command line that can be calculated with: `nan` and `inf` are refused. Knows click alone."""

from __future__ import annotations

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """A range of floats without infinity and NaN, which compare to no bound."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to calculate with; give a finite one", param, ctx)
        return number

    def _describe_range(self) -> str:  # click's says x<=None where there is no bound
        return "" if self.min is None and self.max is None else super()._describe_range()
