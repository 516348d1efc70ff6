"""A whole run on a server, what a spec says of one, and the page: no verdict claims what needs nulls."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sway_gguf.cli.main import cli
from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.errors import UserError
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import load_spec
from sway_gguf.spec.server import with_server
from sway_gguf.suite.prepare import default_spec, prepare
from tests.llama_server import Ways, llama_server
from tests.test_server_backend import BASE_FILE, DATA, F32, engine

__all__ = ["engine"]
ROOT = Path(__file__).parents[1]

SHORT: dict[str, dict[str, Any]] = {
    "applied": {},
    "delta_kl": {},
    "adapter_ablation": {"lambdas": [0.25, 0.5, 1.5]},
    "section_internalization": {},
    "content": {},
    "external_perplexity": {"max_chunks": 5},
}
"""One probe or more of each axis that `check` looks at."""


def record(
    folder: Path, suite: dict[str, dict[str, Any]], adapter: str | Path = "healthy", url: str = ""
) -> dict[str, Any]:
    """What `run` finds with a few items, of a server where one is named; the demo's adapters go by name."""
    path = adapter if isinstance(adapter, Path) else DEMO / f"{adapter}.lora.gguf"
    base = {"base": str(BASE_FILE), **({"kind": "server", "url": url} if url else {})}
    spec = {
        "models": {"base": base, "ft": {"base": str(BASE_FILE), "adapter": str(path)}},
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


@pytest.mark.parametrize("broken", ["base", "tuned"])
def test_numbers_that_are_none_are_told_as_of_a_model_that_is_loaded_here(
    engine: LlamaBackend, broken: str, tmp_path: Path
) -> None:
    with llama_server(engine, Ways(broken=broken)) as url:
        found = record(tmp_path, SHORT, url=url)
    assert found["diagnosis"] == "broken"
    assert f"the {broken} view gave a non-finite number" in found["headline"]


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
