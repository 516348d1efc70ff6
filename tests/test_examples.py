"""The example of every command's --help does what it says, on the demo's files under the names that stand there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from sway_gguf.cli.main import cli
from sway_gguf.cli.store import store
from sway_gguf.material.packaged import DEMO
from tests.short import DOCUMENT
from tests.test_peft import folder

FAST = ["--nulls", "5"]
NOTES = ["--general", "notes.txt"]
MORE = {
    "check": FAST, "pick": FAST, "run": FAST, "gate": FAST, "watch": [*FAST, *NOTES, "--once"], "sweep": FAST,
    "diff": ["--nulls", "0", *NOTES], "quants": ["--types", "F16"],
}  # fmt: skip
"""What keeps an example short, or lets it end; an option's last value counts."""
PARSED = {
    "demo": "tests/test_cli.py runs it",
    "serve": "it runs until it is stopped; tests/test_serve.py runs it",
    "served": "it asks a running server; tests/test_served_server.py starts one",
}
"""Examples whose options are checked and that are run elsewhere."""


def examples() -> list[tuple[str, list[str]]]:
    """(command, its words) of every example."""
    found = []
    for name, command in [*cli.commands.items(), *(("store", part) for part in store.commands.values())]:
        for line in re.findall(r"sway-gguf (.+?)(?:, or |$|;|\n)", command.epilog or ""):
            words = shlex.split(line)
            assert words[0] == name
            found.append((name, words[: words.index(">")] if ">" in words else words))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the examples name."""
    here = tmp_path_factory.mktemp("examples")
    for name in ("base.gguf", "base.F16.gguf", "base.Q4_K_M.gguf"):
        shutil.copy(DEMO / "base.f32.gguf", here / name)
    for name in ("adapter.gguf", "a.gguf"):
        shutil.copy(DEMO / "healthy.lora.gguf", here / name)
    shutil.copy(DEMO / "overtrained.lora.gguf", here / "b.gguf")
    shutil.copy(DEMO / "preferences.jsonl", here / "train.jsonl")
    shutil.copy(DOCUMENT, here / "train.md")
    shutil.copy(DEMO / "general.txt", here / "notes.txt")
    (here / "prompts.txt").write_text("The heron\nA nest of\nEvery year\n", encoding="utf-8")
    folder(here / "my-adapter")
    (here / "models").mkdir()
    (here / "sweep.yaml").write_text("bases: [base.gguf]\nadapters: [adapter.gguf]\nsuites: [sway.yaml]\n", "utf-8")
    (here / "sway.yaml").write_text(
        "version: 1\n"
        "models: {base: {kind: gguf, base: base.gguf}, ft: {kind: gguf, base: base.gguf, adapter: adapter.gguf}}\n"
        "data: train.md\ngeneral: notes.txt\ndefaults: {items: 6}\n"
        "suite:\n  - {name: applied, kind: applied}\n  - {name: delta_kl, kind: delta_kl}\n"
        "  - {name: section_internalization, kind: section_internalization}\n"
        "  - {name: external_perplexity, kind: external_perplexity}\n",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("SWAY_GGUF_STORE", "store")
        words = ["run", "sway.yaml", "--json", "result.json", "--trace", "run.trace.jsonl", *FAST]
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
        for words in (
            ["pack", "sway.yaml", "result.json", "-o", "run.sway.zip"],
            ["merge", "base.gguf", "adapter.gguf", "-o", "merged.gguf"],
        ):
            done = CliRunner().invoke(cli, words)
            assert done.exit_code == 0, done.output
    for name in ("before.json", "after.json", "last.json"):
        shutil.copy(here / "result.json", here / name)
    return here


def placed(file: str, target: str) -> str:
    """No command writes into a GGUF that is there: every example has the same ones, and a folder of its own."""
    (os.link if file.endswith(".gguf") else shutil.copy2)(file, target)
    return target


def test_every_command_has_an_example() -> None:
    assert {name for name, _ in examples()} == set(cli.commands)


@pytest.mark.parametrize(("name", "words"), examples(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_example_does_what_it_says(name: str, words: list[str], place: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shutil.copytree(place, tmp_path / "place", copy_function=placed))
        if name == "store":
            patch.setenv("SWAY_GGUF_STORE", "store")
        if name in PARSED:
            cli.commands[name].make_context(name, words[1:])
            return
        if "-o" in words:
            Path(words[words.index("-o") + 1]).unlink(missing_ok=True)
        done = CliRunner().invoke(cli, [*words, *MORE.get(name, [])], catch_exceptions=False)
    assert done.exit_code == 0, done.output
