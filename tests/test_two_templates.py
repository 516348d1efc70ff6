"""doctor, a run and the command line on the template of training: what differs, where, and the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.result_json import schema
from sway_gguf.look.doctor import Finding, examine
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import default_spec, prepare
from tests.command_line import complaint, succeeded
from tests.test_cli import BASE, HEALTHY
from tests.test_peft import folder
from tests.test_speech import CHATML, base_with

TALK = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_with(tmp_path_factory.mktemp("chatml") / "chatml.gguf", CHATML)


def trained(path: Path, template: str | None) -> Path:
    """A PEFT folder with a template."""
    folder(path)
    if template is not None:
        (path / "chat_template.jinja").write_text(template, encoding="utf-8")
    return path


def finding(base: Path, adapter: Path | None, peft: Path | None = None) -> Finding | None:
    found = {one.name: one for one in examine(base, adapter, EngineSettings(), peft)}
    return found.get("template of training")


def test_doctor_shows_where_the_template_of_training_parts_from_the_bases(chatml: Path, tmp_path: Path) -> None:
    other = trained(tmp_path / "other", CHATML.replace("<|im_end|>", "<|end|>"))
    for found in (finding(chatml, other), finding(chatml, None, other)):
        assert found is not None
        assert found.status == "WARN"
        for words in ("4 of 4 dialogues differ", "a request from character 24", "'<|im_end|>", "'<|end|>", "tokens "):
            assert words.replace("'", "") in found.text
        assert "merge --template FILE" in found.text
        assert f"--format {other}" in found.text


def test_doctor_finds_the_same_tokens_the_same(chatml: Path, tmp_path: Path) -> None:
    same = finding(chatml, trained(tmp_path / "same", "{{ bos_token }}" + CHATML))
    assert same is not None
    assert same.status == "OK"


def test_doctor_tells_of_folders_and_bases_without_a_template(chatml: Path, tmp_path: Path) -> None:
    none = trained(tmp_path / "none", None)
    assert finding(chatml, none) is None
    found = finding(chatml, None, none)
    assert found is not None
    assert "carries no chat template" in found.text
    bare = base_with(tmp_path / "bare.gguf", None)
    found = finding(bare, None, trained(tmp_path / "some", CHATML))
    assert found is not None
    assert "the base none" in found.text
    found = finding(chatml, None, trained(tmp_path / "broken", "{% if messages %}"))
    assert found is not None
    assert (found.status, "not valid Jinja" in found.text) == ("FAIL", True)


def test_a_run_tells_of_another_template_in_the_adapters_folder(chatml: Path, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps(TALK) + "\n", encoding="utf-8")
    for template, told in ((CHATML.replace("<|im_end|>", "<|end|>"), 1), (CHATML, 0)):
        adapter = trained(tmp_path / "peft", template)
        remarks = prepare(default_spec(chatml, adapter, data=tmp_path / "d.jsonl", kinds=["applied"])).spec.remarks
        assert len([one for one in remarks if "another chat template" in one and "takes it" in one]) == told
        shutil.rmtree(adapter)


def test_the_format_on_the_command_line_is_taken_and_told(tmp_path: Path) -> None:
    out, data = tmp_path / "r.json", tmp_path / "d.jsonl"
    data.write_text(json.dumps(TALK) + "\n", encoding="utf-8")
    suite = {"suite": [{"name": "applied", "kind": "applied", "prompts": ["Hi"]}], "format": "plain"}
    models = {"base": {"base": BASE}, "ft": {"base": BASE, "adapter": HEALTHY}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"version": 1, "models": models, **suite}), encoding="utf-8")
    text = succeeded("run", str(tmp_path / "s.yaml"), "--format", "gemma", "--nulls", "0", "--json", str(out))
    record = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(record, schema())
    assert record["format"] == "the gemma template"
    assert "format   the gemma template" in text
    assert "format   plain text" in succeeded("run", str(tmp_path / "s.yaml"), "--dry-run")


def test_init_writes_the_format_into_the_spec(tmp_path: Path) -> None:
    data, spec = tmp_path / "d.jsonl", tmp_path / "out" / "s.yaml"
    data.write_text("".join(json.dumps(TALK).replace("Ho", f"Ho {n}") + "\n" for n in range(6)), encoding="utf-8")
    (tmp_path / "t.jinja").write_text(CHATML, encoding="utf-8")
    spec.parent.mkdir()
    given = ["--format", str(tmp_path / "t.jinja"), "--chat-template-kwargs", '{"enable_thinking": false}']
    succeeded("init", BASE, HEALTHY, "--data", str(data), "-o", str(spec), *given)
    written = yaml.safe_load(spec.read_text(encoding="utf-8"))
    assert (written["format"], written["template_kwargs"]) == ("../t.jinja", {"enable_thinking": False})
    assert "the chat template of" in succeeded("run", str(spec), "--dry-run")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check", BASE, HEALTHY, "--format", "chtaml"), "did you mean 'chatml'?"),
        (("check", BASE, HEALTHY, "--format", "xyzzy", "--dry-run"), "valid are: alpaca, auto, chat, chatml, gemma"),
        (("check", BASE, HEALTHY, "--format", ""), "one of auto, chat"),
        (("check", BASE, HEALTHY, "--chat-template-kwargs", "{"), "--chat-template-kwargs: not JSON"),
        (("check", BASE, HEALTHY, "--chat-template-kwargs", "[]"), "--chat-template-kwargs: a list"),
        (("check", BASE, HEALTHY, "--chat-template-kwargs", '{"messages": 1}'), "come from the dialogue"),
        (("quants", BASE, HEALTHY, "--data", str(DEMO / "document.md"), "--format", "lama3"), "did you mean 'llama3'?"),
        (("doctor", "--peft", "x"), "--peft compares with a base"),
        (("doctor", BASE, "--peft", "no-such"), "no such folder"),
    ],
)
def test_what_cannot_be_taken_is_one_line(words: tuple[str, ...], told: str) -> None:
    assert told in complaint(*words)
