"""`sway-gguf sweep` on the demo's model: the page's example, errors, two starts, shards, workers, a kill."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.cli.main import cli
from sway_gguf.fleet.table import read_rows
from tests.sweep_files import demo_files, sweep_file

PAGE = Path(__file__).parents[1] / "docs" / "sweep.md"
SMALL: dict[str, Any] = {"suites": ["small.yaml"]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with the demo's files, in which commands run."""
    demo_files(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        yield tmp_path


def command(*words: str) -> Result:
    return CliRunner().invoke(cli, ["sweep", *words], catch_exceptions=False)


def alone(record: Path) -> dict[str, Any]:
    """A result without what differs between equal runs, on other numbers of threads."""
    found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name not in ("started_at", "timings", "engine")}


def test_the_example_of_the_page_runs(place: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    few = example.replace("items: 16", "items: 2, prompts: 2, nulls: 0")
    (place / "sweep.yaml").write_text(few, encoding="utf-8")
    (place / "out").mkdir()
    shutil.copy(place / "good.gguf", place / "out" / "checkpoint-20.gguf")
    shutil.copy(place / "base.gguf", place / "base.Q8_0.gguf")
    with (place / "base.Q8_0.gguf").open("ab") as file:
        file.write(b"\0")  # another file by its content
    plain = re.findall(r"^sway-gguf sweep (sweep.yaml.*)$", text, re.MULTILINE)
    planned, done = (command(*shlex.split(words)) for words in plain[:2])
    assert planned.exit_code == done.exit_code == 0, planned.output + done.output
    assert "4 cells, 4 to measure" in planned.output
    assert "4 cells: " in done.output
    assert "out/checkpoint-20.gguf × 0.5" in done.output
    assert re.search(r"lift \+[0-9.]+, general", done.output)
    for words in re.findall(r"^sway-gguf sweep (.*)$", text, re.MULTILINE)[2:]:
        name, *rest = shlex.split(words.replace("$SLURM_ARRAY_TASK_ID", "3"))
        sweep = cli.commands["sweep"]
        part = sweep.commands["merge" if name == "merge" else "run"]  # type: ignore[attr-defined]
        part.make_context("sweep", rest if name == "merge" else [name, *rest])
    folder = place / "sweep-results"
    assert {path.name for path in folder.iterdir()} >= {"table.jsonl", "grid.html", "cells"}
    page = (folder / "grid.html").read_text(encoding="utf-8")
    assert all(row.result in page for row in read_rows(folder))


def test_what_cannot_be_measured_is_an_error_and_the_rest_is_measured(place: Path) -> None:
    (place / "wrong.gguf").write_bytes((place / "good.gguf").read_bytes()[:4000])
    sweep_file(place, bases=["base.gguf", "gone.gguf"], adapters=["wrong.gguf", "good.gguf"], **SMALL)
    done = command("sweep.yaml")
    assert done.exit_code == 1
    assert "4 cells:" in done.output
    assert "3 ERROR" in done.output
    rows = {(row.base, row.adapter): row for row in read_rows(place / "sweep-results")}
    assert rows["base.gguf", "good.gguf"].axes["applied"] == "PASS"
    assert "gone.gguf" in rows["gone.gguf", "good.gguf"].headline
    assert "wrong.gguf" in rows["base.gguf", "wrong.gguf"].headline
    shutil.copy(place / "zero.gguf", place / "wrong.gguf")
    shutil.copy(place / "base.gguf", place / "gone.gguf")
    with (place / "gone.gguf").open("ab") as file:
        file.write(b"\0")
    again = command("sweep.yaml")
    assert again.exit_code == 0, again.output
    assert "1 of 4 cells were measured before" in again.output


def test_a_cell_is_the_run_that_the_run_command_makes(place: Path) -> None:
    sweep_file(place, seeds=[4], **SMALL)
    assert command("sweep.yaml").exit_code == 0
    suite = (place / "small.yaml").read_text(encoding="utf-8")
    suite = suite.replace("base: none.gguf", "base: base.gguf").replace("adapter: none.gguf", "adapter: good.gguf")
    (place / "own.yaml").write_text(suite.replace("nulls: 0", "nulls: 0, seed: 4"), encoding="utf-8")
    done = CliRunner().invoke(cli, ["run", "own.yaml", "--json", "own.json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (row,) = read_rows(place / "sweep-results")
    assert alone(place / "sweep-results" / row.result) == alone(place / "own.json")


def test_an_adapter_at_another_scale_is_one_of_another_alpha(place: Path) -> None:
    from gguf import GGUFWriter

    from sway_gguf.artifacts.gguf_file import GGUFFile
    from tests.artifact_files import finish

    good = GGUFFile(place / "good.gguf")
    writer = GGUFWriter(place / "half.gguf", good.architecture)
    copy_metadata(good, writer, lambda key: key not in ("general.architecture", "adapter.lora.alpha"))
    writer.add_float32("adapter.lora.alpha", float(good.get("adapter.lora.alpha")) / 2)
    for name in good.tensors:
        writer.add_tensor(name, good.read(name).copy())
    finish(writer, place / "half.gguf")
    sweep_file(place, adapters=["good.gguf", "half.gguf"], scales=[0.5, 1.0], **SMALL)
    assert command("sweep.yaml").exit_code == 0
    values = {(row.adapter, row.scale): row.values["applied"] for row in read_rows(place / "sweep-results")}
    assert values["good.gguf", 0.5] == pytest.approx(values["half.gguf", 1.0], rel=1e-6)
    assert values["half.gguf", 0.5] < values["good.gguf", 0.5] < values["good.gguf", 1.0]


def test_shards_are_joined_to_the_whole_sweep(place: Path) -> None:
    sweep_file(place, adapters=["good.gguf", "zero.gguf"], **SMALL)
    for part in ("1/2", "2/2"):
        done = command("sweep.yaml", "--shard", part, "--results", "out")
        assert done.exit_code == 0, done.output
        assert not (place / "out" / "grid.html").exists()
    joined = command("merge", "out")
    assert joined.exit_code == 0, joined.output
    assert "2 cells:" in joined.output
    assert (place / "out" / "grid.html").exists()
    assert len((place / "out" / "table.jsonl").read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "2", "--scheduler", "tcp://h:1"], "give one of them"),
        (["--workers", "2", "--shard", "1/2"], "--shard is for machines without Dask"),
        (["--shard", "0/2"], "no part"),
        (["--shard", "3/2"], "no part"),
    ],
)
def test_options_that_do_not_go_together_are_told(place: Path, words: list[str], told: str) -> None:
    sweep_file(place, **SMALL)
    done = CliRunner().invoke(cli, ["sweep", "sweep.yaml", *words])
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())
    assert not (place / "sweep-results").exists()


def test_without_dask_one_line_says_how_to_get_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sway_gguf.core.errors import UserError
    from sway_gguf.fleet import dask_quiet

    monkeypatch.setattr(dask_quiet, "find_spec", lambda name: None)
    sweep_file(place, **SMALL)
    with pytest.raises(UserError, match=r"pip install 'sway-gguf\[fleet\]'"):
        command("sweep.yaml", "--workers", "2")


def started(place: Path, *words: str) -> subprocess.Popen[str]:
    """The command in a process of its own, at a terminal's group of its own."""
    program = [sys.executable, "-c", "from sway_gguf.cli.start import main; main()", "sweep", *words]
    at = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    return subprocess.Popen(
        program, cwd=place, env=os.environ | {"PYTHONPATH": at}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_workers_measure_what_one_process_does_and_say_nothing_else(place: Path) -> None:
    pytest.importorskip("distributed")
    sweep_file(place, adapters=["good.gguf", "zero.gguf"], **SMALL)
    done = started(place, "sweep.yaml", "--workers", "2", "--results", "two")
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, out + err
    lines = err.splitlines()
    assert lines[0] == "sway-gguf: starting 2 workers"
    assert [line.partition("  ")[0] for line in lines[1:]] == ["1/2", "2/2"]
    assert len({row.worker for row in read_rows(place / "two")}) == 2
    assert command("sweep.yaml", "--results", "one").exit_code == 0
    for row in read_rows(place / "one"):
        assert alone(place / "one" / row.result) == alone(place / "two" / row.result)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_sweep_that_is_ended_goes_on_where_it_was(place: Path) -> None:
    sweep_file(place, seeds=list(range(9)), **SMALL)
    table, before = place / "sweep-results" / "table.jsonl", 0
    for number in (signal.SIGTERM, signal.SIGKILL):
        running = started(place, "sweep.yaml")
        until = time.monotonic() + 60
        while not (table.exists() and table.read_bytes().count(b"\n") > before) and time.monotonic() < until:
            time.sleep(0.01)
        os.killpg(running.pid, number)
        _, err = running.communicate(timeout=30)
        assert "Traceback" not in err
        if number == signal.SIGTERM:
            assert running.returncode == 143
            assert err.endswith("sway-gguf: stopped; nothing half-written is left\n")
        assert before < len(read_rows(place / "sweep-results")) < 9
        before = len(read_rows(place / "sweep-results"))
    again = command("sweep.yaml")
    assert again.exit_code == 0, again.output
    assert f"{before} of 9 cells were measured before" in again.output
    assert len(read_rows(place / "sweep-results")) == 9
