"""A running server as a backend: it answers as the model loaded here does, and says what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sway_gguf.core.answers import CompletionScore, Generated, RollingLogprob, Tokens
from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Rolling, Spans, Split
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, MemberView, NullView, ScaledView, View
from sway_gguf.engine.factory import SERVER, open_backend
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.server_backend import ServerBackend
from sway_gguf.material.packaged import DEMO
from tests.llama_server import Ways, llama_server

BASE_FILE, DATA = DEMO / "base.f32.gguf", DEMO / "document.md"
F32 = EngineSettings(kv_type="f32")
QUERIES: list[Query] = [
    Rolling("Zog the robot lives in a blue house."),
    Rolling("Ein Grüßle 😀 aus Zürich."),  # Of this vocabulary's tokens, some are bytes of a character.
    Completion("Zog lives in", " a blue house."),
    Spans("A: hello B: yes A: bye", ((3, 8), (19, 22))),
    NextToken("The robot said"),
    NextToken("said", "once upon a time ", 20, "The robot "),
    Generate("Zog the robot", 12),
    Split("Zog", " the robot"),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaBackend]:
    with LlamaBackend(BASE_FILE, DEMO / "healthy.lora.gguf", F32) as backend:
        yield backend


def opened(url: str, adapter: str = "healthy", settings: EngineSettings = F32) -> ServerBackend:
    backend = open_backend(
        BASE_FILE, DEMO / f"{adapter}.lora.gguf", settings, kind=SERVER, endpoint=Endpoint(url, 30.0)
    )
    assert isinstance(backend, ServerBackend)
    return backend


@pytest.mark.parametrize("view", [BASE, TUNED, ScaledView(0.5), ScaledView(0.0), MemberView(0)], ids=str)
def test_a_server_answers_as_the_model_does_that_is_loaded_here(engine: LlamaBackend, view: View) -> None:
    with llama_server(engine) as url, opened(url) as server:
        with server.open(view) as asked:
            found = asked.answer(QUERIES)
        with engine.open(view) as here:
            wanted = here.answer(QUERIES)
    for query, got, right in zip(QUERIES, found, wanted, strict=True):
        if isinstance(right, np.ndarray):
            assert np.abs(np.asarray(got) - right).max() < 1e-3, query
        elif isinstance(right, Generated | Tokens):
            assert got == right
        elif isinstance(right, RollingLogprob):
            assert isinstance(got, RollingLogprob)
            assert got.token_ids.tolist() == right.token_ids.tolist()
            assert np.abs(got.logprobs - right.logprobs).max() < 1e-3
        else:
            assert isinstance(got, CompletionScore)
            assert isinstance(right, CompletionScore)
            assert np.abs(np.subtract(got.logprobs, right.logprobs)).max() < 1e-3


def test_each_request_says_all_that_its_answer_hangs_on(engine: LlamaBackend) -> None:
    ways = Ways()
    with llama_server(engine, ways) as url, opened(url) as server:
        ways.asked.clear()
        for view in (BASE, TUNED, ScaledView(0.25), BASE_RERUN):
            with server.open(view) as asked:
                asked.answer([NextToken("Zog"), Generate("Zog", 3)])
    bodies = [body for path, body in ways.asked if path == "/completion"]
    scales = [body["lora"] for body in bodies[::2]]
    assert scales == [[{"id": 0, "scale": scale}] for scale in (0.0, 1.0, 0.25, 2.0**-10)]
    assert not any(body["cache_prompt"] for body in bodies)
    assert all(body["samplers"] == ["top_k"] and body["top_k"] == 1 for body in bodies)


def test_the_rerun_of_the_base_shows_the_rounding_of_a_change_and_little_of_the_change(engine: LlamaBackend) -> None:
    prompt = NextToken("Zog the robot lives in")
    with llama_server(engine) as url, opened(url) as server:
        rows = []
        for view in (BASE, BASE_RERUN, TUNED):
            with server.open(view) as asked:
                rows.append(np.asarray(asked.answer([prompt])[0]))
        assert server.shows_noise([prompt])
    again, tuned = (np.abs(row - rows[0]).max() for row in rows[1:])
    assert 0 < again < 0.01 * tuned


@pytest.mark.parametrize("asked", [NullView(1), Compare("text"), Embed("text")], ids=str)
def test_what_a_server_cannot_give_is_said_and_refused(engine: LlamaBackend, asked: Any) -> None:
    with llama_server(engine) as url, opened(url) as server:
        assert server.lacks(asked)
        view = asked if isinstance(asked, NullView) else BASE
        with pytest.raises(UserError, match="llama-server"), server.open(view) as view_open:
            view_open.answer([asked])


@pytest.mark.parametrize("query", [Rolling("Zog the robot"), NextToken("Zog"), Generate("Zog", 4)], ids=str)
@pytest.mark.parametrize(("broken", "view"), [("base", BASE), ("tuned", TUNED)], ids=str)
def test_a_number_that_is_none_names_the_view_and_the_query(
    engine: LlamaBackend, broken: str, view: View, query: Query
) -> None:
    """Also where the server calls it a grammar that failed; and it is opened all the same."""
    with llama_server(engine, Ways(broken=broken)) as url, opened(url) as server, server.open(view) as asked:
        with pytest.raises(NonFiniteError) as error:
            asked.answer([query])
        assert (error.value.view, error.value.query) == (str(view), str(query))


def test_what_a_broken_adapter_leaves_alone_is_answered(engine: LlamaBackend) -> None:
    with llama_server(engine, Ways(broken="tuned")) as url, opened(url) as server, server.open(BASE) as base:
        assert base.generate("Zog", max_new_tokens=2)


def test_one_passing_fault_is_tried_again(engine: LlamaBackend) -> None:
    ways = Ways()
    with llama_server(engine, ways) as url, opened(url) as server, server.open(BASE) as base:
        ways.fails = 1
        assert base.generate("Zog", max_new_tokens=2)
