"""Outputs never cost a file: inputs, specs, models, devices and others' files stay; a result is always somewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from stat import S_ISFIFO

import pytest

from sway_gguf.cli.held import held_by
from sway_gguf.cli.saving import Output, check_outputs, deliver, rescued
from sway_gguf.core.errors import UserError
from sway_gguf.material.packaged import DEMO
from tests.command_line import COMMAND, complaint, refused, spoken
from tests.test_cli import BASE, HEALTHY

POSIX = pytest.mark.skipif(os.name != "posix", reason="links and devices")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Everything that a command reads, in a folder of its own, with a spec that names it."""
    for name in ("base.f32.gguf", "healthy.lora.gguf", "document.md", "general.txt"):
        shutil.copy(DEMO / name, tmp_path / name)
    spec = tmp_path / "sway.yaml"
    spec.write_text(
        "models:\n  base: {base: base.f32.gguf}\n  ft: {base: base.f32.gguf, adapter: healthy.lora.gguf}\n"
        "data: document.md\ngeneral: general.txt\nsuite:\n  - {kind: adapter_health}\n",
        encoding="utf-8",
    )
    shutil.copytree(DEMO, tmp_path / "unrelated")
    names = {"base": "base.f32.gguf", "adapter": "healthy.lora.gguf", "data": "document.md", "general": "general.txt"}
    return {role: tmp_path / name for role, name in names.items()} | {"spec": spec}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def commands(files: dict[str, Path], out: str) -> list[list[str]]:
    """Every command that writes, with `out` as what it writes."""
    base, adapter, data, general, spec = (str(files[role]) for role in ("base", "adapter", "data", "general", "spec"))
    text = ["--data", data, "--general", general]
    return [
        ["check", base, adapter, *text, "--json", out],
        ["run", spec, "--json", out],
        ["quants", base, adapter, *text, "--json", out],
        ["quants", spec, "--svg", out],
        ["merge", base, adapter, "-o", out],
        ["null", base, adapter, "-o", out],
        ["init", base, adapter, *text, "-o", out],
    ]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_no_command_replaces_what_it_reads_or_what_is_no_result(files: dict[str, Path], force: list[str]) -> None:
    folder = files["spec"].parent
    (folder / "linked.json").symlink_to(files["data"])
    os.link(files["general"], folder / "hard.json")
    os.link(files["base"], folder / "hard.gguf")
    other_spec = folder / "other.json"
    other_spec.write_text('{"models": {"base": {}}, "suite": []}', encoding="utf-8")
    notes = folder / "notes.txt"
    notes.write_text("mine", encoding="utf-8")
    before = contents(folder)
    same = ["linked.json", "hard.json", "hard.gguf", *(path.name for path in files.values())]
    for name in [*same, "other.json", *([] if force else ["notes.txt", "unrelated/zero.lora.gguf"])]:
        for words in commands(files, str(folder / name)):
            its_own = words[0] == "init" and name in ("sway.yaml", "other.json")
            reads_no_text = words[0] in ("merge", "null") and name in (
                "document.md",
                "general.txt",
                "linked.json",
                "hard.json",
            )
            if force and (its_own or reads_no_text):
                continue
            said = refused(*words, *force)
            assert str(folder / name) in said, words
            assert not force or "--force" not in said
    assert contents(folder) == before


@POSIX
def test_devices_pipes_folders_and_empty_names_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for out, told in (("/dev/null", "regular"), (str(tmp_path / "pipe"), "regular"), (".", "directory"), ("", "")):
        for words in commands(files, out):
            if "--json" in words or out:
                assert told in refused(*words, "--force"), words
    assert S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert not Path("/dev/null").is_file()
    assert "no name" in complaint("run", str(files["spec"]), "--json", "")


def test_results_replace_results_and_force_replaces_what_others_wrote(files: dict[str, Path]) -> None:
    folder = files["spec"].parent
    out, notes = folder / "r.json", folder / "notes.txt"
    notes.write_text("mine", encoding="utf-8")
    words = ["run", str(files["spec"]), "--json"]
    out.touch()
    for _ in range(2):
        assert spoken(*words, str(out)).returncode == 0
        assert held_by(out) == "result"
    assert "--force" in complaint(*words, str(notes))
    assert spoken(*words, str(notes), "--force").returncode == 0
    assert json.loads(notes.read_text(encoding="utf-8"))["schema_version"]
    assert "GGUF" in complaint(*words, str(folder / "unrelated" / "zero.lora.gguf"), "--force")


def test_what_a_file_holds_is_seen_in_it(tmp_path: Path) -> None:
    cases = {
        "a": (b"", "nothing"),
        "b": (b"GGUF\x03", "model"),
        "c.yml": (b"x: 1", "suite"),
        "d": (b"# mine\nmodels:\n  base: x\nsuite:\n - y\n", "suite"),
        "e": (b'{"rows": [], "wanted": 1, "recommended": "", "pareto": []}', "result"),
        "f": (b'{"diagnosis": "healthy"', "other"),
        "g": (b"[" * 100_000, "other"),
        "h": (b"\xff\xfe\x00", "other"),
        "i": (b"<svg><desc>sway-gguf quants: x</desc></svg>", "result"),
        "j": (b"<svg/>", "other"),
    }
    for name, (data, holds) in cases.items():
        (tmp_path / name).write_bytes(data)
        assert held_by(tmp_path / name) == holds, name


def test_init_proposes_force_over_its_own_items_alone(files: dict[str, Path]) -> None:
    folder = files["spec"].parent
    train = folder / "train.data.jsonl"
    train.write_text('{"text": "One long enough text to train on."}\n' * 3, encoding="utf-8")
    words = ["init", str(files["base"]), str(files["adapter"]), "--data"]
    said = complaint(*words, str(train), "-o", str(folder / "train.yaml"))
    assert "input" in said
    assert "--force" not in said
    assert "input" in complaint(*words, str(train), "-o", str(folder / "train.yaml"), "--force")
    said = complaint(*words, str(files["data"]), "-o", str(folder / "train.yaml"))
    assert "train.data.jsonl" in said
    assert "--force" not in said
    assert spoken(*words, str(files["data"]), "-o", str(folder / "new.yaml")).returncode == 0
    assert "--force" in complaint(*words, str(files["data"]), "-o", str(folder / "new.yaml"))
    assert spoken(*words, str(files["data"]), "-o", str(folder / "new.yaml"), "--force").returncode == 0


def test_a_peft_folder_is_an_input_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "peft"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="input of this command"):
        Output(folder / "adapter_model.safetensors", "-o", "model", [folder], force=True).check()
    Output(folder / "adapter.gguf", "-o", "model", [folder]).check()


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two outputs"):
        check_outputs(
            [Output(str(tmp_path / "a"), "--json", "result"), Output(tmp_path / "." / "a", "--svg", "result")]
        )


def test_a_result_that_cannot_be_written_is_printed_and_saved_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(tmp_path / "r.json", "--json", "result")
    output.check()
    (tmp_path / "r.json").write_text("somebody was faster", encoding="utf-8")
    with pytest.raises(UserError) as told:
        deliver([(output, lambda: "{}\n")], lambda console: console.print("the report"), lambda: "{}\n")
    assert capsys.readouterr().out == "the report\n"
    assert (tmp_path / "r.saved-1.json").read_text(encoding="utf-8") == "{}\n"
    assert "r.saved-1.json" in str(told.value)
    assert (tmp_path / "r.json").read_text(encoding="utf-8") == "somebody was faster"


def test_a_folder_that_went_away_leaves_the_result_in_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "saved-1" in rescued("{}", tmp_path / "gone" / "r.json")
    assert (tmp_path / "r.saved-1.json").exists()
    assert rescued("{}", tmp_path / "gone" / "r.json").endswith("r.saved-2.json")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("to", [[], ["--json", "-"], ["--json", "r.json"]])
def test_a_full_stdout_is_told_and_the_result_kept(files: dict[str, Path], tmp_path: Path, to: list[str]) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with FULL.open("w") as full:
        words = [*COMMAND, "run", str(files["spec"]), *to]
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment, timeout=60, check=False
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "No space left" in done.stderr
    (saved,) = folder.iterdir()
    assert json.loads(saved.read_text(encoding="utf-8"))["schema_version"]
    assert saved.name == "r.json" or saved.name in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["schema"], ["probes"], ["inspect", BASE], ["--version"]])
def test_a_full_stdout_is_one_line_for_every_command(words: list[str]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@POSIX
@pytest.mark.parametrize("words", [["schema"], ["probes"], ["inspect", BASE, HEALTHY], ["inspect", BASE, "--json"]])
def test_a_closed_stdout_is_no_error(words: list[str]) -> None:
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, *words], capture_output=True, timeout=60, check=False
    )
    assert (closed.returncode, closed.stderr) == (0, b"")
    read, write = os.pipe()
    os.close(read)
    piped = subprocess.run([*COMMAND, *words], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (piped.returncode, piped.stderr) == (0, b"")


def test_mine_tells_before_its_work_that_its_entry_has_no_place(files: dict[str, Path], tmp_path: Path) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("one\ntwo\nthree\n", encoding="utf-8")
    spec = files["spec"]
    spec.write_text(spec.read_text(encoding="utf-8") + "version: 1\n", encoding="utf-8")
    before = spec.read_bytes()
    assert re.search("not a list at the end", complaint("mine", str(spec), "--pool", str(pool), "--write"))
    assert spec.read_bytes() == before
