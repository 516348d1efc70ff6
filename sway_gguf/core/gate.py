"""What a gate is asked and what it decided, as plain records: the one decision that is printed, written and turned into
an exit code.

Knows shapes only; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """Of a gate, or of one thing that it looked at."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is wanted of one probe beside its own rule.

    Attributes:
        min, max: of its value, in its unit; None for no limit.
        informational: whether it is shown and decides nothing, unless it could not measure at all.
    """

    min: float | None = None
    max: float | None = None
    informational: bool = False


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a gate asks beside the verdicts.

    Attributes:
        require: axes that must be answered.
        max_loss: largest accepted loss on unrelated text, nats/token.
        min_lift: smallest accepted move toward the material, nats/token.
        threshold: smallest accepted composite score.
        strict: whether an inconclusive outcome stops a build.
        probes: by name.
    """

    require: tuple[str, ...] = ()
    max_loss: float | None = None
    min_lift: float | None = None
    threshold: float | None = None
    strict: bool = False
    probes: Mapping[str, Limits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateLine:
    """One thing that a gate looked at.

    Attributes:
        subject: what, such as "axis signal", "probe delta_kl" or "max-loss 0.1, external_perplexity".
        outcome: how it came out.
        reason: why, in one line.
        informational: whether it is shown and decides nothing.
        warning: whether it passed with a reservation that must be said.
    """

    subject: str
    outcome: Outcome
    reason: str
    informational: bool = False
    warning: bool = False

    @property
    def word(self) -> str:
        """Its outcome as every report says it: WARN where it passed with a reservation."""
        return "WARN" if self.warning and self.outcome == Outcome.PASS else self.outcome.value


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
