"""What is asked of a server before anything else: is it one, does it serve these files, and is the adapter heard?"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.stack import read_stack
from sway_gguf.cli.main import cli
from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora
from sway_gguf.core.views import TUNED
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.llama_server import LlamaServer, Scales, Step
from sway_gguf.engine.server_backend import ServerBackend
from sway_gguf.engine.server_checks import _follows, _is_another
from sway_gguf.material.packaged import DEMO
from tests.llama_server import Ways, llama_server
from tests.test_server_backend import BASE_FILE, F32, engine, opened

__all__ = ["engine"]


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        (Ways(missing=frozenset({"/lora-adapters"})), "no llama-server"),
        (Ways(missing=frozenset({"/props"})), "no llama-server"),
        (Ways(missing=frozenset({"/tokenize"})), "no llama-server"),
        (Ways(adapters=()), r"no adapter; start it with --lora .*healthy\.lora\.gguf"),
        (Ways(adapters=("/models/other.gguf",)), r"it has /models/other\.gguf, and not healthy"),
        (Ways(adapters=("/a/healthy.lora.gguf", "C:\\b\\healthy.lora.gguf")), "several of the name"),
        (Ways(context=256), "give -c 256"),
        (Ways(shift=1), "its tokens are not those of"),
        (Ways(follows=False), "changes nothing"),
        (Ways(drafts=True), "without a draft model"),
        (Ways(grammars=False), "failed to parse grammar"),
    ],
)
def test_a_server_that_cannot_answer_is_one_line(engine: LlamaBackend, ways: Ways, told: str) -> None:
    with llama_server(engine, replace(ways, asked=[])) as url, pytest.raises(UserError, match=told) as error:
        opened(url)
    assert "\n" not in str(error.value)
    assert url in str(error.value)


def test_a_file_of_this_machine_is_the_one_that_is_named_or_holds_its_bytes(
    engine: LlamaBackend, tmp_path: Path
) -> None:
    there = tmp_path / "healthy.lora.gguf"
    shutil.copy(DEMO / "random.lora.gguf", there)
    ways = Ways(adapters=(str(there),))
    with llama_server(engine, ways) as url:
        with pytest.raises(UserError, match="which is another file than") as error:
            opened(url)
        assert str(there) in str(error.value)
        assert str(DEMO / "healthy.lora.gguf") in str(error.value)
        shutil.copy(DEMO / "healthy.lora.gguf", there)
        opened(url).close()


@pytest.mark.parametrize(
    ("root", "another"), [("http://127.0.0.1:1", True), ("http://[::1]:1", True), ("http://10.0.0.7:1", False)]
)
def test_files_are_compared_on_this_machine_alone(root: str, another: bool, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(b"one")
    theirs.write_bytes(b"two")
    assert _is_another(_Hears(root), ours, str(theirs)) == another
    assert not _is_another(_Hears(root), ours, str(ours))
    for unseen in ("theirs", "", str(tmp_path / "gone")):
        assert not _is_another(_Hears(root), ours, unseen)


def test_two_files_of_a_set_are_not_one_adapter_of_the_server(engine: LlamaBackend, tmp_path: Path) -> None:
    paths = [tmp_path / name / "healthy.lora.gguf" for name in ("a", "b")]
    for path, source in zip(paths, ("healthy", "random"), strict=True):
        path.parent.mkdir()
        shutil.copy(DEMO / f"{source}.lora.gguf", path)
    base = read_base(BASE_FILE)
    stack = read_stack([Lora(path) for path in paths], base)
    ways = Ways(adapters=("/elsewhere/healthy.lora.gguf",))
    with llama_server(engine, ways) as url, pytest.raises(UserError, match="would both be its adapter 0"):
        ServerBackend(base, stack, F32, Endpoint(url, 30.0))


class _Hears(LlamaServer):
    """A server whose likeliest token moves by `effect` at full scale, and by `noise` from one answer to the next."""

    def __init__(self, root: str = "http://127.0.0.1:1", effect: float = 0.0, noise: float = 0.0) -> None:
        self._root, self._effect, self._noise, self._asked = root, effect, noise, 0

    @property
    def root(self) -> str:
        return self._root

    def pushed(self, prompt: Any, token: int, scales: Scales, top: int = 1) -> Step:
        self._asked += 1
        moved = scales[0] * self._effect + self._noise * (self._asked % 3)
        return Step(token, -1.0, ((1, -0.5 - moved), (2, -1.5 + moved), (3 + self._asked % 2, -4.0)))


@pytest.mark.parametrize(
    ("effect", "noise", "heard"),
    [(0.0, 0.0, False), (0.0, 1e-2, False), (0.0, 1e-6, False), (1e-2, 1e-4, True), (1e-5, 0.0, True)],
)
def test_an_adapter_is_heard_above_what_asking_twice_changes(effect: float, noise: float, heard: bool) -> None:
    server = _Hears(effect=effect, noise=noise)
    if heard:
        _follows(server, [1, 2], {0: 0.0}, [0])
    else:
        with pytest.raises(UserError, match="beyond what asking twice does"):
            _follows(server, [1, 2], {0: 0.0}, [0])


@pytest.mark.parametrize("url", ["", "  "])
def test_no_address_is_one_line(url: str) -> None:
    words = ["check", str(BASE_FILE), str(DEMO / "healthy.lora.gguf"), "--server", url]
    done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == "--server: no address; give one such as http://127.0.0.1:8080"


def test_an_adapter_of_zeros_is_let_through_for_the_run_to_find(engine: LlamaBackend) -> None:
    with (
        LlamaBackend(BASE_FILE, DEMO / "zero.lora.gguf", F32) as zero,
        llama_server(zero) as url,
        opened(url, "zero") as server,
        server.open(TUNED) as tuned,
    ):
        assert tuned.logprob_of("Zog lives in", " a blue house.") < 0
