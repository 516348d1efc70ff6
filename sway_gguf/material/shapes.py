"""One record of training data as a section, a preference, paraphrases or a canary, by the shapes that trainers write.

Knows the keys of a record; neither the file that it stands in nor any template.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sway_gguf.core.common import common
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text
from sway_gguf.core.sections import Canary, Paraphrase, Preference, Section, Unit
from sway_gguf.material.turns import Said, as_json, parsed, spoken, turns_of

Record = dict[str, Any]
_SHOWN_KEYS = 8
REQUESTS = ("instruction", "question", "query", "problem", "prompt")
REPLIES = ("output", "response", "answer", "solution")
"""Keys of a request and of its reply; any of the one goes with any of the other."""
_INPUTS = ("input", "context")
_SYSTEMS = ("system", "system_prompt")
_LISTS = ("messages", "conversations")
_WANTED = (
    "messages; conversations; prompt + completion; prompt + chosen + rejected; instruction + output; "
    "question + answer; query + response; problem + solution; text; prompt + gold + paraphrases; prompt + secret"
)
"""The shapes as a user reads them; any request goes with any reply."""


def unit_of(record: Record, name: str, where: str) -> Unit:
    """One object as a section, a preference, paraphrases or a canary, by the first shape whose keys it has.

    Args:
        record: of the data.
        name: of the section.
        where: the record stands, for errors.

    Raises:
        UserError: of no known shape, or a wrong value.
    """
    reader = next((read for keys, read in SHAPES if all(record.get(key) is not None for key in keys)), None)
    if reader is None:
        keys = ", ".join(_key(record, key) for key in list(record)[:_SHOWN_KEYS]) or "no keys"
        raise UserError(f"{where}: has {keys}; one of these is wanted: {_WANTED}")
    return reader(record, name, where)


def _key(record: Record, key: str) -> str:
    return key[:40] if record[key] is not None else f"{key[:40]} (null)"


def _string(record: Record, key: str, where: str) -> str:
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {key!r} must be text that is not empty")
    return value


def _text_at(record: Record, keys: Sequence[str], where: str) -> str:
    """The text under the first of `keys` that has any; "" for none."""
    for key in keys:
        value = record.get(key)
        if value is not None and not isinstance(value, str):
            raise UserError(f"{where}: {key!r} must be text")
        if value and value.strip():
            return value.strip()
    return ""


def _from_paraphrases(record: Record, name: str, where: str) -> Paraphrase:
    others = record["paraphrases"]
    if not isinstance(others, list) or not others or not all(isinstance(o, str) and o.strip() for o in others):
        raise UserError(f"{where}: 'paraphrases' must be a list of texts that are not empty")
    return Paraphrase(_string(record, "prompt", where), _string(record, "gold", where), tuple(others))


def _from_canary(record: Record, name: str, where: str) -> Canary:
    return Canary(_string(record, "prompt", where), _string(record, "secret", where))


def _from_text(record: Record, name: str, where: str) -> Section:
    return Section(name, _string(record, "text", where))


def _from_messages(record: Record, name: str, where: str) -> Section:
    key = next(key for key in _LISTS if record.get(key) is not None)
    return _dialogue(turns_of(record[key], key, where), record, name, where)


def _from_completion(record: Record, name: str, where: str) -> Section:
    """Text goes on as text; where either is a list of messages, both are one dialogue, its prompt untrained."""
    if isinstance(record["prompt"], list) or isinstance(record["completion"], list | dict):
        asked = [Said(turn, scored=False) for turn, _ in _side(record, "prompt", USER, where)]
        return _dialogue([*asked, *_side(record, "completion", ASSISTANT, where)], record, name, where)
    prompt, reply = _string(record, "prompt", where), _string(record, "completion", where)
    turns = _with_system(exchange(prompt.strip(), reply.strip()).turns, record, where)
    return Section(name, reply, prompt, "completion", Dialogue(turns, _tools(record, where)))


def _from_request(record: Record, name: str, where: str) -> Section:
    """A request with its reply; earlier exchanges or a system's turn make it a dialogue."""
    asked = _request(record, where)
    reply = Turn(ASSISTANT, _string(record, next(key for key in REPLIES if record.get(key) is not None), where))
    history = _history(record, where)
    if history or _text_at(record, _SYSTEMS, where):
        return _dialogue([Said(turn, scored=True) for turn in (*history, asked, reply)], record, name, where)
    dialogue = Dialogue((asked, reply), _tools(record, where))
    return Section(name, reply.content, f"{asked.content}\n", "instruction", dialogue)


def _request(record: Record, where: str) -> Turn:
    """What is asked, with its parts for templates that put them apart, such as Alpaca's."""
    key = next(key for key in REQUESTS if record.get(key) is not None)
    request, given = _string(record, key, where), _text_at(record, _INPUTS, where)
    parts = json_text({"instruction": request, "input": given})
    return Turn(USER, "\n".join(part for part in (request, given) if part), parts)


def _history(record: Record, where: str) -> list[Turn]:
    """Earlier exchanges, as pairs of request and reply."""
    pairs = record.get("history") or []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) and text.strip() for text in pair)
        for pair in pairs
    ):
        raise UserError(f"{where}: 'history' must be a list of pairs of request and reply")
    return [Turn(role, text) for pair in pairs for role, text in zip((USER, ASSISTANT), pair, strict=True)]


def _from_preference(record: Record, name: str, where: str) -> Preference:
    """Two replies to one prompt. Lists without a prompt of their own begin with it."""
    texts = all(isinstance(record[key], str) for key in ("chosen", "rejected"))
    if texts and isinstance(record.get("prompt"), str) and not _text_at(record, _SYSTEMS, where):
        prompt, wanted, unwanted = (_string(record, key, where) for key in ("prompt", "chosen", "rejected"))
        return Preference(prompt, wanted, unwanted)
    asked = [turn for turn, _ in _asked(record, where)]
    chosen, rejected = ([turn for turn, _ in _side(record, key, ASSISTANT, where)] for key in ("chosen", "rejected"))
    shared = chosen[: common(chosen[:-1], rejected[:-1])]
    good, bad = chosen[len(shared) :], rejected[len(shared) :]
    if len(good) != 1 or len(bad) != 1 or any(t.role != ASSISTANT or not t.content.strip() for t in (*good, *bad)):
        raise UserError(f"{where}: 'chosen' and 'rejected' must differ in one reply, the last, and both have text")
    before = shared if _is_in(asked, shared) else [*asked, *shared]
    if not before:
        raise UserError(f"{where}: 'chosen' and 'rejected' have no prompt, and no beginning in common; give 'prompt'")
    dialogue = Dialogue(_with_system(before, record, where), _tools(record, where))
    return Preference(_transcript(dialogue.turns), good[0].content, bad[0].content, dialogue)


def _asked(record: Record, where: str) -> list[Said]:
    """What stands before the replies of a preference, under a key of its own."""
    key = next((key for key in ("prompt", *_LISTS) if record.get(key) is not None), None)
    if key is not None:
        return _side(record, key, USER, where)
    asks = any(record.get(key) is not None for key in REQUESTS)
    return [Said(_request(record, where), scored=False)] if asks else []


def _is_in(asked: Sequence[Turn], shared: Sequence[Turn]) -> bool:
    """Whether what is asked stands in the beginning that two lists of messages share."""
    said = [(turn.role, turn.content.strip()) for turn in shared]
    return all((turn.role, turn.content.strip()) in said for turn in asked)


def _side(record: Record, key: str, role: str, where: str) -> list[Said]:
    """A list of messages, or a text as the one turn of `role`."""
    if isinstance(record[key], list | dict):
        return turns_of(record[key], key, where)
    return [Said(Turn(role, _string(record, key, where).strip()), scored=True)]


def _dialogue(said: Sequence[Said], record: Record, name: str, where: str) -> Section:
    """The last reply after a plain transcript of what came before it, beside the whole dialogue up to there."""
    turns = _with_system([turn for turn, _ in said], record, where)
    trained = [True] * (len(turns) - len(said)) + [scored for _, scored in said]
    unscored = tuple(i for i, turn in enumerate(turns) if turn.role == ASSISTANT and not trained[i])
    replies = Dialogue(turns, unscored=unscored).replies
    if not replies:
        raise UserError(f"{where}: no assistant's reply to anything{' that was trained on' if unscored else ''}")
    turns = turns[: replies[-1] + 1]
    dialogue = Dialogue(turns, _tools(record, where), tuple(place for place in unscored if place < len(turns)))
    return Section(name, " " + spoken(turns[-1]).strip(), _transcript(turns[:-1]), "dialogue", dialogue)


def _transcript(turns: Sequence[Turn]) -> str:
    """Turns as text up to the assistant's next; no template is applied here: nothing in this layer knows the model."""
    return "".join(f"{turn.role}: {spoken(turn)}\n" for turn in turns) + "assistant:"


def _with_system(turns: Sequence[Turn], record: Record, where: str) -> tuple[Turn, ...]:
    """Behind what the record's own field says as the system, where none of the turns opens so."""
    system = _text_at(record, _SYSTEMS, where)
    return tuple(turns) if not system or turns[0].role == SYSTEM else (Turn(SYSTEM, system), *turns)


def _tools(record: Record, where: str) -> str:
    """The tools on offer as JSON, which may be given as text."""
    value = record.get("tools")
    if isinstance(value, str) and value.strip():
        value = parsed(value)
    elif not value:
        return ""
    if not isinstance(value, list):
        raise UserError(f"{where}: 'tools' must be a list of tools, or such a list as JSON in a text")
    return as_json(value, where) if value else ""


SHAPES: list[tuple[tuple[str, ...], Callable[[Record, str, str], Unit]]] = [
    (("prompt", "gold", "paraphrases"), _from_paraphrases),
    (("chosen", "rejected"), _from_preference),
    (("prompt", "secret"), _from_canary),
    *(((key,), _from_messages) for key in _LISTS),
    (("prompt", "completion"), _from_completion),
    *(((request, reply), _from_request) for request in REQUESTS for reply in REPLIES),
    (("text",), _from_text),
]
