"""llama.cpp's RPC servers: addresses, servers that lie, and the trial before the first question."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from click.testing import CliRunner

from sway_gguf.artifacts.base import read_base
from sway_gguf.cli.common import overridden
from sway_gguf.cli.main import cli
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.views import BASE
from sway_gguf.engine.fake import distribution
from sway_gguf.engine.identity import Identity, kept_settings
from sway_gguf.engine.rpc import NO_RPC, check_servers, greeted
from sway_gguf.engine.rpc_trial import agreement
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import first_spec

BASE_FILE, HEALTHY = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
HERE = ("127.0.0.1:50052",)


def has_rpc() -> bool:
    try:
        check_servers(())
    except UserError:
        return False
    return True


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server on loopback that takes one client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                answer(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


def hello(client: socket.socket) -> None:
    asked = client.recv(64)
    assert asked == struct.pack("<BQ", 14, 24) + bytes(24)
    client.sendall(struct.pack("<Q", 28) + bytes([7, 0, 0, 0]) + bytes(24))


def test_a_server_that_answers_in_the_protocol_is_taken() -> None:
    with listening(hello) as server:
        greeted(server, 5.0)


@pytest.mark.parametrize(
    "answer",
    [
        lambda client: None,
        lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda client: client.sendall(struct.pack("<Q", 4) + bytes([3, 0, 0, 0])),
    ],
    ids=["closes", "HTTP", "an old version"],
)
def test_what_is_no_server_of_this_protocol_is_one_line(answer: Callable[[socket.socket], None]) -> None:
    def served(client: socket.socket) -> None:
        client.recv(64)
        answer(client)

    with listening(served) as server, pytest.raises(UserError, match=r"no RPC server of llama\.cpp"):
        greeted(server, 5.0)


def test_one_that_says_nothing_is_not_waited_for() -> None:
    ended = threading.Event()
    with listening(lambda client: bool(ended.wait(5))) as server:
        with pytest.raises(TimeoutError):
            greeted(server, 0.1)
        ended.set()


@pytest.mark.parametrize("address", ["", "host", ":5", "host:", "host:0", "host:70000", "host:x", "a:1,a:1", "a:1,"])
def test_a_wrong_address_is_one_line(address: str) -> None:
    spec = first_spec(BASE_FILE, HEALTHY)
    named = dict.fromkeys(("seed", "nulls", "threads", "context", "batch", "gpu_layers"))
    with pytest.raises(UserError, match="rpc") as found:
        overridden(spec, rpc=address, **named)  # type: ignore[arg-type]
    assert "\n" not in str(found.value)
    assert overridden(spec, rpc="a:1, b:2", **named).engine.rpc == ("a:1", "b:2")  # type: ignore[arg-type]


def test_with_servers_all_layers_lie_there_and_one_view_at_a_time_is_asked() -> None:
    assert EngineSettings(rpc=HERE).layers == -1
    assert EngineSettings(rpc=HERE, gpu_layers=12).layers == 12
    assert EngineSettings().layers == 0
    assert EngineSettings(rpc=HERE, threads=8).workers(8).number == 1


@pytest.mark.skipif(has_rpc(), reason="this llama.cpp was built with RPC")
def test_a_build_without_rpc_says_how_to_come_to_one() -> None:
    done = CliRunner().invoke(cli, ["check", str(BASE_FILE), str(HEALTHY), "--rpc", "127.0.0.1:1", "--nulls", "0"])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == NO_RPC
    assert "-DGGML_RPC=ON" in NO_RPC
    assert "\n" not in NO_RPC


# -- the trial --------------------------------------------------------------------------------------------------------

ROWS = [distribution(8, 2, 1), distribution(1, 1, 1)]


def test_equal_bits_agree_and_are_known_by_what_they_are() -> None:
    found = agreement(HERE, ROWS, [row.copy() for row in ROWS], 0.0)
    assert (found.equal, found.difference, found.divergence, found.prompts) == (True, 0.0, 0.0, 2)
    assert "bit for bit those of this machine" in found.said
    assert found.record == {"servers": list(HERE), "prompts": 2, "equal": True, "difference": 0.0, "divergence": 0.0,
                            "tolerance": 1e-4}  # fmt: skip
    other = agreement(("b:2",), ROWS, [row.copy() for row in ROWS], 0.0)
    assert other.fingerprint == found.fingerprint, "what is computed counts, not who computes it"
    assert agreement(HERE, ROWS, [ROWS[0] + np.float32(1e-6), ROWS[1]], 0.0).fingerprint != found.fingerprint


def test_rounding_is_told_and_what_goes_beyond_it_is_refused() -> None:
    """A logit of a half more: p from (8, 2, 1)/11 to (8 · 1.65, 2, 1)/16.2, a divergence of 5e-3."""
    near, far = distribution(8.05, 2, 1), distribution(8 * float(np.exp(0.5)), 2, 1)
    found = agreement(HERE, ROWS, [near, ROWS[1]], 0.0)
    assert not found.equal
    assert found.difference == pytest.approx(np.log(11.05 / 11), rel=1e-3)
    assert "but for 0.0045 nats at most" in found.said
    with pytest.raises(UserError, match="answers otherwise there than on this machine"):
        agreement(HERE, ROWS, [far, ROWS[1]], 0.0)
    assert agreement(HERE, ROWS, [far, ROWS[1]], 2e-3).tolerance == pytest.approx(8e-3), "four times its own rounding"
    assert agreement(HERE, ROWS, [far, ROWS[1]], None).tolerance == 1e-2
    for floor in (0.0, 1.0, None):
        with pytest.raises(UserError, match="otherwise"):
            agreement(HERE, ROWS, [np.full(3, np.nan, np.float32), ROWS[1]], floor)


def test_answers_of_servers_are_kept_apart_by_their_bits_and_not_by_their_names() -> None:
    base, plain = read_base(BASE_FILE), EngineSettings()
    here = Identity(base, plain, None).of(BASE)
    assert "elsewhere" not in here
    assert kept_settings(plain) == kept_settings(EngineSettings(rpc=HERE))
    there = Identity(base, EngineSettings(rpc=HERE), None, "ab").of(BASE)
    assert there["elsewhere"] == "ab"
    assert "50052" not in str(there)
    assert Identity(base, EngineSettings(rpc=HERE), None, "cd").of_embeddings()["elsewhere"] == "cd"
