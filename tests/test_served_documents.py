"""Servers that no test starts: vLLM, Ollama and LM Studio, as their sources, documents and recorded answers have them.

Each is played by a script that answers in the shapes of its own; what is held is which endpoint is asked, and what is
read off the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sway_gguf.core.dialogue import exchange
from sway_gguf.engine.http import Server, root_of
from sway_gguf.served.asking import Asking, model_of
from sway_gguf.served.forms import Ollama, Question, Responses, Told
from sway_gguf.served.prompts import CHAT, TEXT, Prompt
from tests.test_served import Answer, scripted

TEXT_PROMPT = Prompt("Once upon", "1")
CHAT_PROMPT = Prompt("Anna: Hi", "1", exchange("Hi"))
Endpoint = Callable[[Mapping[str, Any]], tuple[int, Any]]
"""A request's body to a status and an answer."""


def played(endpoints: Mapping[str, Endpoint]) -> Callable[[str, Any, Any], Answer]:
    """A server that has these endpoints and no other."""

    def script(path: str, body: Any, _: Any) -> Answer:
        status, said = endpoints[path](body) if path in endpoints else (404, {"error": "not found"})
        return status, said, {}

    return script


def steps(*tokens: tuple[str, float], **more: Any) -> list[dict[str, Any]]:
    """One written token, the first of these, with all of them as its likeliest: OpenAI's form of chat."""
    tops = [{"token": text, "logprob": value, "bytes": list(text.encode())} for text, value in tokens]
    return [{**tops[0], "top_logprobs": tops, **more}]


LIKELY = ((" a", -0.25), (" the", -2.0))
READ = (Told(-0.25, " a", None, b" a"), Told(-2.0, " the", None, b" the"))


def asked_of(
    endpoints: Mapping[str, Endpoint], prompt: Prompt, way: str, model: str = "m"
) -> tuple[Asking, tuple[Told, ...], str]:
    """How a server is asked, the first tokens and the text that are read off its answer."""
    with scripted(played(endpoints)) as url:
        found = Asking(Server(url, sleep=lambda _: None), way, model)
        assert found.begin([prompt])
        reply = found.reply(prompt)
    return found, reply.first, reply.text


# -- vLLM: an adapter is a model of its own, 20 log-probabilities unless it was started with fewer --------------------


def vllm(most: int) -> dict[str, Endpoint]:
    def too_many(count: int) -> tuple[int, Any]:
        return 400, {"error": {"message": f"{count} log-probabilities, at most {most}", "type": "BadRequestError"}}

    def completions(body: Mapping[str, Any]) -> tuple[int, Any]:
        if body.get("logprobs", 0) > most:
            return too_many(body["logprobs"])
        # One more than asked for where the written token is none of the likeliest; its lowest number is −9999.
        told = {"tokens": [" a"], "token_logprobs": [-0.25], "text_offset": [0]}
        told |= {"top_logprobs": [{" a": -0.25, " the": -2.0, "�": -9999.0}]}
        return 200, {"object": "text_completion", "choices": [{"index": 0, "text": " a", "logprobs": told}]}

    def chat(body: Mapping[str, Any]) -> tuple[int, Any]:
        if body.get("top_logprobs", 0) > most:
            return too_many(body["top_logprobs"])
        message = {"role": "assistant", "content": " a", "reasoning": None}
        return 200, {"choices": [{"index": 0, "message": message, "logprobs": {"content": steps(*LIKELY)}}]}

    def models(body: Any) -> tuple[int, Any]:
        return 200, {"object": "list", "data": [{"id": "base"}, {"id": "support", "parent": "base"}]}

    return {"/v1/completions": completions, "/v1/chat/completions": chat, "/v1/models": models}


@pytest.mark.parametrize("most", [20, 5])
def test_vllm_tells_log_probabilities_in_both_ways(most: int) -> None:
    found, first, _ = asked_of(vllm(most), TEXT_PROMPT, TEXT)
    assert (found.endpoint, found.tells) == ("/v1/completions", True)
    assert [(each.text, each.logprob) for each in first] == [(" a", -0.25), (" the", -2.0), ("�", -60.0)]
    found, first, _ = asked_of(vllm(most), CHAT_PROMPT, CHAT)
    assert (found.endpoint, found.tells, first) == ("/v1/chat/completions", True, READ)


def test_vllm_lists_an_adapter_beside_its_base() -> None:
    with scripted(played(vllm(20))) as url:
        assert model_of(Server(url), "support") == ("support", False)


# -- Ollama: chat tells them, completions put a text through the template and tell none -------------------------------


def ollama(*, tells: bool = True) -> dict[str, Endpoint]:
    def completions(body: Mapping[str, Any]) -> tuple[int, Any]:
        return 200, {"object": "text_completion", "choices": [{"text": "Of a template", "index": 0}]}

    def chat(body: Mapping[str, Any]) -> tuple[int, Any]:
        told = {"logprobs": {"content": steps(*LIKELY)}} if tells and body.get("logprobs") else {}
        return 200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": " a"}, **told}]}

    def generate(body: Mapping[str, Any]) -> tuple[int, Any]:
        assert body["raw"] is True
        assert body["stream"] is False
        told = {"logprobs": steps(*LIKELY)} if tells and body.get("logprobs") else {}
        return 200, {"model": body["model"], "response": " a", "done": True, "done_reason": "length", **told}

    return {"/v1/completions": completions, "/v1/chat/completions": chat, "/api/generate": generate}


def test_ollama_is_asked_a_text_raw_by_its_own_endpoint() -> None:
    found, first, _ = asked_of(ollama(), TEXT_PROMPT, TEXT)
    assert (found.endpoint, found.tells, first) == ("/api/generate", True, READ)
    found, first, _ = asked_of(ollama(), CHAT_PROMPT, CHAT)
    assert (found.endpoint, found.tells, first) == ("/v1/chat/completions", True, READ)


def test_an_old_ollama_is_asked_for_replies() -> None:
    found, first, text = asked_of(ollama(tells=False), TEXT_PROMPT, TEXT)
    assert (found.endpoint, found.tells, first, text) == ("/v1/completions", False, (), "Of a template")


def test_ollama_s_body_is_greedy_and_takes_no_template() -> None:
    asked = Ollama().body(Question("Once", tokens=16, top=20, model="m"))
    assert asked["options"] == {"temperature": 0, "num_predict": 16, "repeat_penalty": 1.0}
    assert (asked["raw"], asked["logprobs"], asked["top_logprobs"]) == (True, True, 20)
    assert "logprobs" not in Ollama().body(Question("Once", model="m"))


# -- LM Studio: chat answers null in their place, responses tell them --------------------------------------------------


def lm_studio(*, tells: bool = True, thinks: bool = False) -> dict[str, Endpoint]:
    def completions(body: Mapping[str, Any]) -> tuple[int, Any]:
        return 200, {"object": "text_completion", "choices": [{"index": 0, "text": " a", "logprobs": None}]}

    def chat(body: Mapping[str, Any]) -> tuple[int, Any]:
        message = {"role": "assistant", "content": " a", "reasoning_content": "", "tool_calls": []}
        return 200, {"choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}]}

    def responses(body: Mapping[str, Any]) -> tuple[int, Any]:
        told = steps(*LIKELY) if tells and "message.output_text.logprobs" in body.get("include", ()) else []
        text = {"type": "output_text", "text": " a cat", "annotations": [], "logprobs": told}
        message = {"type": "message", "role": "assistant", "status": "completed", "content": [text]}
        thought = [{"type": "reasoning", "summary": []}] if thinks else []
        return 200, {"object": "response", "status": "completed", "output": [*thought, message], "error": None}

    return {"/v1/completions": completions, "/v1/chat/completions": chat, "/v1/responses": responses}


def test_lm_studio_is_asked_for_responses_where_chat_tells_nothing() -> None:
    found, first, _ = asked_of(lm_studio(), CHAT_PROMPT, CHAT)
    assert (found.endpoint, found.tells, first) == ("/v1/responses", True, READ)
    found, first, text = asked_of(lm_studio(), TEXT_PROMPT, TEXT)
    assert (found.endpoint, found.tells, first, text) == ("/v1/completions", False, (), " a")


@pytest.mark.parametrize("server", [lm_studio(tells=False), lm_studio(thinks=True)])
def test_what_lm_studio_s_runtime_does_not_tell_and_what_a_thought_stands_before_is_compared_as_replies(
    server: dict[str, Endpoint],
) -> None:
    found, first, text = asked_of(server, CHAT_PROMPT, CHAT)
    assert (found.endpoint, found.tells, first, text) == ("/v1/chat/completions", False, (), " a")


def test_a_response_keeps_nothing_at_the_server() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    asked = Responses().body(Question(messages, top=20, model="m"))
    assert asked == {
        "input": messages,
        "temperature": 0,
        "store": False,
        "stream": False,
        "max_output_tokens": 16,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 20,
        "model": "m",
    }


@pytest.mark.parametrize("answer", [None, {}, {"output": []}, {"output": [3]}, {"output": [{"type": "message"}]},
                                    {"output": [{"type": "message", "content": [{"text": 3}]}]}])  # fmt: skip
def test_what_is_no_response_is_none(answer: Any) -> None:
    assert Responses().read(answer) is None
    assert Ollama().read(answer) is None


def test_their_addresses_are_taken_with_what_stands_behind_them() -> None:
    assert root_of("localhost:11434/api/generate") == "http://localhost:11434"
    assert root_of("http://localhost:1234/v1/responses") == "http://localhost:1234"
