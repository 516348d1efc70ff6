"""The forms in which servers are asked, and answer: the OpenAI form's, and those of llama-server's and Ollama's own.

Read off what llama-server and llama-cpp-python's server send, and the published sources, documents and recorded answers
of vLLM, Ollama and LM Studio. Knows JSON; sends nothing.

- Completions answer `logprobs` with lists beside each other, and `top_logprobs` as a mapping for each token
  (llama-cpp-python, vLLM); llama-server answers them as chat does. Ollama and LM Studio answer none.
- Chat answers `logprobs.content`, one object per token with `top_logprobs`; llama-server adds ids, most add bytes.
  LM Studio answers `null`, and tells them in the newer form of responses: one list for each part of the text.
- llama-server's /completion answers `completion_probabilities`: `top_logprobs`, `top_probs`, or in old builds `probs`.
- Ollama's /api/generate answers a list `logprobs`, and takes a text as it is where it is told that it is `raw`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LEAST = -60.0
"""Nats; servers write a probability of zero as the lowest number there is."""
_HUGE = 1e300
"""No log-probability, and no integer that becomes a float any more."""
_ROUNDING = 1e-3
"""How far above zero a log-probability may come by rounding."""
_LEAST_OUTPUT = 16
"""Tokens that OpenAI's own responses write at least; others follow it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A token that could come first, as a server tells it.

    Attributes:
        logprob: nats.
        text: of the token, as far as it is text by itself.
        id: in the server's vocabulary; None where it is not told.
        data: its bytes; None where they are not told.
    """

    logprob: float
    text: str
    id: int | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        text: what it wrote.
        first: the likeliest first tokens; empty where it tells none.
    """

    text: str
    first: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        prompt: a text to go on with, or messages to reply to, as JSON has them.
        tokens: to write.
        top: log-probabilities of so many first tokens; 0 for none.
        model: its name at the server; "" for the server's own choice.
        fresh: have the prompt read anew. Of llama-server alone, which keeps what it read by its tokens, whichever
            adapter was on; others need not know the word.
    """

    prompt: object
    tokens: int = 1
    top: int = 0
    model: str = ""
    fresh: bool = False


class Form:
    """One endpoint: its path, what it is asked, and what it answers."""

    path = ""

    def body(self, question: Question) -> dict[str, Any]:
        """The request."""
        raise NotImplementedError

    def read(self, answer: Any) -> Reply | None:
        """What it says; None where it is of another form."""
        raise NotImplementedError


class Completions(Form):
    """Text to go on with, in the OpenAI form."""

    path = "/v1/completions"

    def body(self, question: Question) -> dict[str, Any]:
        """The request."""
        asked: dict[str, Any] = {"prompt": question.prompt, "max_tokens": question.tokens, "temperature": 0}
        return asked | ({"logprobs": question.top} if question.top else {}) | _named(question)

    def read(self, answer: Any) -> Reply | None:
        """What it says."""
        choice = _choice(answer)
        if choice is None or not isinstance(text := choice.get("text"), str):
            return None
        return Reply(text, _of_openai(choice.get("logprobs")))


class Chat(Form):
    """Messages to reply to, in the OpenAI form."""

    path = "/v1/chat/completions"

    def body(self, question: Question) -> dict[str, Any]:
        """The request."""
        asked: dict[str, Any] = {"messages": question.prompt, "max_tokens": question.tokens, "temperature": 0}
        more = {"logprobs": True, "top_logprobs": question.top} if question.top else {}
        return asked | more | _named(question)

    def read(self, answer: Any) -> Reply | None:
        """What it says."""
        choice = _choice(answer)
        message = choice.get("message") if choice is not None else None
        if choice is None or not isinstance(message, dict):
            return None
        return Reply(_text(message.get("content")), _of_openai(choice.get("logprobs")))


class LlamaServer(Form):
    """Text to go on with, in llama-server's own form. Below zero its temperature is greedy, and nothing is shaped."""

    path = "/completion"

    def body(self, question: Question) -> dict[str, Any]:
        """The request."""
        asked: dict[str, Any] = {"prompt": question.prompt, "n_predict": question.tokens, "temperature": -1.0}
        asked["cache_prompt"] = False
        more = {"n_probs": question.top} if question.top else {}
        return asked | more | {"stream": False} | ({"model": question.model} if question.model else {})

    def read(self, answer: Any) -> Reply | None:
        """What it says."""
        if not isinstance(answer, dict) or not isinstance(text := answer.get("content"), str):
            return None
        steps = answer.get("completion_probabilities")
        first = steps[0] if isinstance(steps, list) and steps and isinstance(steps[0], dict) else {}
        found = first.get("top_logprobs") or first.get("top_probs") or first.get("probs")
        return Reply(text, _sane(_told(each) for each in found) if isinstance(found, list) else ())


class Responses(Form):
    """Messages to reply to, in the OpenAI form that came after chat. Nothing is kept there of what was asked."""

    path = "/v1/responses"

    def body(self, question: Question) -> dict[str, Any]:
        """The request."""
        asked: dict[str, Any] = {"input": question.prompt, "temperature": 0, "store": False, "stream": False}
        asked["max_output_tokens"] = max(question.tokens, _LEAST_OUTPUT)
        more = {"include": ["message.output_text.logprobs"], "top_logprobs": question.top} if question.top else {}
        return asked | more | ({"model": question.model} if question.model else {})

    def read(self, answer: Any) -> Reply | None:
        """What it says. Behind a thought that is told apart, the text's first token is not the reply's."""
        items = _objects(answer.get("output") if isinstance(answer, dict) else None)
        place = next((place for place, item in enumerate(items) if item.get("type") == "message"), -1)
        part = next(iter(_objects(items[place].get("content"))), {}) if place >= 0 else {}
        if not isinstance(text := part.get("text"), str):
            return None
        return Reply(text, _of_openai({"content": part.get("logprobs")}) if place == 0 else ())


class Ollama(Form):
    """Text to go on with, in Ollama's own form: `raw` keeps it from its template."""

    path = "/api/generate"

    def body(self, question: Question) -> dict[str, Any]:
        """The request."""
        options = {"temperature": 0, "num_predict": question.tokens, "repeat_penalty": 1.0}
        asked = {"model": question.model, "prompt": question.prompt, "raw": True, "stream": False, "options": options}
        return asked | ({"logprobs": True, "top_logprobs": question.top} if question.top else {})

    def read(self, answer: Any) -> Reply | None:
        """What it says."""
        if not isinstance(answer, dict) or not isinstance(text := answer.get("response"), str):
            return None
        return Reply(text, _of_openai({"content": answer.get("logprobs")}))


TEXT_FORMS: tuple[Form, ...] = (Completions(), LlamaServer(), Ollama())
CHAT_FORMS: tuple[Form, ...] = (Chat(), Responses())


def _named(question: Question) -> dict[str, Any]:
    """What both OpenAI forms end with. A reply is the model's own: llama-cpp-python would penalize repeats."""
    greedy = {"repeat_penalty": 1.0} if question.tokens > 1 else {}
    fresh = {"cache_prompt": False} if question.fresh else {}
    return {"stream": False, **fresh, **greedy, **({"model": question.model} if question.model else {})}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _choice(answer: Any) -> dict[str, Any] | None:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _of_openai(logprobs: Any) -> tuple[Told, ...]:
    """First tokens in either of the two forms."""
    if not isinstance(logprobs, dict):
        return ()
    content = logprobs.get("content")
    if isinstance(content, list):
        first = content[0] if content and isinstance(content[0], dict) else {}
        tops = first.get("top_logprobs")
        found = [_told(each) for each in (tops if isinstance(tops, list) else [])]
        return _sane([*found, *([_told(first)] if first else [])])
    tops, tokens, own = (logprobs.get(key) for key in ("top_logprobs", "tokens", "token_logprobs"))
    listed = tops[0] if isinstance(tops, list) and tops else None
    if isinstance(listed, list):
        return _sane(_told(each) for each in listed)
    named = listed if isinstance(listed, dict) else {}
    told = [_told({"token": text, "logprob": value}) for text, value in named.items()]
    if isinstance(tokens, list) and isinstance(own, list) and tokens and own:
        told.append(_told({"token": tokens[0], "logprob": own[0]}))
    return _sane(told)


def _told(entry: Any) -> Told | None:
    """One token; None where the entry is none."""
    if not isinstance(entry, Mapping):
        return None
    value, chance = _number(entry.get("logprob")), _number(entry.get("prob"))
    if value is None:
        if chance is None or not 0 <= chance <= 1 + _ROUNDING:
            return None
        value = math.log(chance) if chance > 0 else _LEAST
    text, number, data = entry.get("token", entry.get("tok_str")), entry.get("id"), entry.get("bytes")
    whole = isinstance(data, list) and all(type(byte) is int and 0 <= byte < 256 for byte in data)
    return Told(
        max(value, _LEAST),
        _text(text),
        number if type(number) is int else None,
        bytes(data) if whole and data else None,
    )


def _sane(found: Any) -> tuple[Told, ...]:
    """Each once, the likeliest first; none at all where a number is no log-probability."""
    told = [each for each in found if each is not None]
    if any(each.logprob > _ROUNDING for each in told):
        return ()
    apart: dict[tuple[object, ...], Told] = {}
    for each in told:
        kept = apart.setdefault((each.id, each.data or each.text), each)
        if kept.logprob < each.logprob:
            apart[each.id, each.data or each.text] = each
    return tuple(sorted(apart.values(), key=lambda each: -each.logprob))


def _number(value: Any) -> float | None:
    """A number as a float; None where it is none, or none that a probability comes to."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _HUGE or value == -math.inf else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
