"""Documents say what the code does."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sway_gguf.cli.main import cli
from sway_gguf.core.sections import Canary, Paraphrase, Preference, Section
from sway_gguf.material.records import LINES
from sway_gguf.material.shapes import REPLIES, REQUESTS, SHAPES, unit_of
from sway_gguf.material.tables import TABLES
from sway_gguf.spec.gate import rules_of
from sway_gguf.spec.model import FORMATS, Spec
from sway_gguf.spec.options import validated

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("script", "page"),
    [("write_probe_docs", "probes.md"), ("write_command_docs", "commands.md"), ("write_spec_docs", "spec.md")],
)
def test_a_page_that_a_script_writes_is_current(script: str, page: str) -> None:
    code = f"import sys; sys.path.insert(0, 'scripts'); from {script} import document; print(document(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert done.stdout == (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_the_readme_names_every_folder_and_links_what_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = [path for path in (ROOT / "sway_gguf").iterdir() if path.is_dir() and not path.name.startswith("_")]
    assert all(f"  {path.name}/" in text for path in folders)
    assert "docs/index.md" in text


def test_the_index_names_every_page_and_no_link_of_any_page_is_dead() -> None:
    pages = sorted((ROOT / "docs").glob("*.md"))
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert all(f"]({page.name})" in index for page in pages if page.name != "index.md")
    for page in (*pages, ROOT / "README.md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_example_of_the_page_on_data_is_read() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    records = [json.loads(line) for block in blocks for line in block.splitlines()]
    units = [unit_of(record, f"example {n}", f"example {n}") for n, record in enumerate(records, 1)]
    assert len(units) >= 20
    assert {type(unit) for unit in units} == {Section, Preference, Paraphrase, Canary}
    assert all(f'"{key}"' in text for keys, _ in SHAPES for key in keys if len(keys) != 2 or keys[0] not in REQUESTS)
    assert all(f"`{key}`" in text for key in (*REQUESTS, *REPLIES))
    assert all(f"`{ending}`" in text for ending in (*TABLES, *LINES, ".json"))
    assert all(f"`{name}`" in text for name in FORMATS)


@pytest.mark.parametrize("page", ["data.md", "spec.md"])
def test_every_spec_and_command_of_a_page_is_valid(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        model = {"base": "b.gguf", "adapter": "a.gguf"}
        spec = validated(Spec, {"models": {"base": {"base": "b.gguf"}, "ft": model}, **yaml.safe_load(block)}, page)
        rules_of(spec.gate, spec.suite)
    for command in re.findall(r"^sway-gguf (.*)$", text, re.MULTILINE):
        name, *words = shlex.split(command)
        cli.commands[name].make_context(name, words)
