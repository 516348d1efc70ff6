"""What other tools read of this repository: the action, the example workflow, the hook; and completion in shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from sway_gguf import __version__
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.prepare import quick_suite

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / "examples" / "github" / "adapter.yml"
CITATION = ROOT / "CITATION.cff"


def read(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("schema", "path"),
    [("github-actions", ACTION), ("github-workflows", WORKFLOW), ("citation-file-format", CITATION)],
    ids=["action", "workflow", "citation"],
)
def test_what_others_read_fits_their_schemas(schema: str, path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_is_of_this_version_and_under_this_licence() -> None:
    cited = read(CITATION)
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (cited["cff-version"], cited["version"], cited["license"]) == ("1.2.0", __version__, package["license"])
    assert package["version"] == __version__
    (author,) = cited["authors"]
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert author["name"].removeprefix("The ") in licence
    assert licence.startswith(f"{cited['license']} License")
    assert "CITATION.cff" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_script_of_the_action_holds_an_expression() -> None:
    for step in read(ACTION)["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "${{" not in step.get("with", {}).get("script", "")
        assert "run" not in step or step["shell"] == "bash"


def test_the_workflow_gives_inputs_that_the_action_has_and_all_are_used() -> None:
    inputs = read(ACTION)["inputs"]
    step = next(step for step in read(WORKFLOW)["jobs"]["gate"]["steps"] if step["uses"] == "./")
    assert step["with"].keys() <= inputs.keys()
    text = ACTION.read_text(encoding="utf-8")
    assert all(re.search(rf"inputs\.{name}\b", text) for name in inputs)
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in inputs if name != "token")


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="no bash")
@pytest.mark.parametrize(
    ("given", "words", "code"),
    [
        ({"SPEC": "a b;$(x).yaml", "REQUIRE": "signal"}, ["--require", "signal", "--", "a b;$(x).yaml"], 1),
        ({"BASE": "b'.gguf", "ADAPTER": "a.gguf", "STRICT": "true"}, ["--strict", "--", "SPEC"], 1),
        ({}, None, 2),
    ],
    ids=["a spec", "files", "nothing"],
)
def test_the_actions_script_passes_names_as_they_are(
    tmp_path: Path, given: dict[str, str], words: list[str] | None, code: int
) -> None:
    folder, output = tmp_path / "out", tmp_path / "outputs"
    folder.mkdir()
    (folder / "result.json").write_text("of an earlier step", encoding="utf-8")
    for name, text in {
        "sway-gguf": 'printf "%s\\n" "$@" >"$FOLDER/words"; exit 1',
        "python": 'exec "$REAL" "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | given | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "FOLDER": str(folder), "GITHUB_OUTPUT": str(output),
        "REAL": sys.executable, "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    subprocess.run(["bash", str(ROOT / "scripts" / "action_gate.sh")], env=environment, check=True, cwd=tmp_path)
    assert output.read_text().splitlines() == [f"exit-code={code}"]
    if words is None:
        return
    spec = str(folder / "sway.yaml")
    said = (folder / "words").read_text().splitlines()
    assert said[0] == "gate"
    assert said[9:] == [spec if word == "SPEC" else word for word in words]
    if "BASE" in given:
        found = load_spec(Path(spec))
        assert found.models.base.base == tmp_path / "b'.gguf"
        assert found.suite == quick_suite()


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_comment_is_written_once_and_edited_after_that(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    report.write_text("<!-- sway-gguf -->\n## healthy\n", encoding="utf-8")
    code = """
        const said = [], there = [{ id: 1, user: { type: "User" }, body: "> <!-- sway-gguf -->" }];
        const issues = {
          listComments: "list",
          createComment: async (what) => {
            said.push("create");
            there.push({ id: 2, user: { type: "Bot" }, body: what.body });
          },
          updateComment: async (what) => said.push("update " + what.comment_id),
        };
        const github = { rest: { issues }, paginate: async () => there };
        const context = { repo: { owner: "o", repo: "r" }, payload: { pull_request: { number: 7 } } };
        const write = require(process.argv[1]);
        (async () => {
          const core = { warning: (line) => said.push(line) };
          for (let run = 0; run < 2; run++) await write({ github, context, core });
          console.log(said.join("; "));
        })();
    """
    command = ["node", "-e", code, str(ROOT / "scripts" / "action_comment.js")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"REPORT": str(report)})
    assert done.stdout.strip() == "create; update 2"


def test_the_hook_is_valid_and_takes_the_files_it_is_for() -> None:
    path = ROOT / ".pre-commit-hooks.yaml"
    pytest.importorskip("pre_commit")
    done = subprocess.run([sys.executable, "-m", "pre_commit", "validate-manifest", str(path)], capture_output=True)
    assert done.returncode == 0, done.stdout
    (hook,) = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = ("m/a.gguf", "a/adapter_config.json", "adapter_model.safetensors", "sway.yaml", "x/my.sway.yml")
    assert all(re.search(hook["files"], name) for name in wanted)
    assert not any(re.search(hook["files"], name) for name in ("README.md", "ci.yaml", "x.gguf.txt", "config.json"))


def completing(shell: str, instruction: str, **variables: str) -> str:
    code = "import sys; sys.argv[0] = 'sway-gguf'; from sway_gguf.cli.start import main; main()"
    environment = os.environ | {"_SWAY_GGUF_COMPLETE": f"{shell}_{instruction}"} | variables
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_subcommands_and_options(shell: str) -> None:
    page = (ROOT / "docs" / "completion.md").read_text(encoding="utf-8")
    assert f"_SWAY_GGUF_COMPLETE={shell}_source sway-gguf" in page
    source = completing(shell, "source")
    assert "_SWAY_GGUF_COMPLETE" in source
    assert f"{shell}_complete" in source
    last = {"fish": "che"}.get(shell, "1")
    assert "check" in completing(shell, "complete", COMP_WORDS="sway-gguf che", COMP_CWORD=last)
    last = {"fish": "--bud"}.get(shell, "2")
    assert "--budget" in completing(shell, "complete", COMP_WORDS="sway-gguf check --bud", COMP_CWORD=last)
