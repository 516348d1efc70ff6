"""What a training run left behind: its loss curve, and the moments of its optimizer. Knows numbers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's state of one parameter.

    Attributes:
        name: of the parameter, or its number where names are not kept.
        steps: updates it has seen.
        first: root mean square of the bias-corrected first moment.
        second: square root of the mean bias-corrected second moment; the gradients' root mean square.
        noise: first / second that gradients without any common direction would leave, by β₁ and the steps.
    """

    name: str
    steps: int
    first: float
    second: float
    noise: float


@dataclass(frozen=True, slots=True)
class Training:
    """A checkpoint of a trainer.

    Attributes:
        losses, eval_losses: (step, loss) as logged.
        steps, max_steps: done, and planned; 0 where it is not said.
        moments: of every parameter; empty where there is no optimizer state.
    """

    losses: tuple[tuple[int, float], ...]
    eval_losses: tuple[tuple[int, float], ...] = ()
    steps: int = 0
    max_steps: int = 0
    moments: tuple[Moments, ...] = ()
