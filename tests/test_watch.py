"""Watching an adapter: what is whole, what is another content, what is kept, and what is run where it fails."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.stack import Adapted
from sway_gguf.cli.main import cli
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.result import Diagnosis, SuiteResult
from sway_gguf.core.result_json import from_json
from sway_gguf.core.views import View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.factory import open_backend
from sway_gguf.engine.warm import Warm
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.measure import OnProgress
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.watched import run_warm
from sway_gguf.watch.arrival import Arrival
from sway_gguf.watch.history import INDEX, History
from sway_gguf.watch.hook import Hook, words_of
from sway_gguf.watch.loop import Watch, fails

BASE = DEMO / "base.f32.gguf"
RESULT = from_json(
    (Path(__file__).parent / "results" / "v1-healthy.json").read_text(encoding="utf-8"), "v1-healthy.json"
)
SAVE = "import os, sys; open(sys.argv[1], 'w').write('|'.join([*sys.argv[2:], os.environ['SWAY_GGUF_DIAGNOSIS']]))"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    path = tmp_path / "adapter.gguf"
    shutil.copy(DEMO / "healthy.lora.gguf", path)
    return path


def test_an_adapter_is_told_once_it_is_at_rest_and_whole(adapter: Path) -> None:
    whole, digest = adapter.read_bytes(), sha256_of(adapter)
    arrival = Arrival(adapter)
    adapter.unlink()
    assert arrival.look() == ""
    assert "cannot be read" in arrival.waits_for or "No such file" in arrival.waits_for
    adapter.write_bytes(whole[: len(whole) // 2])
    assert [arrival.look(), arrival.look()] == ["", ""]
    assert "cut short" in arrival.waits_for
    adapter.write_bytes(whole)
    assert [arrival.look(), arrival.look(), arrival.look()] == ["", digest, ""]
    assert arrival.waits_for == ""


def test_a_touch_is_no_change_and_another_content_is(adapter: Path) -> None:
    arrival = Arrival(adapter)
    first = [arrival.look(), arrival.look()][1]
    os.utime(adapter, (1, 1))
    assert [arrival.look(), arrival.look(), arrival.look()] == ["", "", ""]
    shutil.copy(DEMO / "random.lora.gguf", adapter)
    second = [arrival.look(), arrival.look()][1]
    assert second not in ("", first)
    arrival.again()
    assert arrival.look() == second


def test_a_peft_folder_is_whole_with_its_config_and_its_weights(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    folder = tmp_path / "peft"
    arrival = Arrival(folder)
    assert arrival.look() == ""
    folder.mkdir()
    assert [arrival.look(), arrival.look()] == ["", ""]
    assert "adapter_config.json" in arrival.waits_for
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    assert [arrival.look(), arrival.look()] == ["", ""]
    assert "adapter_model.safetensors" in arrival.waits_for
    import numpy as np

    save_file({"a": np.zeros((2, 2), np.float32)}, folder / "adapter_model.safetensors")
    weights = (folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(weights[:-4])
    assert [arrival.look(), arrival.look()] == ["", ""]
    assert "damaged" in arrival.waits_for
    (folder / "adapter_model.safetensors").write_bytes(weights)
    assert [arrival.look(), arrival.look()] == ["", sha256_of(folder)]


def test_the_history_has_a_result_per_content_and_a_line_per_run(tmp_path: Path) -> None:
    history = History(tmp_path / "a" / "runs")
    path = history.keep("f" * 64, RESULT)
    history.keep("f" * 64, RESULT)
    assert from_json(path.read_text(encoding="utf-8"), "kept") == RESULT
    lines = (history.folder / INDEX).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["result"] for line in lines] == [path.name] * 2
    with (history.folder / INDEX).open("a") as index:
        index.write('{"at": "cut sh')
    assert History(history.folder).last == json.loads(lines[1])
    History(history.folder).keep("e" * 64, RESULT)
    assert History(history.folder).last["adapter"] == "e" * 64
    (history.folder / INDEX).write_text("something else\n")
    with pytest.raises(UserError, match="no index of results"):
        History(history.folder)


def test_a_path_of_windows_keeps_its_backslashes_and_loses_its_quotes() -> None:
    assert words_of(r'"C:\Program Files\tell.exe" {result} C:\a', escape="") == [
        r"C:\Program Files\tell.exe", "{result}", r"C:\a",
    ]  # fmt: skip
    assert words_of(r"a\ b '#c' #d", escape="\\") == ["a b", "#c", "#d"]


def test_the_hook_gets_its_words_whole_and_no_shell(tmp_path: Path) -> None:
    script, out = tmp_path / "hook.py", tmp_path / "out"
    script.write_text(SAVE)
    values = {"result": "a b; $(touch x)", "diagnosis": "noise", "adapter": "*"}
    hook = Hook(f'"{sys.executable}" "{script}" "{out}" {{result}} x{{result}} {{adapter}} ";"'.replace("\\", "/"))
    assert hook.run(values) == ""
    assert out.read_text() == "a b; $(touch x)|x{result}|*|;|noise"
    assert "ended with code 3" in Hook(f'"{sys.executable}" -c "raise SystemExit(3)"').run(values)
    assert "cannot be run" in Hook("no-such-command-here").run(values)
    for wrong in ("", "'open"):
        with pytest.raises(UserError, match="--on-fail"):
            Hook(wrong)


@pytest.mark.parametrize("diagnosis", list(Diagnosis))
def test_what_fails_is_neither_healthy_nor_inconclusive(diagnosis: Diagnosis) -> None:
    expected = diagnosis not in ("healthy", "inconclusive")
    assert fails(replace(RESULT, diagnosis=diagnosis)) == expected


class EndOfTestError(Exception):
    """Ends a watch that goes on for ever."""


def test_what_changed_meanwhile_is_tested_again_and_only_the_last_is_kept(tmp_path: Path, adapter: Path) -> None:
    tested: list[str] = []
    told: list[str] = []
    notes: list[str] = []
    slept = 0

    def test(prepared: Prepared) -> SuiteResult:
        tested.append(prepared.adapter_hash)
        if len(tested) == 1:
            shutil.copy(DEMO / "random.lora.gguf", adapter)
        return RESULT

    def sleep(_: float) -> None:
        nonlocal slept
        slept += 1
        if slept == 8:
            raise EndOfTestError

    history = History(tmp_path / "runs")
    spec = default_spec(BASE, adapter, kinds=["applied"])
    watch = Watch(spec, history, test, lambda result, path, before: told.append(path.name), notes.append)
    with pytest.raises(EndOfTestError):
        watch.run(sleep=sleep)
    random = sha256_of(DEMO / "random.lora.gguf")
    assert tested == [sha256_of(DEMO / "healthy.lora.gguf"), random]
    assert told == [f"{random[:16]}.json"]
    assert any("changed while it was tested" in note for note in notes)


def test_a_warm_backend_swaps_adapters_and_loads_again_what_changed(tmp_path: Path) -> None:
    """The base stays loaded over two adapters, and gives what a backend opened for the second alone gives."""
    from sway_gguf.engine.llama_backend import LlamaBackend

    path = tmp_path / "base.gguf"
    shutil.copy(BASE, path)
    settings, warm = EngineSettings(), Warm()

    def backend(name: str) -> LlamaBackend:
        adapter = read_lora(DEMO / f"{name}.lora.gguf")
        found = warm.backend(read_base(path), adapter, sha256_of(adapter.path), settings)
        assert isinstance(found, LlamaBackend)
        return found

    def asked(opened: LlamaBackend) -> list[float]:
        found = []
        for door in (opened.as_base(), opened.as_finetuned(), opened.as_null_adapter(1, design="rotation")):
            with door as view:
                found.append(view.logprob_of("The king", " said"))
        return found

    first = backend("healthy")
    healthy = asked(first)
    assert backend("healthy") is first
    assert backend("random") is first
    random = asked(first)
    with LlamaBackend(path, DEMO / "random.lora.gguf", settings) as alone:
        assert random == asked(alone)
    assert random[0] == healthy[0]
    assert random[1] != healthy[1]
    assert asked(backend("healthy")) == healthy
    os.utime(path, (1, 1))
    assert backend("healthy") is not first
    warm.drop()


def test_what_a_run_leaves_halfway_is_loaded_anew_and_what_asks_nothing_loads_nothing() -> None:
    opened = []

    def opens(base: BaseModel, adapter: Adapted, settings: EngineSettings) -> DoorBackend:
        opened.append(base)
        return open_backend(base, adapter, settings)

    def spec(kind: str) -> Prepared:
        files = BASE, DEMO / "healthy.lora.gguf"
        return prepare(default_spec(*files, defaults=Defaults(nulls=0), kinds=[kind]))

    def silent(least: int, most: int) -> AbstractContextManager[OnProgress]:
        return nullcontext(lambda view, tokens: None)

    @contextmanager
    def stopped(least: int, most: int) -> Iterator[OnProgress]:
        assert 0 < least <= most
        yield interrupt

    def interrupt(view: View, tokens: int) -> None:
        raise KeyboardInterrupt

    warm, loads = Warm(opens), []
    for kind, watching in (("adapter_health", silent), ("applied", silent), ("applied", stopped), ("applied", silent)):
        with pytest.raises(KeyboardInterrupt) if watching is stopped else nullcontext():
            run_warm(spec(kind), warm, watching)
        loads.append(len(opened))
    warm.drop()
    assert loads == [0, 1, 1, 2]


def test_watch_once_tests_keeps_and_runs_the_command_where_it_fails(tmp_path: Path, adapter: Path) -> None:
    shutil.copy(DEMO / "zero.lora.gguf", adapter)
    script, out = tmp_path / "hook.py", tmp_path / "out"
    script.write_text(SAVE)
    hook = f'"{sys.executable}" "{script}" "{out}" {{diagnosis}} {{result}}'
    spec = tmp_path / "sway.yaml"
    models = f"base: {{kind: gguf, base: '{BASE}'}}, ft: {{kind: gguf, base: '{BASE}', adapter: adapter.gguf}}"
    spec.write_text(
        f"version: 1\nmodels: {{{models}}}\ndefaults: {{nulls: 0, items: 5}}\n"
        "suite:\n- {name: applied, kind: applied}\n"
    )
    runs = str(tmp_path / "runs")
    words = ["watch", str(spec), "--once", "--every", "0.05s", "--history", runs, "--on-fail", hook]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    kept = tmp_path / "runs" / f"{sha256_of(adapter)[:16]}.json"
    assert done.stdout == f"no-op: {kept}\n"
    assert out.read_text() == f"no-op|{kept}|no-op"


def test_an_adapter_alone_needs_its_base(adapter: Path) -> None:
    done = CliRunner().invoke(cli, ["watch", str(adapter), "--once"])
    assert isinstance(done.exception, UserError)
    assert "--base FILE" in str(done.exception)


def test_what_no_adapter_would_mend_is_told_at_once(tmp_path: Path) -> None:
    """The adapter may come later; data, base and suite have to be there, or the watch would wait for ever."""
    wrong = {
        "none.md": ["later.gguf", "--base", str(BASE), "--data", "none.md"],
        "none.gguf": ["later.gguf", "--base", "none.gguf"],
        "format 'none'": ["later.gguf", "--base", str(BASE), "--format", "none"],
    }
    for said, words in wrong.items():
        done = CliRunner().invoke(cli, ["watch", *words, "--history", str(tmp_path / "runs"), "--no-store"])
        assert isinstance(done.exception, UserError)
        assert said in str(done.exception)
