"""What a start imports, and what it leaves for when it is wanted: commands, other packages' own code."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

from sway_gguf.cli.commands import LINES
from sway_gguf.cli.main import cli
from sway_gguf.core.put_off import put_off


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


def test_what_is_said_of_proportions_loads_none_of_scipys_statistics() -> None:
    """Their import is a tenth of a small check."""
    code = (
        "import sys; from sway_gguf.stats.binomial import more_often_p, proportion_interval\n"
        "proportion_interval(3, 10), more_often_p(3, 1, 10)\n"
        "print('scipy.special' in sys.modules, 'scipy.stats' in sys.modules)"
    )
    assert printed(code) == "True False"


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


def test_a_run_does_without_what_scipy_brings_along_and_the_packages_come_when_they_are_wanted() -> None:
    code = (
        "import sys, sway_gguf.suite.run, sway_gguf.probes.registry as registry\n"
        "print([m for m in ('scipy.special', 'numpy.f2py', 'gguf.vocab') if m in sys.modules])\n"
        "import gguf\n"
        "print(gguf.GGUFReader.__name__)\n"
        "from sway_gguf.stats.student import stdtr\n"
        "from scipy import stats\n"
        "print(stats.t.cdf(1.5, 4) == stdtr(4, 1.5))"
    )
    assert printed(code).splitlines() == ["[]", "GGUFReader", "True"]


def test_looking_into_a_gguf_adapter_imports_no_reader_of_folders() -> None:
    code = (
        "import sys, sway_gguf.artifacts.adapter, sway_gguf.artifacts.coverage\n"
        "print([m for m in ('safetensors', 'yaml', 'scipy', 'pydantic') if m in sys.modules])"
    )
    assert printed(code) == "[]"


def test_a_submodule_that_is_imported_first_leaves_the_package_whole() -> None:
    """It asks for names of the package as it is imported, and the package has names of it."""
    code = (
        "import sway_gguf.engine.library, sys, llama_cpp.llama\n"
        "print(type(sys.modules['llama_cpp']).__name__)\n"
        "from llama_cpp import Llama\n"
        "print(Llama is llama_cpp.llama.Llama, type(llama_cpp).__name__)"
    )
    assert printed(code).splitlines() == ["_PutOff", "True module"]


def test_threads_that_want_a_package_at_once_get_all_of_it() -> None:
    code = (
        "import sway_gguf.engine.library, sys, threading, llama_cpp\n"
        "sys.setswitchinterval(1e-5)\n"
        "together, found = threading.Barrier(4), []\n"
        "def want():\n"
        "    together.wait()\n"
        "    found.append(llama_cpp.Llama.__name__)\n"
        "threads = [threading.Thread(target=want) for _ in range(4)]\n"
        "for each in threads: each.start()\n"
        "for each in threads: each.join()\n"
        "print(found)"
    )
    assert printed(code) == str(["Llama"] * 4)


def test_a_package_put_off_is_a_plain_one_as_soon_as_a_name_of_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apart").mkdir()
    for name, code in {
        "__init__": "from apart.part import HALFWAY\nWHOLE = 2",
        "part": "import apart\nHALFWAY = hasattr(apart, 'WHOLE')",
        "alone": "ALONE = 1",
    }.items():
        (tmp_path / "apart" / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    ran: list[str] = []
    put_off("apart", lambda: ran.append("apart"))
    put_off("apart", lambda: ran.append("again"))
    assert (import_module("apart.alone").ALONE, ran) == (1, [])
    package = import_module("apart")
    assert (package.WHOLE, package.HALFWAY, ran) == (2, False, ["apart"])
    assert type(package) is ModuleType
    with pytest.raises(AttributeError, match="NONE"):
        _ = package.NONE
    put_off("apart.nowhere")
    assert "apart.nowhere" not in sys.modules
