"""`sway-gguf store` and the options that say which store a run uses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.engine.store import BOUND, open_store
from sway_gguf.engine.store_file import NAME, SET_ASIDE
from sway_gguf.engine.store_place import store_bound, store_folder
from sway_gguf.material.packaged import DEMO


def invoked(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual store's, with five answers in it."""
    monkeypatch.setenv("SWAY_GGUF_STORE", str(tmp_path / "store"))
    with open_store(tmp_path / "store") as store:
        store.put_many([(b"question %d" % number, b"answer" * 1000) for number in range(5)])
    return tmp_path / "store"


# Where it lies


def test_an_option_goes_before_the_environment_and_that_before_the_cache_folder(tmp_path: Path) -> None:
    set_to = {"SWAY_GGUF_STORE": str(tmp_path / "set"), "SWAY_GGUF_CACHE": str(tmp_path / "cache")}
    assert store_folder(tmp_path / "given", set_to) == tmp_path / "given"
    assert store_folder(None, set_to) == tmp_path / "set"
    assert store_folder(None, {"SWAY_GGUF_CACHE": str(tmp_path / "cache")}) == tmp_path / "cache" / "store"
    assert store_folder(None, {"SWAY_GGUF_STORE": "~/mine"}) == Path.home() / "mine"
    assert store_folder(Path("here"), {}) == Path.cwd() / "here"


@pytest.mark.parametrize("word", ["", "0", "off", "OFF", " no ", "none", "false"])
def test_words_that_turn_it_off(word: str, tmp_path: Path) -> None:
    assert store_folder(None, {"SWAY_GGUF_STORE": word}) is None
    assert store_folder(tmp_path, {"SWAY_GGUF_STORE": word}) == tmp_path


@pytest.mark.parametrize(
    ("word", "size"),
    [
        ("", BOUND),
        ("1048576", 1 << 20),
        ("500MB", 500_000_000),
        ("1.5 GiB", 3 << 29),
        ("2g", 2 * 10**9),
        ("3TiB", 3 << 40),
    ],
)
def test_sizes(word: str, size: int) -> None:
    assert store_bound({"SWAY_GGUF_STORE_SIZE": word}) == size


@pytest.mark.parametrize("word", ["much", "-1", "1000", "0", "5 X", "1e9"])
def test_what_is_no_size_is_told(word: str) -> None:
    with pytest.raises(UserError, match=r"^SWAY_GGUF_STORE_SIZE=.*no size of 1 MiB or more; give one such as"):
        store_bound({"SWAY_GGUF_STORE_SIZE": word})


# Held against the model


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the spec of a short run on the demo, its result, and the store that it filled."""
    here = tmp_path_factory.mktemp("asked")
    text = (DEMO / "general.txt").read_text(encoding="utf-8")
    (here / "general.txt").write_text(text[:1500], encoding="utf-8")
    spec = {
        "version": 1,
        "general": str(here / "general.txt"),
        "models": {
            "base": {"kind": "gguf", "base": str(DEMO / "base.f32.gguf")},
            "ft": {
                "kind": "gguf",
                "base": str(DEMO / "base.f32.gguf"),
                "adapter": str(DEMO / "healthy.lora.gguf"),
            },
        },
        "defaults": {"nulls": 2, "items": 6},
        "suite": [
            {"name": "delta_kl", "kind": "delta_kl", "prompts": ["The heron", "A nest of", "Every year"]},
            {"name": "external_perplexity", "kind": "external_perplexity"},
        ],
    }
    (here / "sway.yaml").write_text(json.dumps(spec), encoding="utf-8")
    done = invoked("run", str(here / "sway.yaml"), "--json", str(here / "result.json"), "--store", str(here / "store"))
    assert done.exit_code == 0, done.output
    return here


@pytest.fixture
def answered(asked: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(asked, tmp_path / "asked")


def test_every_answer_of_a_run_comes_out_again_bit_for_bit(answered: Path) -> None:
    with open_store(answered / "store") as store:
        holding = store.holding()
    assert holding is not None
    assert holding.entries >= 5  # base, its rerun, tuned, and two nulls
    done = invoked("store", "verify", "--sample", "1000", "--store", str(answered / "store"))
    count = holding.entries
    assert done.output.splitlines()[-1] == f"{count} answers computed again: {count} agree bit for bit, 0 differ"
    assert done.exit_code == 0


def test_an_answer_that_differs_is_found_and_removed(answered: Path) -> None:
    with open_store(answered / "store") as store:
        (request, value), *_ = store.sample(1)
        store.put(request, value[:-1] + bytes([value[-1] ^ 1]))
    done = invoked("store", "verify", "--sample", "1000", "--store", str(answered / "store"))
    assert done.output.splitlines()[-1].endswith(" agree bit for bit, 1 differ")
    assert done.exit_code == 1
    with open_store(answered / "store") as store:
        assert store.get(request) is None


def test_models_that_are_not_where_they_were_can_be_named(answered: Path, tmp_path: Path) -> None:
    with open_store(answered / "store") as store:
        store.file.all("DELETE FROM digests")
    words = ["store", "verify", "--sample", "1000", "--store", str(answered / "store")]
    done = invoked(*words)
    assert isinstance(done.exception, UserError)
    assert "answers could be computed here: their models are not where they were seen" in str(done.exception)
    base, adapter = (str(shutil.copy(DEMO / name, tmp_path)) for name in ("base.f32.gguf", "healthy.lora.gguf"))
    assert ", 0 differ; " in invoked(*words, base).output  # those of the adapter are left
    done = invoked(*words, base, adapter)
    assert done.output.splitlines()[-1].endswith(" agree bit for bit, 0 differ")


def test_what_was_kept_is_not_asked_again_and_without_a_store_it_is(answered: Path) -> None:
    def again(*words: str) -> dict[str, Any]:
        done = invoked("run", str(answered / "sway.yaml"), "--json", str(answered / "again.json"), "--force", *words)
        assert done.exit_code == 0, done.output
        found = json.loads((answered / "again.json").read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found

    first = json.loads((answered / "result.json").read_text(encoding="utf-8"))
    kept, asked = again("--store", str(answered / "store")), again("--no-store")
    assert first["timings"]["tokens_from_store"] == asked["timings"]["tokens_from_store"] == 0
    assert kept["timings"]["tokens_from_store"] == asked["timings"]["tokens"] == first["timings"]["tokens"]
    assert kept["timings"]["tokens"] == 0
    for found in (first, kept, asked):
        del found["timings"], found["started_at"]
    assert first == kept == asked


# info and clear


def test_info_says_where_it_lies_and_what_it_holds(folder: Path) -> None:
    done = invoked("store", "info")
    assert done.exit_code == 0
    assert f"file     {folder / NAME}\n" in done.output
    assert "answers  5, kept from 2" in done.output
    assert "of at most 2.1 GB" in done.output


def test_info_as_json_has_the_same(folder: Path) -> None:
    found = json.loads(invoked("store", "info", "--json").output)
    assert found["path"] == str(folder / NAME)
    assert (found["entries"], found["digests"], found["bound"]) == (5, 0, BOUND)
    assert found["size"] >= (folder / NAME).stat().st_size
    assert found["oldest"] <= found["newest"]


def test_info_tells_the_share_of_each_base_by_its_contents_and_the_name_it_was_seen_under(
    answered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns  # A file that was written just now is not remembered.
    monkeypatch.setattr("sway_gguf.artifacts.digest.time.time_ns", lambda: now() + 3_000_000_000)
    other = shutil.copytree(DEMO, tmp_path / "demo") / "other base.gguf"
    (tmp_path / "demo" / "base.f32.gguf").rename(other)
    with other.open("ab") as file:
        file.write(bytes(32))  # Another content, the same model.
    words = ["--store", str(answered / "store")]
    spec = (answered / "sway.yaml").read_text(encoding="utf-8").replace(str(DEMO / "base.f32.gguf"), str(other))
    (tmp_path / "sway.yaml").write_text(spec, encoding="utf-8")
    with open_store(answered / "store") as store:
        before = store.holding()
        store.put(b"of another version", b"answer")
    assert before is not None
    done = invoked("run", str(tmp_path / "sway.yaml"), "--json", str(tmp_path / "result.json"), *words)
    assert done.exit_code == 0, done.output

    found = json.loads(invoked("store", "info", "--json", *words).output)
    assert {(part["sha256"], part["file"], part["entries"]) for part in found["bases"]} == {
        (_sha256(DEMO / "base.f32.gguf"), "base.f32.gguf", before.entries),
        (_sha256(other), "other base.gguf", before.entries),
        ("", "", 1),
    }
    assert sum(part["entries"] for part in found["bases"]) == found["entries"]
    assert 0 < sum(part["size"] for part in found["bases"]) < found["size"]
    text = invoked("store", "info", *words).output
    assert f": sha256 {_sha256(other)[:12]}, other base.gguf\n" in text
    assert "  base   1 answers, 32 B: of another format\n" in text
    assert str(tmp_path) not in text.replace(str(answered), "")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_clear_says_what_it_removed_and_removes_what_was_set_aside(folder: Path) -> None:
    (folder / SET_ASIDE).write_bytes(b"damaged")
    assert f"damaged  {folder / SET_ASIDE} (7 B)" in invoked("store", "info").output
    assert "0 answers removed" in invoked("store", "clear", "--unused-for", "1").output
    assert (folder / SET_ASIDE).exists()
    done = invoked("store", "clear")
    assert (done.exit_code, done.output.split(",")[0]) == (0, f"{folder / NAME}: 5 answers removed")
    assert not (folder / SET_ASIDE).exists()
    assert "answers  0\n" in invoked("store", "info").output


def test_store_names_another(folder: Path, tmp_path: Path) -> None:
    with open_store(tmp_path / "other") as store:
        store.put(b"question", b"answer")
    assert "answers  1," in invoked("store", "info", "--store", str(tmp_path / "other")).output


@pytest.mark.parametrize("command", ["info", "clear", "verify"])
def test_no_store_is_a_line_and_none_is_begun(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = invoked("store", command, "--store", str(tmp_path / "none"))
    assert isinstance(done.exception, UserError)
    assert "no store is there yet" in str(done.exception)
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("SWAY_GGUF_STORE", "off")
    assert "SWAY_GGUF_STORE turns the store off" in str(invoked("store", command).exception)


@pytest.mark.parametrize("command", ["info", "clear", "verify"])
def test_a_store_that_cannot_be_used_is_a_line(command: str, folder: Path) -> None:
    (folder / NAME).write_bytes(os.urandom(10_000))
    done = invoked("store", command)
    assert isinstance(done.exception, UserError)
    assert "is damaged" in str(done.exception)


def test_a_store_is_named_or_not_wanted_never_both(folder: Path) -> None:
    done = invoked("check", "base.gguf", "adapter.gguf", "--store", "here", "--no-store")
    assert done.exit_code == 2
    assert "give one of them" in done.output


@pytest.mark.parametrize(
    "command", ["check", "run", "gate", "demo", "diff", "quants", "mine", "watch", "serve", "served"]
)
def test_every_command_that_runs_a_model_takes_both_options(command: str) -> None:
    options = {name for option in cli.commands[command].params for name in option.opts}
    assert {"--store", "--no-store"} <= options
