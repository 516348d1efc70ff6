"""What a report shows of the model's own words: replies side by side, and where in a text the probability moved.

Knows records; nothing here decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Origin = Literal["trained", "held-out", "everyday"]
"""Of a text: from the data, from text like it that was kept out of training, or unrelated."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What base and tuned model say to one prompt, greedily.

    Attributes:
        request: what the user asks, without what a template writes around it.
        prompt: as it was asked.
        base, tuned: the replies.
        wanted: what the data replies; "" where there is none.
        origin: of the prompt.
    """

    request: str
    prompt: str
    base: str
    tuned: str
    wanted: str = ""
    origin: Origin = "trained"


@dataclass(frozen=True, slots=True)
class Heat:
    """Where in a text the probability moved.

    Attributes:
        label: what the text is.
        lead: what stands before the scored tokens; "" where nothing does.
        tokens: [n] the scored tokens as text; joined they are the text.
        base, tuned: [n] log-probability of each, nats.
        origin: of the text.
    """

    label: str
    lead: str
    tokens: tuple[str, ...]
    base: tuple[float, ...]
    tuned: tuple[float, ...]
    origin: Origin = "trained"
