"""What a start imports, and what it leaves for when it is wanted: commands, llama.cpp's classes, SciPy's statistics."""

from __future__ import annotations

import subprocess
import sys

import click

from sway_gguf.cli.commands import LINES
from sway_gguf.cli.main import cli


def printed(code: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_command_is_found_under_its_name() -> None:
    assert list(cli.commands) == list(LINES)
    for name, command in cli.commands.items():
        assert (command.name, command is cli.commands[name]) == (name, True)
        assert command.help
    assert cli.commands.get("chekc") is None


def test_a_group_takes_and_gives_up_a_command_as_clicks_own_does() -> None:
    more = click.Command("more")
    try:
        cli.add_command(more)
        assert cli.commands["more"] is more
        assert len(cli.commands) == len(LINES) + 1
    finally:
        del cli.commands["more"]
    assert "more" not in cli.commands


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from sway_gguf.cli.main import cli; sys.stdout, out = sys.stderr, sys.stdout\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print(sorted(m for m in sys.modules if m.startswith('sway_gguf.cli.')), file=out)"
    )
    assert printed(code) == str([f"sway_gguf.cli.{name}" for name in ("commands", "main", "output")])


def test_what_tries_a_file_loads_the_library_alone_and_the_package_comes_when_it_is_wanted() -> None:
    code = (
        "import sys, sway_gguf.engine.trying\n"
        "print([m for m in ('numpy', 'gguf', 'jinja2', 'llama_cpp.llama') if m in sys.modules])\n"
        "import llama_cpp, llama_cpp.llama_cpp as bindings\n"
        "from sway_gguf.engine import library\n"
        "from llama_cpp import Llama\n"
        "print(llama_cpp.llama_cpp is bindings is library.llama_cpp, Llama.__module__, bool(llama_cpp.__version__))\n"
        "bindings.llama_model_load_from_file(b'none.gguf', bindings.llama_model_default_params())\n"
        "print('none.gguf' in library.why())"
    )
    assert printed(code).splitlines() == ["[]", "True llama_cpp.llama True", "True"]


def test_a_run_does_without_scipys_statistics() -> None:
    code = "import sys, sway_gguf.suite.run, sway_gguf.probes.registry; print('scipy.stats' in sys.modules)"
    assert printed(code) == "False"
