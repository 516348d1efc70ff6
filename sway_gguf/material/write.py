"""Units as the records that they are read from: what is read again says and renders the same. Writes no file."""

from __future__ import annotations

import json
from typing import Any

from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, Dialogue
from sway_gguf.core.sections import Canary, Paraphrase, Preference, Section, Unit


def record_of(unit: Unit) -> dict[str, Any]:
    """The record of a unit, in a shape that `unit_of` reads."""
    if isinstance(unit, Section):
        return {"id": unit.id, **_section(unit), **_tools(unit.dialogue)}
    if isinstance(unit, Preference):
        return {**_preference(unit), **_tools(unit.dialogue)}
    if isinstance(unit, Paraphrase):
        return {"prompt": unit.prompt, "gold": unit.gold, "paraphrases": list(unit.paraphrases)}
    assert isinstance(unit, Canary)
    return {"prompt": unit.prompt, "secret": unit.secret}


def _section(section: Section) -> dict[str, Any]:
    dialogue = section.dialogue
    if dialogue and section.form == "dialogue":
        return {"messages": _messages(dialogue)}
    if dialogue and section.form == "instruction":
        asked = dialogue.turns[0].message()
        return {"instruction": asked["instruction"], "input": asked["input"], "output": section.text}
    if not section.prompt:
        return {"text": section.text}
    opening = dialogue.turns[0] if dialogue else None
    system = {"system": opening.content} if opening and opening.role == SYSTEM else {}
    return {**system, "prompt": section.prompt, "completion": section.text}


def _preference(triple: Preference) -> dict[str, Any]:
    if triple.dialogue is None:
        return {"prompt": triple.prompt, "chosen": triple.chosen, "rejected": triple.rejected}
    replies = {"chosen": triple.chosen, "rejected": triple.rejected}
    said = {key: [{"role": ASSISTANT, "content": text}] for key, text in replies.items()}
    return {"prompt": _messages(triple.dialogue), **said}


def _messages(dialogue: Dialogue) -> list[dict[str, Any]]:
    messages = [dict(turn.message()) for turn in dialogue.turns]
    for place in dialogue.unscored:
        messages[place]["weight"] = 0
    return messages


def _tools(dialogue: Dialogue | None) -> dict[str, Any]:
    return {"tools": json.loads(dialogue.tools)} if dialogue and dialogue.tools else {}
