"""What a running server was found to serve, as plain records: what is printed, written as JSON and turned into an exit
code. Knows shapes only; nothing here asks or decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Serves(StrEnum):
    """What a server serves."""

    TUNED = "SERVES TUNED"
    BASE = "SERVES BASE"
    ELSE = "SERVES SOMETHING ELSE"
    UNSURE = "CANNOT TELL"


@dataclass(frozen=True, slots=True)
class Fit:
    """How near the server came to one thing that it could serve.

    Attributes:
        name: such as "tuned", "tuned at λ=0.5" or "tuned, the alpaca template".
        distance: mean over the prompts; Jensen–Shannon divergence in nats, or the share of a reply that differs.
        p: that it is as near as the nearest one, one-sided and corrected for how many there are; 1 for the nearest.
    """

    name: str
    distance: float
    p: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What one way of asking brought.

    Attributes:
        asked_as: "text" or "chat".
        endpoint: that answered, such as "/v1/completions".
        evidence: "log-probabilities" of first tokens, or greedy "replies".
        prompts: that were answered.
        fits: all that was thought of, the nearest first.
        effect: mean distance of tuned from base on the same prompts, in the unit of the fits.
        floor: mean distance of the base from itself as rounding alone makes it; None where that was not measured.
        serves: the verdict of this way alone.
        p: of that verdict.
        reason: why, in one line.
    """

    asked_as: str
    endpoint: str
    evidence: str
    prompts: int
    fits: tuple[Fit, ...]
    effect: float
    floor: float | None
    serves: Serves
    p: float
    reason: str


@dataclass(frozen=True, slots=True)
class Served:
    """The verdict on a server.

    Attributes:
        url: of the server, and `model` the name that was asked for; "" where none was.
        serves: the verdict.
        sentence: it, in words.
        p: that it would look so were it otherwise: the largest over the ways that decided.
        heard: by way of asking.
        requests: sent, those included that found out what the server can do.
        base, adapter: the files that it was held against; adapters of a set with " + " between them.
        format: in which the run speaks.
        remarks: on what was found by the way.
        seed: of what was drawn.
        adapters: short names of the adapters, with the scale where it is not 1.
    """

    url: str
    model: str
    serves: Serves
    sentence: str
    p: float
    heard: tuple[Heard, ...]
    requests: int
    base: str = ""
    adapter: str = ""
    format: str = ""
    remarks: tuple[str, ...] = ()
    seed: int = 0
    adapters: tuple[str, ...] = ()

    def exit_code(self, *, strict: bool) -> int:
        """As a gate's: 0 tuned, 1 anything else, 3 where it cannot be told and that is to stop a build, else 0."""
        if self.serves == Serves.UNSURE:
            return 3 if strict else 0
        return 0 if self.serves == Serves.TUNED else 1
