"""What stands by while llama.cpp waits for an RPC server: who is ended, when, and with what last words."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from sway_gguf.engine import rpc_guard
from sway_gguf.engine.library import last_words


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            b"/a/b/ops.cpp:6386: GGML_ASSERT(n_dims == ne0/2) failed",
            "ops.cpp:6386: GGML_ASSERT(n_dims == ne0/2) failed",
        ),
        (b"D:\\a\\ggml\\ops.cpp:7: no\nway", "ops.cpp:7: no way"),
        (b"ggml.c:1: a/b.c:2: c", "ggml.c:1: a/b.c:2: c"),
        (b"no place at all/here", "no place at all/here"),
    ],
)
def test_last_words_have_their_file_and_not_its_folders(said: bytes, kept: str) -> None:
    assert last_words(said) == kept


@pytest.mark.parametrize("command", [True, False])
def test_a_program_that_uses_us_is_never_ended_for_where_it_waits(
    command: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[int] = []
    monkeypatch.setattr(rpc_guard, "in_command", lambda: command)
    monkeypatch.setattr(rpc_guard, "_listen_to_aborts", lambda: None)
    monkeypatch.setattr(rpc_guard, "_end_where_stuck", lambda: watched.append(1))
    rpc_guard.guard(())
    assert watched == [1] * command


@pytest.mark.parametrize(
    ("places", "ends"), [([(1, 2), (1, 2)], [130]), ([(1, 2), (1, 3)], []), ([(0, 0), (0, 0)], [])]
)
def test_stuck_is_who_stands_in_one_place_of_a_program(
    places: list[tuple[int, int]], ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, ended = iter(places), list[int]()
    monkeypatch.setattr(rpc_guard, "_GRACE", 0.0)
    monkeypatch.setattr(rpc_guard, "_where", lambda: next(seen))
    monkeypatch.setattr(rpc_guard, "_end", lambda code, said: ended.append(code))
    reading, writing = os.pipe()
    os.write(writing, bytes([signal.SIGINT]))
    os.close(writing)
    rpc_guard._listen(reading)
    os.close(reading)
    assert ended == ends


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone has it")
def test_what_was_sent_is_not_waited_for_longer_than_what_is_to_come() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        rpc_guard._one_alive(client.fileno(), {server.getsockname()})
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 35_000
