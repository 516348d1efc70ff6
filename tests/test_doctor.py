"""doctor: one finding per question, and a way out where something is not well."""

from __future__ import annotations

import json
import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.look.doctor import Finding, examine, features
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import finish, spoiled
from tests.command_line import spoken, succeeded
from tests.test_cli import BASE, HEALTHY


def findings(base: Path | None, adapter: Path | None = None, **settings: int) -> dict[str, Finding]:
    return {found.name: found for found in examine(base, adapter, EngineSettings(**settings))}  # type: ignore[arg-type]


def test_the_demo_is_well() -> None:
    found = findings(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf")
    assert {one.status for one in found.values()} == {"OK"}
    assert {
        "build",
        "device",
        "base",
        "memory",
        "vocabulary",
        "chat template",
        "tokenizer",
        "adapter",
        "numbers",
    } <= set(found)
    assert "21 modules" in found["adapter"].text


def test_without_files_it_tells_of_the_build() -> None:
    assert set(findings(None)) == {"build", "device"}


def test_an_adapter_that_cannot_run_fails_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(DEMO / "healthy.lora.gguf"), 0), tmp_path / "nan.gguf")
    for adapter, words in ((tmp_path / "nan.gguf", "diverged"), (DEMO / "base.f32.gguf", "swap the two files")):
        found = findings(DEMO / "base.f32.gguf", adapter)
        assert found["adapter"].status == "FAIL"
        assert words in found["adapter"].text
        assert found["tokenizer"].status == "OK"


def test_more_threads_than_processors_warn() -> None:
    more = (os.cpu_count() or 1) + 1
    assert findings(DEMO / "base.f32.gguf", threads=more)["threads"].status == "WARN"


def model(path: Path, template: str | None, rows: int = 3, add_bos: bool = True) -> Path:
    """A base whose header is all there is."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list(["<s>", "</s>", "a"])
    writer.add_bos_token_id(0)
    writer.add_add_bos_token(add_bos)
    if template:
        writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", np.zeros((rows, 8), np.float32))
    return finish(writer, path)


@pytest.mark.parametrize(
    ("template", "name", "status", "words"),
    [
        (None, "chat template", "WARN", "none in the file"),
        ("{% if %}", "chat template", "FAIL", "not valid Jinja"),
        ("{{ bos_token }}{{ messages[0].content }}", "beginning of text", "WARN", "it stands once, mind other tools"),
        ("{{ messages[0].content }}", "beginning of text", "OK", "BOS stands once"),
    ],
)
def test_templates_and_bos(tmp_path: Path, template: str | None, name: str, status: str, words: str) -> None:
    found = findings(model(tmp_path / "b.gguf", template))
    assert (found[name].status, found["loading"].status) == (status, "FAIL")
    assert words in found[name].text


@pytest.mark.parametrize(("rows", "status"), [(3, "OK"), (8, "OK"), (2, "FAIL")])
def test_vocabulary_against_weights(tmp_path: Path, rows: int, status: str) -> None:
    assert findings(model(tmp_path / "b.gguf", None, rows))["vocabulary"].status == status


def test_the_command_exits_with_one_where_something_fails() -> None:
    assert "noise floor" in succeeded("doctor", BASE, HEALTHY)
    done = spoken("doctor", BASE, BASE, "--json")
    assert done.returncode == 1
    assert {found["status"] for found in json.loads(done.stdout)} == {"OK", "FAIL"}


def test_what_the_build_can_do_is_told_in_words() -> None:
    assert features("CUDA : ARCHS = 900 | CPU : SSE3 = 1 | AVX = 1 | REPACK = 1 | ") == (
        "CUDA: ARCHS = 900, CPU: SSE3, AVX, REPACK"
    )
