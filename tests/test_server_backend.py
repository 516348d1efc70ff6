"""A running server as a backend: it answers as the model loaded here does, and no verdict claims what needs more."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.stack import read_stack
from sway_gguf.cli.main import cli
from sway_gguf.core.answers import CompletionScore, Generated, RollingLogprob, Tokens
from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.loras import Lora
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Rolling, Spans, Split
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, MemberView, NullView, ScaledView, View
from sway_gguf.engine.factory import SERVER, open_backend
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.llama_server import LlamaServer, Scales, Step
from sway_gguf.engine.server_backend import ServerBackend
from sway_gguf.engine.server_checks import _follows, _is_another
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import load_spec
from sway_gguf.spec.server import with_server
from sway_gguf.suite.prepare import default_spec, prepare
from tests.llama_server import Ways, llama_server

ROOT = Path(__file__).parents[1]
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


def test_a_number_that_is_none_names_the_view_and_the_query(engine: LlamaBackend) -> None:
    ways = Ways()
    with llama_server(engine, ways) as url, opened(url) as server:
        ways.broken = True
        with pytest.raises(NonFiniteError, match="the base view gave a non-finite number"), server.open(BASE) as base:
            base.answer([Rolling("Zog the robot")])


def test_one_passing_fault_is_tried_again(engine: LlamaBackend) -> None:
    ways = Ways()
    with llama_server(engine, ways) as url, opened(url) as server, server.open(BASE) as base:
        ways.fails = 1
        assert base.generate("Zog", max_new_tokens=2)


# -- servers that cannot answer ---------------------------------------------------------------------------------------


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


# -- a whole run ------------------------------------------------------------------------------------------------------


SHORT: dict[str, dict[str, Any]] = {
    "applied": {},
    "delta_kl": {},
    "adapter_ablation": {"lambdas": [0.25, 0.5, 1.5]},
    "section_internalization": {},
    "content": {},
    "external_perplexity": {"max_chunks": 5},
}
"""One probe or more of each axis that `check` looks at."""


def record(folder: Path, suite: dict[str, dict[str, Any]], adapter: str = "healthy", url: str = "") -> dict[str, Any]:
    """What `run` finds with a few items, of a server where one is named."""
    base = {"base": str(BASE_FILE), **({"kind": "server", "url": url} if url else {})}
    spec = {
        "models": {"base": base, "ft": {"base": str(BASE_FILE), "adapter": str(DEMO / f"{adapter}.lora.gguf")}},
        "data": str(DATA),
        "general": str(DEMO / "general.txt"),
        "defaults": {"items": 5, "prompts": 5, "nulls": 0},
        "engine": {"kv_type": "f32", "context": 400},
        "suite": [{"name": kind, "kind": kind, **options} for kind, options in suite.items()],
    }
    path = folder / f"{'there' if url else 'here'}.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    done = CliRunner().invoke(cli, ["run", str(path), "--json", "-"], catch_exceptions=False, standalone_mode=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("adapter", "diagnosis"),
    [("healthy", "inconclusive"), ("random", "inconclusive"), ("zero", "no-op"), ("overtrained", "damaging")],
)
def test_without_nulls_neither_signal_nor_direction_is_ever_claimed(
    adapter: str, diagnosis: str, tmp_path: Path
) -> None:
    with LlamaBackend(BASE_FILE, DEMO / f"{adapter}.lora.gguf", F32) as backend, llama_server(backend) as url:
        found = record(tmp_path, SHORT, adapter, url)
    verdicts = {axis["axis"]: axis["verdict"] for axis in found["axes"]}
    assert found["diagnosis"] == diagnosis
    assert verdicts["signal"] not in ("PASS", "WARN")
    assert verdicts["direction"] == "SKIP"
    skipped = {probe["kind"]: probe["reason"] for probe in found["probes"] if probe["verdict"] == "SKIP"}
    assert set(skipped) == {"delta_kl", "section_internalization", "content"}
    assert all("null adapters" in skipped[kind] for kind in ("delta_kl", "section_internalization"))
    assert not [probe for probe in found["probes"] if probe["verdict"] == "ERROR"]
    assert found["engine"]["backend"] == "llama-server"
    assert any("answered by llama-server" in remark for remark in found["remarks"])


def test_what_a_server_measures_is_what_is_measured_here(engine: LlamaBackend, tmp_path: Path) -> None:
    suite: dict[str, dict[str, Any]] = {
        "applied": {},
        "external_perplexity": {"max_chunks": 5},
        "leakage": {"perturbations": ["typo"], "max_new_tokens": 8},
        "prompt_collapse": {"context_lengths": [0, 32, 64]},
        "scale_response": {"lambdas": [0.5], "chunks": 5},
    }
    here = record(tmp_path, suite)
    with llama_server(engine) as url:
        there = record(tmp_path, suite, url=url)
    for mine, theirs in zip(here["probes"], there["probes"], strict=True):
        assert theirs["verdict"] == mine["verdict"], mine["name"]
        assert theirs["value"] == pytest.approx(mine["value"], abs=1e-3), mine["name"]


def test_a_dry_run_asks_no_server_and_shows_no_nulls() -> None:
    words = [str(BASE_FILE), str(DEMO / "healthy.lora.gguf"), "--server", "http://127.0.0.1:9", "--dry-run"]
    done = CliRunner().invoke(cli, ["check", *words], catch_exceptions=False)
    assert done.exit_code == 0
    assert "null " not in done.output.replace("null adapters", "")
    assert "server   http://127.0.0.1:9" in done.output


def test_a_run_that_is_cut_anew_brings_nothing_back_that_needs_nulls() -> None:
    spec = with_server(default_spec(BASE_FILE, DEMO / "healthy.lora.gguf", data=DATA), "http://127.0.0.1:9")
    ready = prepare(spec)
    for cut in (ready, ready.with_defaults(items=5), ready.with_defaults(nulls=0)):
        assert not cut.seeds
        assert not [probe.kind for probe in cut.probes if probe.rule.by_nulls]


# -- what a spec says -------------------------------------------------------------------------------------------------


def written(folder: Path, **models: Any) -> Path:
    path = folder / "sway.yaml"
    path.write_text(yaml.safe_dump({"models": models, "suite": [{"name": "a", "kind": "applied"}]}))
    return path


def test_base_names_the_server_for_both(tmp_path: Path) -> None:
    base = {"kind": "server", "url": "http://127.0.0.1:8080", "base": "b.gguf", "timeout": 9}
    path = written(tmp_path, base=base, ft={"base": "b.gguf", "adapter": "a.gguf"})
    assert load_spec(path, server=True).models.endpoint == Endpoint("http://127.0.0.1:8080", 9.0)


@pytest.mark.parametrize(
    ("base", "ft", "told"),
    [
        ({"kind": "server"}, {}, "go together"),
        ({"url": "http://127.0.0.1:8080"}, {}, "go together"),
        ({"kind": "server", "url": "http://a"}, {"url": "http://b"}, "ft: url is not that of base"),
        ({}, {"kind": "server"}, "ft: kind is not that of base"),
    ],
)
def test_half_a_server_is_refused(tmp_path: Path, base: dict[str, str], ft: dict[str, str], told: str) -> None:
    path = written(tmp_path, base={"base": "b.gguf", **base}, ft={"base": "b.gguf", "adapter": "a.gguf", **ft})
    with pytest.raises(UserError, match=told):
        load_spec(path, server=True)


def test_whoever_loads_the_model_refuses_a_server(tmp_path: Path) -> None:
    base = {"kind": "server", "url": "http://127.0.0.1:8080", "base": "b.gguf"}
    path = written(tmp_path, base=base, ft={"base": "b.gguf", "adapter": "a.gguf"})
    for words in (["quants", str(path)], ["served", "http://127.0.0.1:8080", str(path)], ["watch", str(path)]):
        done = CliRunner().invoke(cli, words, standalone_mode=False)
        assert isinstance(done.exception, UserError), words
        assert "kind: server is for run and gate" in str(done.exception)


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_examples_of_the_page_run(engine: LlamaBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    spec = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    commands = re.findall(r"^sway-gguf (.*)$", text, re.MULTILINE)
    assert spec is not None
    assert {shlex.split(command)[0] for command in commands} == {"check", "run"}
    for name, path in {"base.gguf": BASE_FILE, "adapter.gguf": DEMO / "healthy.lora.gguf", "train.md": DATA}.items():
        (tmp_path / name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    ways = Ways(adapters=["/elsewhere/adapter.gguf"])
    with llama_server(engine, ways) as url:
        Path("sway.yaml").write_text(spec[1].replace("http://127.0.0.1:8080", url), encoding="utf-8")
        for command in commands:
            words = shlex.split(command.replace("http://127.0.0.1:8080", url))
            done = CliRunner().invoke(cli, words, catch_exceptions=False)
            assert done.exit_code == 0, done.output
            assert "INCONCLUSIVE" in done.output
