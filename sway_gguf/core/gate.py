"""What a gate decided, as plain records: the one decision that is printed, written and turned into an exit code.

Knows shapes only; nothing here decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Of a gate, or of one thing that it looked at."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class GateLine:
    """One thing that a gate looked at.

    Attributes:
        subject: what, such as "axis signal", "probe delta_kl" or "--max-loss 0.1".
        outcome: how it came out.
        reason: why, in one line.
        informational: whether it is shown and decides nothing.
    """

    subject: str
    outcome: Outcome
    reason: str
    informational: bool = False


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What a gate decided, and on what.

    Attributes:
        outcome: of the whole.
        lines: all that was looked at, what failed first.
        strict: whether an inconclusive outcome stops a build.
    """

    outcome: Outcome
    lines: tuple[GateLine, ...]
    strict: bool = False

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive where it is strict."""
        if self.outcome == Outcome.FAIL:
            return 1
        return 3 if self.outcome == Outcome.INCONCLUSIVE and self.strict else 0
