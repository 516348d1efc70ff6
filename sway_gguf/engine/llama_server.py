"""llama-server's own endpoints: what it has loaded, and continuations token by token with their log-probabilities.

Every request says all that its answer hangs on, whatever the server was started with: the scale of each adapter, a
sampler that takes the likeliest token, and no cache, for llama-server finds a kept prompt by its tokens alone,
whichever adapter read it. Knows JSON and addresses; neither views nor queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import shorten
from sway_gguf.engine.http import NoEndpointError, RefusedError, Server
from sway_gguf.engine.reduce import NotFiniteError

_ADAPTERS, _PROPS, _TOKENIZE, _COMPLETION = "/lora-adapters", "/props", "/tokenize", "/completion"
_FIELDS = ["tokens", "completion_probabilities"]
"""Of an answer; without being told, it repeats the prompt and all settings."""
_PUSH = 1e6
"""Added to the logit of a token that has to come; log-probabilities are told as they were before."""
LEAST = -104.0
"""Nats: log of the smallest float32. A probability below is told as none."""
_ROUNDING = 1e-3
Scales = Mapping[int, float]
"""What each of a server's adapters is multiplied by, by the server's number for it."""


class ServerLora(NamedTuple):
    """An adapter that a server has loaded: its number there, and the server's own path of it."""

    number: int
    path: str


class About(NamedTuple):
    """What a server says of itself: tokens that one text may have, texts side by side, model, build and template."""

    context: int
    slots: int
    model: str
    build: str
    template: str


class Step(NamedTuple):
    """One token that was written.

    Attributes:
        token: its id.
        logprob: nats, over the whole vocabulary, before any sampler.
        top: the likeliest tokens there with theirs, in order.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Draw(NamedTuple):
    """How tokens are drawn; the likeliest at temperature 0."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class LlamaServer:
    """A running llama-server.

    Args:
        server: to ask.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def root(self) -> str:
        """Its address."""
        return self._server.root

    def adapters(self) -> tuple[ServerLora, ...]:
        """All that it has loaded.

        Raises:
            UserError: it is no llama-server, or cannot be asked.
        """
        found = self._told(_ADAPTERS, None)
        if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
            raise self._no_llama_server(f"{_ADAPTERS} says {shorten(str(found))}")
        pairs = [(each.get("id"), each.get("path")) for each in found]
        return tuple(ServerLora(n, path) for n, path in pairs if type(n) is int and isinstance(path, str))

    def about(self) -> About:
        """What it says of itself; errors as of `adapters`."""
        found = self._told(_PROPS, None)
        given = found.get("default_generation_settings") if isinstance(found, Mapping) else None
        context = given.get("n_ctx") if isinstance(given, Mapping) else None
        if type(context) is not int or context <= 0:
            raise self._no_llama_server(f"{_PROPS} does not say how many tokens a text may have")
        slots = found.get("total_slots")
        texts = (found.get(key) for key in ("model_path", "build_info", "chat_template"))
        model, build, template = (text if isinstance(text, str) else "" for text in texts)
        return About(context, slots if type(slots) is int and slots > 0 else 1, model, build, template)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of `text`, without BOS; errors as of `adapters`."""
        found = self._told(_TOKENIZE, {"content": text, "add_special": False, "parse_special": True})
        tokens = found.get("tokens") if isinstance(found, Mapping) else None
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise self._no_llama_server(f"{_TOKENIZE} says {shorten(str(found))}")
        return tokens

    def forced(self, prompt: Sequence[int], wanted: Sequence[int], scales: Scales) -> list[Step]:
        """`wanted` behind `prompt`, whatever the model would say, token by token with what it gives to each.

        A grammar of token ids allows one token at a time. It cannot allow a token that ends a text, nor one whose bytes
        are no whole characters.

        Raises:
            NotFiniteError: the model gives a number that is not finite.
            UserError: the server refuses it, or does not follow.
        """
        grammar = "root ::= " + " ".join(f"<[{token}]>" for token in wanted)
        asked = {"n_predict": len(wanted), "n_probs": 1, "grammar": grammar}
        try:
            return self._followed(prompt, wanted, scales, asked)
        except RefusedError:
            # Of numbers that are none a grammar finds no likeliest token, and llama-server fails.
            for ahead in (len(wanted) - 1, 0):
                with suppress(RefusedError):
                    self._steps_of((*prompt, *wanted[:ahead]), scales, {"n_predict": 1, "n_probs": 1})
            raise

    def pushed(self, prompt: Sequence[int], token: int, scales: Scales, top: int = 1) -> Step:
        """One step behind `prompt` at which `token` is taken, with the `top` likeliest; errors as of `forced`."""
        asked = {"n_predict": 1, "n_probs": top, "logit_bias": [[token, _PUSH]]}
        return self._followed(prompt, [token], scales, asked)[0]

    def reply(self, prompt: Sequence[int], count: int, scales: Scales, draw: Draw) -> list[int]:
        """At most `count` tokens that go on with `prompt`, the one that ends the text among them.

        Raises:
            NotFiniteError: the model gives a number that is not finite.
            UserError: the server refuses it.
        """
        asked: dict[str, Any] = {"n_predict": count, "n_probs": 1}
        if draw.temperature > 0:
            asked |= {"samplers": ["temperature", "top_p"], "seed": draw.seed & 0x7FFFFFFF}
            asked |= {"temperature": draw.temperature, "top_p": draw.top_p}
        answer = self._completed(prompt, scales, asked)
        _steps(answer)
        tokens = answer.get("tokens")
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise UserError(f"{self.root}{_COMPLETION}: no token ids in the answer; a newer llama-server gives them")
        return tokens

    def _followed(
        self, prompt: Sequence[int], wanted: Sequence[int], scales: Scales, asked: dict[str, Any]
    ) -> list[Step]:
        steps = self._steps_of(prompt, scales, asked)
        if [step.token for step in steps] != list(wanted):
            raise UserError(
                f"{self.root}{_COMPLETION}: it does not write the tokens that a grammar or a bias asks for; "
                "llama-server does, from the releases on whose grammars know token ids"
            )
        if not all(step.top for step in steps):
            raise UserError(
                f"{self.root}{_COMPLETION}: it gives no probabilities; start it without a draft model (-md), for "
                "tokens that were drafted have none"
            )
        return steps

    def _steps_of(self, prompt: Sequence[int], scales: Scales, asked: dict[str, Any]) -> list[Step]:
        return _steps(self._completed(prompt, scales, asked))

    def _completed(self, prompt: Sequence[int], scales: Scales, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {
            "prompt": list(prompt),
            "lora": [{"id": number, "scale": scale} for number, scale in sorted(scales.items())],
            "cache_prompt": False,
            "samplers": ["top_k"],
            "top_k": 1,
            "mirostat": 0,
            "seed": 0,
            "logit_bias": [],
            "ignore_eos": False,
            "post_sampling_probs": False,
            "backend_sampling": False,
            "stop": [],
            "stream": False,
            "return_tokens": True,
            "response_fields": _FIELDS,
            **asked,
        }
        answer = self._server.post(_COMPLETION, body)
        if not isinstance(answer, Mapping):
            raise self._no_llama_server(f"{_COMPLETION} says {shorten(str(answer))}")
        return answer

    def _told(self, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            return self._server.get(path) if body is None else self._server.post(path, body)
        except (NoEndpointError, RefusedError):
            raise self._no_llama_server(f"there is nothing at {path}") from None

    def _no_llama_server(self, found: str) -> UserError:
        return UserError(
            f"{self.root}: {found}, so this is no llama-server that takes the scale of an adapter with each request; "
            "start llama.cpp's own with -m BASE --lora ADAPTER"
        )


def _steps(answer: Mapping[str, Any]) -> list[Step]:
    """What was written, as far as it is told.

    Raises:
        NotFiniteError: a log-probability is none.
    """
    told, found = answer.get("completion_probabilities"), list[Step]()
    for each in told if isinstance(told, list) else ():
        token = each.get("id") if isinstance(each, Mapping) else None
        if type(token) is not int:
            break
        listed = [one for one in each.get("top_logprobs") or () if isinstance(one, Mapping)]
        top = tuple((one["id"], _nats(one.get("logprob"))) for one in listed if type(one.get("id")) is int)
        found.append(Step(token, _nats(each.get("logprob")), top))
    return found


def _nats(value: Any) -> float:
    """A log-probability.

    Raises:
        NotFiniteError: it is none; a server writes NaN as null.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _ROUNDING:
        raise NotFiniteError(0)
    return max(float(value), LEAST)
