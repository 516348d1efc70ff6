"""What a spec names: one walk, by which files are protected, packed, hashed and held to a served folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sway_gguf.cli.inputs import inputs_of
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import load_spec
from sway_gguf.spec.named import named_in

SPEC = """
models: {base: {base: b.gguf}, ft: {base: b.gguf, adapters: [one.gguf, {path: two.gguf, data: two.md}]}}
data: "texts/*.md"
general: [a.txt, b.txt]
format: my.jinja
engine: {embedder: e.gguf}
gate: {baseline: last.json}
suite:
  - {name: run, kind: training_drift, checkpoint: gone}
  - {name: facts, kind: calibration_drift, pack: builtin}
  - {name: more facts, kind: calibration_drift, pack: facts.jsonl}
  - {name: notes, kind: a_plugins, files: {first: [notes, nothing, folder]}}
"""


def test_every_file_of_a_spec_has_its_role(tmp_path: Path) -> None:
    (tmp_path / "sway.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "notes").write_text("Of a plugin, and by chance the name of its entry.", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    found = list(named_in(load_spec(tmp_path / "sway.yaml")))
    assert [(each.role, each.path.relative_to(tmp_path).as_posix()) for each in found if each.sure] == [
        ("base", "b.gguf"), ("adapter", "one.gguf"), ("adapter", "two.gguf"), ("embedder", "e.gguf"),
        ("data", "texts/*.md"), ("data", "two.md"), ("general", "a.txt"), ("general", "b.txt"),
        ("format", "my.jinja"), ("suite", "gone"), ("suite", "facts.jsonl"),
    ]  # fmt: skip
    assert [each.place for each in found if each.role == "suite"] == [
        (0, "checkpoint"), (2, "pack"), (3, "name"), (3, "files", "first", 0),
    ]  # fmt: skip


def test_a_template_is_an_input_and_the_baseline_may_be_made_anew(tmp_path: Path) -> None:
    (tmp_path / "sway.yaml").write_text(SPEC.replace("texts/*.md", "a.md"), encoding="utf-8")
    inputs = inputs_of(load_spec(tmp_path / "sway.yaml"))
    assert tmp_path / "my.jinja" in inputs
    assert tmp_path / "last.json" not in inputs


@pytest.mark.parametrize(("command", "option"), [("check", "--json"), ("pick", "--json"), ("init", "-o")])
def test_no_command_writes_over_the_template_that_it_was_given(tmp_path: Path, command: str, option: str) -> None:
    template = tmp_path / "my.jinja"
    template.write_text("{{ messages }}", encoding="utf-8")
    words = [command, DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", "--data", DEMO / "document.md", "--force"]
    with pytest.raises(UserError, match="an input of this command"):
        cli.main([*map(str, words), "--format", str(template), option, str(template)], standalone_mode=False)
