"""A run over an RPC server that computes: skipped where this llama.cpp was built without RPC."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import NextToken
from sway_gguf.core.views import BASE
from sway_gguf.engine.again import Again
from sway_gguf.engine.rpc import Agreement, greeted
from sway_gguf.engine.rpc_trial import opened
from sway_gguf.material.packaged import DEMO
from tests.test_kept import Kept, bits
from tests.test_rpc import BASE_FILE, HEALTHY, has_rpc

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not has_rpc(), reason="this llama.cpp was built without RPC")


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


def checking(server: str) -> subprocess.Popen[str]:
    """A check by a server that takes longer than a test."""
    line = [sys.executable, "-m", "sway_gguf", "check", str(BASE_FILE), str(HEALTHY), *WORDS, "--nulls", "99"]
    return subprocess.Popen(
        [*line, "--rpc", server], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_server_that_is_killed_in_the_middle_ends_the_run_with_one_line() -> None:
    with serving() as (server, process):
        run = checking(server)
        time.sleep(6)
        process.kill()
        _, said = run.communicate(timeout=60)
    assert run.returncode == 2, said
    assert "an RPC server went away or answers otherwise" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_server_that_hangs_does_not_keep_a_process_that_was_asked_to_end() -> None:
    with serving() as (server, process):
        run = checking(server)
        time.sleep(6)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1)
        run.terminate()
        _, said = run.communicate(timeout=60)
        os.kill(process.pid, signal.SIGCONT)
    assert run.returncode == 128 + signal.SIGTERM, said
