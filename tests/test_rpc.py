"""llama.cpp's RPC servers: addresses, servers that lie, the trial before the first question, and a run over one.

What needs a build with RPC is skipped where there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sway_gguf.artifacts.base import read_base
from sway_gguf.cli.common import overridden
from sway_gguf.cli.main import cli
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import NextToken
from sway_gguf.core.views import BASE
from sway_gguf.engine import rpc_guard
from sway_gguf.engine.again import Again
from sway_gguf.engine.fake import distribution
from sway_gguf.engine.identity import Identity, kept_settings
from sway_gguf.engine.library import last_words
from sway_gguf.engine.rpc import NO_RPC, Agreement, check_servers, greeted
from sway_gguf.engine.rpc_trial import agreement, opened
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import first_spec
from tests.test_kept import Kept, bits

ROOT = Path(__file__).parents[1]
BASE_FILE, HEALTHY = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
HERE = ("127.0.0.1:50052",)


def has_rpc() -> bool:
    try:
        check_servers(())
    except UserError:
        return False
    return True


needs_rpc = pytest.mark.skipif(not has_rpc(), reason="this llama.cpp was built without RPC")


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


# -- the guard --------------------------------------------------------------------------------------------------------


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


# -- over a real one --------------------------------------------------------------------------------------------------


@contextmanager
def serving() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.rpc_server", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                greeted(f"127.0.0.1:{port}", 1.0)
                break
            except OSError:
                time.sleep(0.1)
        yield f"127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


WORDS = ["--nulls", "5", "--general", str(DEMO / "general.txt"), "--no-store"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@needs_rpc
def test_a_check_over_a_server_gives_what_this_machine_gives(tmp_path: Path) -> None:
    """By the page's own line."""
    page = (ROOT / "docs" / "rpc.md").read_text(encoding="utf-8")
    example = next(line for line in page.splitlines() if line.startswith("sway-gguf check")).split()
    for name, file in zip(
        ("base.gguf", "adapter.gguf", "train.md"), (BASE_FILE, HEALTHY, DEMO / "document.md"), strict=True
    ):
        shutil.copy(file, tmp_path / name)

    def checked(*words: str) -> dict[str, object]:
        line = [sys.executable, "-m", "sway_gguf", *example[1:-2], *words, *WORDS, "--json", "-"]
        done = subprocess.run(line, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    with serving() as (server, _):
        there = checked(example[-2], server)
    here = checked()
    assert there["diagnosis"] == here["diagnosis"]
    assert there["engine"]["rpc"]["divergence"] < 1e-6  # type: ignore[index]
    assert any("an experiment" in str(remark) for remark in there["remarks"])  # type: ignore[union-attr]
    values = [{probe["name"]: probe["value"] for probe in found["probes"]} for found in (here, there)]  # type: ignore[attr-defined]
    for name in ("section_internalization", "external_perplexity", "delta_kl"):
        assert values[1][name] == pytest.approx(values[0][name], abs=1e-3)


@needs_rpc
def test_a_server_of_another_version_is_one_line() -> None:
    """It answers the greeting, and llama.cpp, which knows its own version, ends the process."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                client, _ = server.accept()
                client.recv(64)
                client.sendall(struct.pack("<Q", 28) + bytes([99, 0, 0, 0]) + bytes(24))

        threading.Thread(target=serve, daemon=True).start()
        line = [sys.executable, "-m", "sway_gguf", "check", str(BASE_FILE), str(HEALTHY), *WORDS]
        line += ["--rpc", f"127.0.0.1:{server.getsockname()[1]}"]
        done = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert "version mismatch: 99.0.0" in said


@needs_rpc
def test_what_a_server_answers_is_kept_as_its_own() -> None:
    store, query = Kept(), [NextToken("Every year")]
    with serving() as (server, _), opened(BASE_FILE, None, EngineSettings(rpc=(server,)), store) as backend:
        assert isinstance(backend.agreement, Agreement)
        assert store.puts == 0, "the trial is not kept"
        with backend.open(BASE) as view:
            first = bits(view.answer(query))
        assert store.puts == 1
        with backend.open(BASE) as view:
            assert bits(view.answer(query)) == first
        assert store.puts == 1
    with Again([BASE_FILE], lambda digest: ()) as again:
        assert [again(request) for request in store] == [None]


@needs_rpc
def test_a_server_that_is_killed_in_the_middle_ends_the_run_with_one_line() -> None:
    line = [sys.executable, "-m", "sway_gguf", "check", str(BASE_FILE), str(HEALTHY), *WORDS, "--nulls", "99"]
    with serving() as (server, process):
        run = subprocess.Popen(
            [*line, "--rpc", server], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(6)
        process.kill()
        _, said = run.communicate(timeout=60)
    assert run.returncode == 2, said
    assert "an RPC server went away or answers otherwise" in said.splitlines()[-1]
    assert "Traceback" not in said


@needs_rpc
def test_a_server_that_hangs_does_not_keep_a_process_that_was_asked_to_end() -> None:
    line = [sys.executable, "-m", "sway_gguf", "check", str(BASE_FILE), str(HEALTHY), *WORDS, "--nulls", "99"]
    with serving() as (server, process):
        run = subprocess.Popen(
            [*line, "--rpc", server], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(6)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1)
        run.terminate()
        _, said = run.communicate(timeout=60)
        os.kill(process.pid, signal.SIGCONT)
    assert run.returncode == 128 + signal.SIGTERM, said
