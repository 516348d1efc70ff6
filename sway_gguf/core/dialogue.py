"""A dialogue: messages with roles, of which the assistant's are scored. Knows no template, and no file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

ASSISTANT, USER, SYSTEM, TOOL = "assistant", "user", "system", "tool"
Message = Mapping[str, Any]
"""One turn as chat templates take it: role, content, and where it has them tool_calls, name and the like."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message.

    Attributes:
        role: system, user, assistant or tool, or what else a template knows.
        content: its text; "" where it only calls tools.
        more: its other fields, such as tool_calls, as a JSON object; "" for none.
    """

    role: str
    content: str
    more: str = ""

    def message(self) -> Message:
        """As chat templates take it."""
        return {"role": self.role, "content": self.content, **(json.loads(self.more) if self.more else {})}


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns in order.

    Attributes:
        turns: at least one.
        tools: descriptions of the tools on offer, as a JSON list; "" for none.
        unscored: places of assistant's turns that were not trained on.
    """

    turns: tuple[Turn, ...]
    tools: str = ""
    unscored: tuple[int, ...] = ()

    @property
    def replies(self) -> tuple[int, ...]:
        """Places of the assistant's turns that are scored; one that opens the dialogue replies to nothing."""
        places = (place for place, turn in enumerate(self.turns) if place and turn.role == ASSISTANT)
        return tuple(place for place in places if place not in self.unscored)

    def first(self, count: int) -> Dialogue:
        """The first `count` turns."""
        return replace(self, turns=self.turns[:count])

    def then(self, role: str, content: str) -> Dialogue:
        """With one more turn."""
        return replace(self, turns=(*self.turns, Turn(role, content)))

    @property
    def asked(self) -> str:
        """What its last turn says that is not the assistant's; "" where there is none."""
        return next((turn.content for turn in reversed(self.turns) if turn.role != ASSISTANT), "")

    def asking(self, content: str) -> Dialogue:
        """With other words for what is asked, in that turn."""
        last = max((place for place, turn in enumerate(self.turns) if turn.role != ASSISTANT), default=None)
        if last is None:
            return self
        return replace(self, turns=(*self.turns[:last], Turn(self.turns[last].role, content), *self.turns[last + 1 :]))

    def messages(self) -> list[Message]:
        """The turns as chat templates take them."""
        return [turn.message() for turn in self.turns]

    def offered(self) -> Sequence[Any] | None:
        """The tools as chat templates take them; None for none."""
        tools: Sequence[Any] | None = json.loads(self.tools) if self.tools else None
        return tools


class Render(Protocol):
    """Renders dialogues, as one chat template has it."""

    def __call__(self, dialogue: Dialogue, *, opens: bool = True) -> str:
        """The text.

        Args:
            dialogue: any turns.
            opens: whether it ends with the opening of the assistant's next turn.

        Raises:
            UserError: the template refuses the dialogue or fails.
        """
        ...


def exchange(request: str, reply: str | None = None) -> Dialogue:
    """A user's request, with the assistant's reply where one is given."""
    turns = (Turn(USER, request),) if reply is None else (Turn(USER, request), Turn(ASSISTANT, reply))
    return Dialogue(turns)
