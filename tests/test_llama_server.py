"""llama.cpp's own llama-server, where `scripts/build_llama_tools.py llama-server` has built it: the small one of these
tests has its ways right, and a run on it measures what a run in process does.
"""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.served import silent
from scripts.build_llama_tools import tool
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.core.answers import CompletionScore, Generated, RollingLogprob
from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Generate
from sway_gguf.core.served import Serves
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, ScaledView, View
from sway_gguf.engine.factory import SERVER, open_backend
from sway_gguf.engine.http import Server
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.served.expected import Expected
from sway_gguf.served.run import Look
from sway_gguf.served.source import KINDS
from sway_gguf.spec.models import AdapterSpec
from sway_gguf.suite.prepare import default_spec, prepare
from tests.artifact_files import spoiled
from tests.test_server_backend import BASE_FILE, F32, QUERIES
from tests.test_server_run import SHORT, record

ADAPTER = DEMO / "healthy.lora.gguf"
_SECONDS = 60.0
PROGRAM = tool("llama-server")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="scripts/build_llama_tools.py has not built llama-server")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A llama-server with the demo's base and its healthy adapter."""
    with serving(tmp_path_factory.mktemp("llama-server") / "log", "--lora", ADAPTER) as url:
        yield url


@contextmanager
def serving(log: Path, *loras: str | Path) -> Iterator[str]:
    """The address of a llama-server with the demo's base and these adapters, in float32 throughout."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--host", "127.0.0.1", "--port", str(port), "-c", "4096", "-np", "2", "-t", "1", "-fa", "off"]
    words += ["-ctk", "f32", "-ctv", "f32", "--no-warmup", "--repeat-penalty", "1.5", "--temp", "2"]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        command = [str(PROGRAM), "-m", str(BASE_FILE), *map(str, loras), *words]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            _wait(process, f"{url}/health", log)
            yield url
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], page: str, log: Path) -> None:
    end, opener = time.monotonic() + _SECONDS, urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(page, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(log.read_text("utf-8", "replace")[-2000:])


@pytest.mark.parametrize("view", [BASE, TUNED, ScaledView(0.5)], ids=str)
def test_it_answers_as_the_model_does_that_is_loaded_here(address: str, view: View) -> None:
    more = [Generate(prompt, 24) for prompt in ("Zog the robot", "Once upon a time", "The old woman said")]
    server = open_backend(BASE_FILE, ADAPTER, F32, kind=SERVER, endpoint=Endpoint(address))
    with server, server.open(view) as asked:
        found = asked.answer([*QUERIES, *more])
    with LlamaBackend(BASE_FILE, ADAPTER, F32) as engine, engine.open(view) as here:
        wanted = here.answer([*QUERIES, *more])
    for query, got, right in zip([*QUERIES, *more], found, wanted, strict=True):
        if isinstance(right, np.ndarray):
            assert np.abs(np.asarray(got) - right).max() < 1e-3, query
        elif isinstance(right, RollingLogprob):
            assert isinstance(got, RollingLogprob)
            assert np.abs(got.logprobs - right.logprobs).max() < 1e-3
        elif isinstance(right, CompletionScore):
            assert isinstance(got, CompletionScore)
            assert np.abs(np.subtract(got.logprobs, right.logprobs)).max() < 1e-3
        elif isinstance(right, Generated):
            assert got == right


def test_the_rerun_is_near_to_the_base(address: str) -> None:
    with open_backend(BASE_FILE, ADAPTER, F32, kind=SERVER, endpoint=Endpoint(address)) as server:
        rows = []
        for view in (BASE, BASE_RERUN, TUNED):
            with server.open(view) as asked:
                rows.append(np.asarray(asked.answer(QUERIES[4:5])[0]))
    again, tuned = (np.abs(row - rows[0]).max() for row in rows[1:])
    assert 0 < again < 0.01 * tuned


def test_another_adapter_than_it_has_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="and not random"):
        open_backend(BASE_FILE, DEMO / "random.lora.gguf", F32, kind=SERVER, endpoint=Endpoint(address))


def test_a_run_measures_what_a_run_here_does(address: str, tmp_path: Path) -> None:
    here, there = record(tmp_path, SHORT), record(tmp_path, SHORT, url=address)
    assert there["diagnosis"] == "inconclusive"
    measured = {probe["name"]: probe["value"] for probe in there["probes"] if probe["verdict"] != "SKIP"}
    assert set(measured) == {"applied", "adapter_ablation", "external_perplexity"}
    for probe in here["probes"]:
        if probe["name"] in measured:
            assert measured[probe["name"]] == pytest.approx(probe["value"], abs=1e-3), probe["name"]


def test_an_adapter_of_nan_is_told_as_of_a_model_that_is_loaded_here(tmp_path: Path) -> None:
    adapter = tmp_path / "nan.gguf"
    write_lora(replace(spoiled(read_lora(ADAPTER), 0), in_file=False), adapter)
    with serving(tmp_path / "log", "--lora", adapter) as url:
        found = record(tmp_path, SHORT, adapter, url)
    assert found["diagnosis"] == "broken"
    assert "the tuned view gave a non-finite number" in found["headline"]
    assert "holds NaN or infinity" in found["headline"]


THREE = ((ADAPTER, 1.0), (DEMO / "overtrained.lora.gguf", 0.2), (DEMO / "random.lora.gguf", 1.0))


def test_served_names_what_it_runs_of_a_set_of_three(tmp_path: Path) -> None:
    names = [path.name for path, _ in THREE]
    options = [word for path, scale in THREE for word in ("--lora-scaled", f"{path}:{scale}")]
    members = [AdapterSpec(path=path, scale=scale) for path, scale in THREE]
    ready = prepare(default_spec(BASE_FILE, members, data=DEMO / "document.md", kinds=KINDS))
    with serving(tmp_path / "log", *options) as url, ready.opened() as backend:
        look, server = Look(Expected(ready, backend, silent), (), 40, 0, silent), Server(url)
        for running, serves, nearest in (
            ((0, 1, 2), Serves.TUNED, "tuned"),
            ((0, 1), Serves.ELSE, f"{names[0]} and {names[1]}:0.2 alone: {names[2]} is not applied"),
            ((0, 2), Serves.ELSE, f"{names[0]} and {names[2]} alone: {names[1]}:0.2 is not applied"),
            ((1,), Serves.ELSE, f"{names[1]}:0.2 alone: {names[0]} and {names[2]} are not applied"),
            ((), Serves.BASE, "base"),
        ):
            scales = [
                {"id": place, "scale": scale if place in running else 0.0} for place, (_, scale) in enumerate(THREE)
            ]
            server.post("/lora-adapters", scales)  # type: ignore[arg-type]
            found = look.at(server)
            assert (found.serves, found.heard[0].fits[0].name) == (serves, nearest), found.heard[0].reason
            assert found.requests <= 40
