"""Every command on the page about files runs, in order, on the demo."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sway_gguf.material.packaged import DEMO
from tests.command_line import spoken
from tests.short import DOCUMENT
from tests.test_importance import for_demo
from tests.test_mlx import mlx_folder
from tests.test_training_folder import run_folder

PAGE = Path(__file__).parents[1] / "docs" / "files.md"


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A folder that holds what the page names."""
    for name, source in (
        ("base.gguf", "base.f32.gguf"),
        ("adapter.gguf", "healthy.lora.gguf"),
    ):
        shutil.copy(DEMO / source, tmp_path / name)
    shutil.copy(DOCUMENT, tmp_path / "train.md")
    mlx_folder(tmp_path / "mlx-adapter")
    run_folder(tmp_path / "run", (20, 40))
    for_demo(tmp_path / "imatrix.gguf")
    return tmp_path


def test_every_command_of_the_page_runs_and_says_what_it_says(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8")
    said = ""
    monkeypatch.chdir(held)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SWAY_GGUF_STORE", str(held / "store"))
    for line in re.findall(r"^sway-gguf (.*)$", text, re.MULTILINE):
        done = spoken(*shlex.split(line))
        assert done.returncode == 0, (line, done.stderr)
        said += done.stdout
    words = " ".join(said.split())
    shown = [block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if block.startswith("  merged")]
    assert len(shown) == 1
    assert " ".join(shown[0].split()) in words
    assert "took checkpoint-40, the last; of 2 adapters in it (checkpoint-20 to checkpoint-40)" in words
    assert (held / "Modelfile").read_text(encoding="utf-8").startswith("# By sway-gguf merge")
    assert "IQ2_XS merged" in words
