"""Commands that are printed work when they are pasted: started as this one was, and quoted for a shell."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sway_gguf.cli.pasted import pasted


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the command's name in a virtual environment below the working folder, which no shell looks into."""
    found = tmp_path / ".venv" / "bin" / "sway-gguf"
    found.parent.mkdir(parents=True)
    found.write_text(f"#!{sys.executable}\nimport sys\nfrom sway_gguf.cli.pasted import pasted\nprint(pasted('run'))\n")
    found.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="a file with #! is no program there")
def test_what_a_process_prints_starts_it_again(program: Path) -> None:
    typed = ".venv/bin/sway-gguf"
    said = subprocess.run([typed], capture_output=True, text=True, check=True).stdout.strip()
    assert said == f"{typed} run"
    assert subprocess.run(said, shell=True, capture_output=True, text=True, check=True).stdout.strip() == said


def test_the_bare_name_stands_where_a_shell_finds_it(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert pasted("demo") == f"{program} demo"
    monkeypatch.setenv("PATH", str(program.parent))
    assert pasted("demo") == "sway-gguf demo"


def test_a_module_is_started_as_one(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/lib/sway_gguf/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(program.with_name("python3")))
    assert pasted("demo") == ".venv/bin/python3 -m sway_gguf demo"


def test_words_are_quoted_and_paths_are_given_from_here(program: Path) -> None:
    here = program.parents[2]
    said = pasted("run", here / "my suite.yaml", Path("/elsewhere/it's.yaml"))
    assert said == """sway-gguf run 'my suite.yaml' '/elsewhere/it'"'"'s.yaml'"""
    assert shlex.split(said)[2:] == ["my suite.yaml", "/elsewhere/it's.yaml"]
