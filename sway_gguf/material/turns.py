"""Messages as trainers write them, made into turns: OpenAI's role and content, ShareGPT's from and value.

Knows the fields of one message; neither the record around it nor any template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, TOOL, USER, Turn
from sway_gguf.core.errors import UserError
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.plain import json_text

_CALLING = {"function_call", "tool_call"}
"""Roles of ShareGPT whose text is a call of a tool."""
_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), USER),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", *_CALLING), ASSISTANT),
    **dict.fromkeys(("tool", "observation", "function_response", "tool_response"), TOOL),
    "system": SYSTEM,
}
"""What trainers call the roles; any other goes to the template as it is."""
_NOT_THE_TEMPLATES = {"role", "from", "content", "value", "weight", "train", "training"}
_UNTRAINED = {"weight": 0, "train": False, "training": False}
"""Fields, and what they say of a turn that is not trained on."""


class Said(NamedTuple):
    """A turn, and whether it was trained on if it is the assistant's."""

    turn: Turn
    scored: bool


def turns_of(value: Any, key: str, where: str) -> list[Said]:
    """The turns of a list of messages, or of one message.

    Args:
        value: of the record.
        key: of the value in it, for errors.
        where: the record stands, for errors.

    Raises:
        UserError: it is no such list, or a message lacks its role or its text.
    """
    messages = [value] if isinstance(value, dict) else value
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise UserError(f"{where}: {key!r} must be a list of objects with role and content, or from and value")
    return [_said(message, f"{where}: {key!r}, message {number}") for number, message in enumerate(messages, 1)]


def parsed(text: str) -> Any:
    """What JSON in a text stands for; None where it is none."""
    try:
        return parse_json(text, "", "")
    except UserError:
        return None


def spoken(turn: Turn) -> str:
    """What a turn says in a plain transcript: its text, or the tools that it calls as JSON."""
    return turn.content if turn.content.strip() else json_text(turn.message().get("tool_calls", ""))


def as_json(value: Any, where: str) -> str:
    """A value of a record as JSON.

    Raises:
        UserError: a number in it is not finite.
    """
    try:
        return json_text(value)
    except ValueError:
        raise UserError(f"{where} holds a number that is not finite, which JSON does not have; mend it") from None


def _said(message: dict[str, Any], where: str) -> Said:
    given = {key: value for key, value in message.items() if value is not None}
    name = given.get("role", given.get("from"))
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"{where} has no role; give role and content, or from and value")
    role = _ROLES.get(name.strip().lower(), name)
    if role == USER and not given.keys() & {"content", "value"}:
        raise UserError(f"{where} has no text; give it content (or value), or remove the line")
    content = _content(given.get("content", given.get("value")), role, where)
    more = {key: value for key, value in given.items() if key not in _NOT_THE_TEMPLATES}
    if "tool_calls" in more:
        more["tool_calls"] = [_with_object(call) for call in _calls(more["tool_calls"], where)]
    if name.strip().lower() in _CALLING and (calls := _calls_in(content)):
        content, more["tool_calls"] = "", calls
    if role == ASSISTANT and not content.strip() and not more.get("tool_calls"):
        raise UserError(f"{where}: an assistant's 'content' must be text that is not empty, or call a tool")
    return Said(Turn(role, content, as_json(more, where) if more else ""), not _untrained(given))


def _untrained(given: Mapping[str, Any]) -> bool:
    """0, False and 0.0 are one value here, as they are to the trainers that read these fields."""
    return any(key in given and given[key] == value for key, value in _UNTRAINED.items())


def _content(value: Any, role: str, where: str) -> str:
    """A message's text: as it is, its parts joined, or a tool's result as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, str | dict) for part in value):
        texts = [part if isinstance(part, str) else part.get("text") for part in value]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
        if role != TOOL:
            kinds = [str(part.get("type"))[:40] for part in value if isinstance(part, dict) and "text" not in part]
            raise UserError(f"{where}: 'content' holds {', '.join(kinds[:3]) or 'no text'}, and only text is read")
    if role == TOOL:
        return as_json(value, where)
    raise UserError(f"{where}: 'content' must be text, or a list of parts with text")


def _calls(value: Any, where: str) -> list[dict[str, Any]]:
    calls = parsed(value) if isinstance(value, str) else value
    if calls in ("", None):
        return []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise UserError(f"{where}: 'tool_calls' must be a list of objects")
    return calls


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    """The call with arguments that were given as JSON in a text as the object that templates expect."""
    if isinstance(call.get("function"), dict):
        return {**call, "function": _with_object(call["function"])}
    arguments = call.get("arguments")
    if isinstance(arguments, str):
        found = parsed(arguments) if arguments.strip() else {}
        return {**call, "arguments": found if isinstance(found, dict) else arguments}
    return call


def _calls_in(text: str) -> list[dict[str, Any]]:
    """Calls that the text of a function_call holds as JSON: one, or a list; none where it is other text."""
    found = parsed(text)
    calls = [found] if isinstance(found, dict) else found
    if not isinstance(calls, list) or not all(isinstance(call, dict) and "name" in call for call in calls):
        return []
    return [{"type": "function", "function": _with_object(call)} for call in calls]
