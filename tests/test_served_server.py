"""`sway-gguf served` on the real thing: llama-cpp-python's server with the demo's model, on loopback."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.served import ADAPTER, BASE, DATA, RIGHT, deployments, looks, silent
from benchmarks.serving import serving
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.stack import Member, Stack
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.core.served import Serves
from sway_gguf.deploy.merge import merge
from sway_gguf.engine.http import Server
from sway_gguf.material.packaged import DEMO
from sway_gguf.served.expected import Expected
from sway_gguf.served.prompts import CHAT, TEXT
from sway_gguf.served.run import Look
from sway_gguf.served.source import KINDS
from sway_gguf.suite.prepare import default_spec, prepare

PAGE = Path(__file__).parents[1] / "docs" / "served.md"
KEY = "a-key"
SET = ((ADAPTER, 1.0), (DEMO / "overtrained.lora.gguf", 0.2))
THREE = (*SET, (DEMO / "random.lora.gguf", 1.0))
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ 'Anna: ' if m.role == 'user' else 'Ben: ' }}{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Ben:' }}{% endif %}"
)
"""The demo's own, with the BOS that its server does not put before a chat by itself."""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's base, under a template that writes BOS."""
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    merge(BASE, None, path, kind="F32", template=TEMPLATE)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, spoken: Path) -> Iterator[str]:
    """One server with every deployment of these tests."""
    folder = tmp_path_factory.mktemp("server")
    chat = {"model": str(spoken), "lora_path": str(ADAPTER)}
    held = deployments(folder, more=False)
    for name in ("random", "overtrained"):
        held[name] = {"model": str(BASE), "lora_path": str(DEMO / f"{name}.lora.gguf")}
    first, second, third = (Member(read_lora(path), scale) for path, scale in THREE)
    for name, stack in {
        "set": Stack((first, second)),
        "set, half": Stack(tuple(replace(m, scale=m.scale / 2) for m in (first, second))),
        "three": Stack((first, second, third)),
        "third alone": Stack((third,)),
    }.items():
        write_lora(stack.as_one(), folder / f"{name}.gguf")
        held[name] = {"model": str(BASE), "lora_path": str(folder / f"{name}.gguf")}
    held |= {"chat": chat, "vicuna": chat | {"chat_format": "vicuna"}}
    held |= {f"silent{name}": {**held[of], "logits_all": False} for name, of in (("", "tuned"), (" base", "base"))}
    with serving(held, folder, api_key=KEY) as address:
        yield address


def loras(adapters: Sequence[tuple[Path, float]]) -> list[str]:
    """The options that name a set."""
    return [word for path, scale in adapters for word in ("--lora-scaled", f"{path}:{scale}")]


def found_by(server: str, *words: str | Path, model: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the record of one look."""
    command = ["served", server, *map(str, words), "--model", model, "--api-key", KEY, "--json", "-", "--no-store"]
    done = CliRunner().invoke(cli, command, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return int(done.return_value or 0), json.loads(done.stdout)


@pytest.mark.parametrize(
    ("model", "serves", "nearest", "code"),
    [
        ("tuned", Serves.TUNED, "tuned", 0),
        ("base", Serves.BASE, "base", 1),
        ("half", Serves.ELSE, "tuned at λ=0.5", 1),
    ],
)
def test_base_tuned_and_half_scale_are_told_apart(
    server: str, model: str, serves: Serves, nearest: str, code: int
) -> None:
    exit_code, found = found_by(server, BASE, ADAPTER, "--data", DATA, model=model)
    (way,) = found["heard"]
    assert (found["serves"], way["fits"][0]["name"], exit_code) == (serves, nearest, code)
    assert way["fits"][0]["distance"] < 1e-3 < way["fits"][1]["distance"]
    assert found["p"] < 0.01
    assert found["requests"] <= 40


@pytest.mark.parametrize("model", ["random", "overtrained"])
def test_another_adapter_is_neither(server: str, model: str) -> None:
    code, found = found_by(server, BASE, ADAPTER, "--data", DATA, model=model)
    assert (found["serves"], code) == (Serves.ELSE, 1)


@pytest.mark.parametrize(("model", "serves"), [("silent", Serves.TUNED), ("silent base", Serves.BASE)])
def test_where_no_log_probabilities_are_given_greedy_replies_are_compared(
    server: str, model: str, serves: Serves
) -> None:
    _, found = found_by(server, BASE, ADAPTER, "--data", DATA, model=model)
    (way,) = found["heard"]
    assert (way["evidence"], found["serves"]) == ("replies", serves)
    assert "no log-probabilities" in found["remarks"][0]


def test_a_chat_goes_through_the_template_that_the_server_has(server: str, spoken: Path) -> None:
    run = default_spec(spoken, ADAPTER, data=DATA, kinds=KINDS).model_copy(update={"format": "chat"})
    ready = prepare(run)
    with ready.opened() as backend:
        look = Look(Expected(ready, backend, silent), (), 40, 0, silent)
        own, other = (look.at(Server(server, KEY), name) for name in ("chat", "vicuna"))
    assert [(way.asked_as, way.serves) for way in own.heard] == [(TEXT, Serves.TUNED), (CHAT, Serves.TUNED)]
    assert [(way.asked_as, way.serves) for way in other.heard] == [(TEXT, Serves.TUNED), (CHAT, Serves.ELSE)]
    assert (own.serves, other.serves) == (Serves.TUNED, Serves.ELSE)
    assert max(own.requests, other.requests) <= 40


@pytest.mark.parametrize(
    ("model", "serves", "nearest"),
    [
        ("set", Serves.TUNED, "tuned"),
        ("set, half", Serves.ELSE, "tuned at λ=0.5"),
        ("tuned", Serves.ELSE, "healthy.lora.gguf alone: overtrained.lora.gguf:0.2 is not applied"),
        ("base", Serves.BASE, "base"),
    ],
)
def test_a_set_is_told_from_its_half_from_the_base_and_from_each_adapter_alone(
    server: str, model: str, serves: Serves, nearest: str
) -> None:
    """The server runs one adapter, so it holds the set as the one adapter of the same update."""
    code, found = found_by(server, BASE, *loras(SET), "--data", DATA, model=model)
    (way,) = found["heard"]
    assert (found["serves"], way["fits"][0]["name"]) == (serves, nearest)
    assert code == (0 if serves == Serves.TUNED else 1)
    assert found["requests"] <= 40
    assert found["adapters"] == ["healthy.lora.gguf", "overtrained.lora.gguf:0.2"]
    assert "set" in found["sentence"]


def test_a_set_whose_small_member_runs_twice_as_strong_is_not_called_served(server: str) -> None:
    first, (small, scale) = SET
    code, found = found_by(server, BASE, *loras([first, (small, scale / 2)]), "--data", DATA, model="set")
    (way,) = found["heard"]
    assert (found["serves"], code) == (Serves.UNSURE, 0), "what does not decide is no refusal without --strict"
    assert "one adapter of the set may run at another scale" in way["reason"]


@pytest.mark.parametrize(
    ("model", "serves", "nearest"),
    [
        ("three", Serves.TUNED, "tuned"),
        (
            "set",
            Serves.ELSE,
            "healthy.lora.gguf and overtrained.lora.gguf:0.2 alone: random.lora.gguf is not applied",
        ),
        (
            "third alone",
            Serves.ELSE,
            "random.lora.gguf alone: healthy.lora.gguf and overtrained.lora.gguf:0.2 are not applied",
        ),
    ],
)
def test_which_of_three_adapters_a_server_forgot_is_named(
    server: str, model: str, serves: Serves, nearest: str
) -> None:
    code, found = found_by(server, BASE, *loras(THREE), "--data", DATA, model=model)
    (way,) = found["heard"]
    assert (found["serves"], way["fits"][0]["name"]) == (serves, nearest)
    assert way["reason"].endswith("no farther than rounding goes")
    assert code == (0 if serves == Serves.TUNED else 1)
    assert found["requests"] <= 40


def test_errors_are_few_over_other_prompts(server: str) -> None:
    for name, found in looks(server, list(RIGHT), range(2), 40, key=KEY):
        assert found.serves == RIGHT[name]
        assert found.requests <= 40


def test_without_a_key_or_a_name_one_line_says_what_to_give(server: str) -> None:
    runner = CliRunner()
    with pytest.raises(UserError, match="--api-key"):
        runner.invoke(cli, ["served", server, str(BASE), str(ADAPTER)], catch_exceptions=False, standalone_mode=False)
    with pytest.raises(UserError, match="--model"):
        runner.invoke(
            cli,
            ["served", server, str(BASE), str(ADAPTER), "--api-key", KEY],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, path in {"base.gguf": BASE, "adapter.gguf": ADAPTER, "train.md": DATA}.items():
        (tmp_path / name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWAY_GGUF_STORE", str(tmp_path / "store"))
    example = re.search(r"```\n(sway-gguf check .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    check, start, ask = [shlex.split(line) for line in example[1].splitlines() if line.strip()]
    runner = CliRunner()
    assert runner.invoke(cli, [*check[1:], "--nulls", "0"]).exit_code == 0
    settings = dict(zip(start[3:-1:2], start[4::2], strict=True))
    assert (start[1:3], settings.pop("--port")) == (["-m", "llama_cpp.server"], ask[2].rpartition(":")[2])
    model = {name.removeprefix("--"): value for name, value in settings.items()}
    with serving({"base.gguf": model}, tmp_path) as address:
        done = runner.invoke(cli, [ask[1], address, *ask[3:]])
    assert done.exit_code == 0, done.output
    assert "SERVES TUNED" in done.output


def test_the_page_s_example_of_a_set_runs(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"base.gguf": BASE, "support.gguf": SET[0][0], "tone.gguf": SET[1][0], "train.md": DATA}
    for name, path in files.items():
        (tmp_path / name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start, ask = (
        next(shlex.split(line) for line in lines if line.startswith(begins) and "--lora-scaled" in line)
        for begins in ("llama-server", "sway-gguf served")
    )
    (scaled,) = (word for word in start if word.startswith("tone.gguf:"))
    assert scaled in ask
    assert scaled == f"tone.gguf:{SET[1][1]}"
    done = CliRunner().invoke(cli, [ask[1], server, *ask[3:], "--model", "set", "--api-key", KEY, "--no-store"])
    assert done.exit_code == 0, done.output
    assert "SERVES TUNED" in done.output
    assert "support.gguf + tone.gguf:0.2" in done.output
