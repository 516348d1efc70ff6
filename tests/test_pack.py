"""A run in one archive: it goes round and comes out again, a changed answer is told, and no archive can do harm."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import struct
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.core.names import folded, unfit
from sway_gguf.core.result import Diagnosis, SuiteResult, Verdict
from sway_gguf.core.result_json import from_json, to_json
from sway_gguf.deploy import archive as archives
from sway_gguf.deploy.archive import MANIFEST, RESULT, SPEC, Model, opened, write_archive
from sway_gguf.deploy.pack import Members, pack
from sway_gguf.deploy.reproduce import differences
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import load_spec
from tests.command_line import refused
from tests.test_peft import folder

BASE, ADAPTER = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
SPEC_TEXT = f"""version: 1
models:
  base: {{kind: gguf, base: {json.dumps(BASE.as_posix())}}}
  ft: {{kind: gguf, base: {json.dumps(BASE.as_posix())}, adapter: {json.dumps(ADAPTER.as_posix())}}}
data: "texts/*.md"
general: general.txt
defaults: {{items: 5}}
suite:
  - {{name: applied, kind: applied}}
  - {{name: delta_kl, kind: delta_kl}}
  - {{name: section_internalization, kind: section_internalization}}
"""


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its texts, the result of a short run and both archives."""
    here = tmp_path_factory.mktemp("ran")
    (here / "texts").mkdir()
    shutil.copy(DEMO / "document.md", here / "texts" / "one.md")
    (here / "texts" / "two.md").write_text("# A second file\n\nA pattern names both, and both go along.\n")
    shutil.copy(DEMO / "general.txt", here / "general.txt")
    (here / SPEC).write_text(SPEC_TEXT, encoding="utf-8")
    done = invoke("run", here / SPEC, "--json", here / RESULT, "--nulls", "5", "--seed", "3")
    assert done.exit_code == 0, done.output
    for name, more in (("run.zip", []), ("whole.zip", ["--with-adapter"])):
        done = invoke("pack", here / SPEC, here / RESULT, "-o", here / name, *more)
        assert done.exit_code == 0, done.output
    return here


@pytest.fixture(scope="module")
def result(ran: Path) -> SuiteResult:
    return from_json((ran / RESULT).read_text(encoding="utf-8"), RESULT)


def test_an_archive_holds_the_spec_its_texts_and_the_result_and_names_the_models(ran: Path) -> None:
    with zipfile.ZipFile(ran / "run.zip") as file:
        assert file.namelist() == [MANIFEST, SPEC, RESULT, "data/one.md", "data/two.md", "general/general.txt"]
        manifest = json.loads(file.read(MANIFEST))
        assert file.read(RESULT) == (ran / RESULT).read_bytes()
    assert manifest["models"]["base"]["sha256"] == hashlib.sha256(BASE.read_bytes()).hexdigest()
    assert manifest["models"]["adapter"]["size"] == ADAPTER.stat().st_size
    first = (ran / "run.zip").read_bytes()
    assert invoke("pack", ran / SPEC, ran / RESULT, "-o", ran / "again.zip").exit_code == 0
    assert (ran / "again.zip").read_bytes() == first


def test_the_run_comes_out_again_with_what_the_command_line_said(ran: Path, tmp_path: Path) -> None:
    done = invoke("unpack", ran / "run.zip", "-o", tmp_path / "out", "--verify", "--base", BASE, "--adapter", ADAPTER)
    assert done.exit_code == 0, done.output
    assert "reproduced: " in done.output
    spec = load_spec(tmp_path / "out" / SPEC)
    assert (spec.defaults.nulls, spec.defaults.seed, spec.defaults.items) == (5, 3, 5)
    assert spec.data == [tmp_path / "out" / "data" / "one.md", tmp_path / "out" / "data" / "two.md"]


def test_a_run_that_a_look_ended_early_is_packed_with_the_nulls_and_looks_that_it_might_have_had(
    ran: Path, result: SuiteResult, tmp_path: Path
) -> None:
    assert (result.nulls.count, result.nulls.look) == (5, 0)
    result = replace(result, settings={})  # As of a time when they were not kept.
    early = replace(result, nulls=replace(result.nulls, planned=19, look=1))
    old = replace(result, nulls=replace(result.nulls, planned=0))
    for each, nulls, looks in ((early, 19, 2), (result, 5, 1), (old, 5, 1)):
        pack(load_spec(ran / SPEC), each, to_json(each).encode(), tmp_path / "a.zip")
        with opened(tmp_path / "a.zip") as archive:
            archive.extract(tmp_path / f"{nulls}-{each.nulls.planned}")
        packed = load_spec(tmp_path / f"{nulls}-{each.nulls.planned}" / SPEC)
        assert (packed.defaults.nulls, packed.defaults.looks) == (nulls, looks)


def test_what_the_command_line_said_of_format_and_engine_is_in_the_packed_spec(tmp_path: Path) -> None:
    template, lines = tmp_path / "my.jinja", SPEC_TEXT.splitlines(keepends=True)
    (tmp_path / SPEC).write_text("".join(lines[:4]) + "suite: [{name: delta_kl, kind: delta_kl}]\n", encoding="utf-8")
    template.write_text("{{ tone }}{% for m in messages %}<{{ m['content'] }}>{% endfor %}", encoding="utf-8")
    spoken = ["--format", template, "--chat-template-kwargs", '{"tone": "Dear Anna. "}']
    asked = ["--nulls", "1", "-c", "64", "-ub", "32"]
    assert invoke("run", tmp_path / SPEC, "--json", tmp_path / RESULT, *spoken, *asked).exit_code == 0
    done = invoke("pack", tmp_path / SPEC, tmp_path / RESULT, "-o", tmp_path / "a.zip", "--with-adapter")
    assert done.exit_code == 0, done.output
    done = invoke("unpack", tmp_path / "a.zip", "-o", tmp_path / "out", "--verify", "--base", BASE)
    assert done.exit_code == 0, done.output
    spec = load_spec(tmp_path / "out" / SPEC)
    assert (spec.engine.context, spec.engine.ubatch, spec.defaults.nulls) == (64, 32, 1)
    assert (Path(spec.format).name, spec.template_kwargs) == ("my.jinja", {"tone": "Dear Anna. "})
    assert Path(spec.format).read_bytes() == template.read_bytes()
    template.write_text("{{ messages }}", encoding="utf-8")
    assert "is not there any more" in refused("pack", tmp_path / SPEC, tmp_path / RESULT, "-o", tmp_path / "b.zip")


def test_nulls_that_a_budget_cut_are_not_planned_again_by_an_entry(
    ran: Path, result: SuiteResult, tmp_path: Path
) -> None:
    entry = {"name": "nulls", "kind": "null_adapter", "runs": 40, "design": "spectrum"}
    spec = load_spec(ran / SPEC)
    cut = {"defaults": {**result.settings["defaults"], "nulls": 9, "items": 8, "null_design": "spectrum"}}
    with_entry = spec.model_copy(update={"suite": [entry, *spec.suite]})
    pack(with_entry, replace(result, settings={**result.settings, **cut}), b"{}", tmp_path / "a.zip")
    with opened(tmp_path / "a.zip") as archive:
        archive.extract(tmp_path / "out")
    packed = load_spec(tmp_path / "out" / SPEC)
    assert [each["kind"] for each in packed.suite] == [each["kind"] for each in spec.suite]
    assert (packed.defaults.nulls, packed.defaults.items, packed.defaults.null_design) == (9, 8, "spectrum")


@pytest.mark.parametrize("option", ["checkpoint", "store_path"])
def test_a_trainers_folder_goes_along_under_either_name(
    ran: Path, result: SuiteResult, tmp_path: Path, option: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trainer_state.json").write_text("{}", encoding="utf-8")
    spec, entry = load_spec(ran / SPEC), {"name": "drift", "kind": "training_drift", option: str(tmp_path / "out")}
    pack(spec.model_copy(update={"suite": [*spec.suite, entry]}), result, b"{}", tmp_path / "a.zip")
    with opened(tmp_path / "a.zip") as archive:
        assert "suite/out/trainer_state.json" in archive.manifest.members
        archive.extract(tmp_path / "unpacked")
    assert load_spec(tmp_path / "unpacked" / SPEC).suite[-1][option] == "suite/out"


def test_an_adapters_folder_and_a_template_go_along(tmp_path: Path) -> None:
    peft = folder(tmp_path / "my-adapter")
    (peft / "chat_template.jinja").write_text("{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}")
    text = SPEC_TEXT.replace(json.dumps(ADAPTER.as_posix()), "my-adapter").replace(
        "data: ", "format: my-adapter\ndata: "
    )
    (tmp_path / SPEC).write_text(text.replace("texts/*.md", (DEMO / "document.md").as_posix()), encoding="utf-8")
    shutil.copy(DEMO / "general.txt", tmp_path / "general.txt")
    done = invoke("run", tmp_path / SPEC, "--json", tmp_path / RESULT, "--nulls", "1")
    assert done.exit_code == 0, done.output
    done = invoke("pack", tmp_path / SPEC, tmp_path / RESULT, "-o", tmp_path / "a.zip", "--with-adapter")
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        names = [name for name in file.namelist() if "my-adapter" in name]
    files = ["adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"]
    assert "format/chat_template.jinja" in file.namelist()
    assert names == [*(f"adapter/my-adapter/{name}" for name in files)]
    done = invoke("unpack", tmp_path / "a.zip", "-o", tmp_path / "out", "--verify", "--base", BASE)
    assert done.exit_code == 0, done.output


def test_a_changed_answer_is_told_and_exits_1(ran: Path, result: SuiteResult, tmp_path: Path) -> None:
    changed = [
        replace(probe, items=tuple(replace(item, value=item.value + 1) for item in probe.items), value=probe.value + 1)
        if probe.name == "section_internalization" and probe.value is not None
        else probe
        for probe in result.probes
    ]
    (tmp_path / RESULT).write_text(to_json(replace(result, probes=tuple(changed))), encoding="utf-8")
    assert invoke("pack", ran / SPEC, tmp_path / RESULT, "-o", tmp_path / "a.zip", "--with-adapter").exit_code == 0
    done = invoke("unpack", tmp_path / "a.zip", "-o", tmp_path / "out", "--verify", "--base", BASE)
    assert done.exit_code == 1, done.output
    assert "section_internalization: value differs: expected" in done.output
    assert "applied: " not in done.output


def test_within_the_larger_floor_two_runs_agree_and_beyond_it_they_do_not(result: SuiteResult) -> None:
    index = next(i for i, probe in enumerate(result.probes) if probe.name == "delta_kl")
    probe = result.probes[index]
    assert probe.value is not None

    def moved(by: float, floor: float, verdict: Verdict = probe.verdict) -> SuiteResult:
        items = tuple(replace(item, value=item.value + by) for item in probe.items)
        other = replace(probe, items=items, value=(probe.value or 0.0) + by, noise_floor=floor, verdict=verdict)
        return replace(result, probes=(*result.probes[:index], other, *result.probes[index + 1 :]))

    old = moved(0.0, 0.01)
    assert differences(result, result) == ()
    assert differences(old, moved(0.019, 0.02)) == ()
    assert [each.what for each in differences(old, moved(0.021, 0.02))] == ["value"]
    assert [each.what for each in differences(old, moved(0.0, 0.01, verdict=Verdict.ERROR))] == ["verdict"]
    assert [each.what for each in differences(result, replace(result, diagnosis=Diagnosis.BROKEN))] == ["diagnosis"]
    assert [each.what for each in differences(result, replace(result, probes=result.probes[1:]))] == ["probe"]


def test_other_files_than_the_runs_are_refused(ran: Path, tmp_path: Path) -> None:
    other = shutil.copytree(ran, tmp_path / "other")
    (other / "general.txt").write_text("Another text.\n", encoding="utf-8")
    assert refused("pack", other / SPEC, other / RESULT, "-o", tmp_path / "a.zip").startswith("general: the result is")
    assert not (tmp_path / "a.zip").exists()
    verify: list[str | Path] = ["unpack", ran / "run.zip", "-o", tmp_path / "out", "--verify", "--base", BASE]
    assert "not the adapter of this run" in refused(*verify, "--adapter", DEMO / "random.lora.gguf")
    assert "give --adapter healthy.lora.gguf" in refused(*verify)
    both = refused(*verify[:-2])
    assert both.startswith("the base and the adapter are not in the archive; give --base base.f32.gguf (sha256 ")
    assert "--adapter healthy.lora.gguf (sha256 " in both
    assert not (tmp_path / "out").exists()


def test_only_a_new_folder_is_unpacked_into_and_nothing_is_replaced(ran: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert "is there already" in refused("unpack", ran / "run.zip", "-o", tmp_path / "there")
    assert "--force" in refused("pack", ran / SPEC, ran / RESULT, "-o", ran / "run.zip")
    assert "input" in refused("pack", ran / SPEC, ran / RESULT, "-o", ran / RESULT, "--force")


def test_a_spec_that_names_a_file_outside_the_archive_is_not_run(ran: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("# Mine\n", encoding="utf-8")
    text = SPEC_TEXT.replace("texts/*.md", secret.as_posix()).replace("general: general.txt\n", "")
    models = {
        role: Model(name=role, size=1, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for role, path in (("base", BASE), ("adapter", ADAPTER))
    }
    members = {SPEC: text.encode(), RESULT: (ran / RESULT).read_bytes()}
    write_archive(tmp_path / "a.zip", members, models)
    words: list[str | Path] = [
        "unpack",
        tmp_path / "a.zip",
        "-o",
        tmp_path / "out",
        "--verify",
        "--base",
        BASE,
        "--adapter",
        ADAPTER,
    ]
    assert "secret.md was not in the archive" in refused(*words)


def hostile(path: Path, *more: tuple[str, bytes], unnamed: str = "", mode: int = 0o100644, method: int = 8) -> Path:
    """An archive by hand: a spec, a result and `more` members, all but `unnamed` in the manifest."""
    entries = [(SPEC, b"version: 1\n"), (RESULT, b"{}"), *more]
    named = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in entries
        if name != unnamed
    }
    manifest = json.dumps({"format": 1, "members": named, "models": {}}).encode()
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")  # of a name that stands twice
        for name, data in [(MANIFEST, manifest), *entries]:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr = name, (mode if (name, data) in more else stat.S_IFREG | 0o644) << 16
            info.compress_type = method if (name, data) in more else zipfile.ZIP_DEFLATED
            file.writestr(info, data)
    return path


def unpacks(path: Path) -> str:
    """How unpacking is refused; nothing is left of it."""
    before = {each.name for each in path.parent.iterdir()}
    said = refused("unpack", path, "-o", path.parent / "out")
    assert {each.name for each in path.parent.iterdir()} == before
    return said


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../up.txt", "data/../../up.txt", "C:/x.txt", "C:x.txt", "data\\x.txt", "..\\up.txt", "a\0b",
        "NUL", "data/con.txt", "COM1", "lpt9.md", "aux .txt", "data/", "data//x", "./x", "x.", "x ", "a\nb", "a:stream",
        "x" * 300, "\\\\server\\share",
    ],
)  # fmt: skip
def test_a_member_that_would_lie_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    assert "member" in unpacks(hostile(tmp_path / "a.zip", (name, b"x")))


def test_an_archive_by_hand_with_a_good_member_is_unpacked(tmp_path: Path) -> None:
    done = invoke("unpack", hostile(tmp_path / "a.zip", ("data/é.md", b"x")), "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "data" / "é.md").read_bytes() == b"x"


def test_links_twins_and_unnamed_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    assert "link" in unpacks(hostile(path, ("data/x", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777))
    assert "one file" in unpacks(hostile(path, ("data/x", b"1"), ("DATA/X", b"2")))
    assert "one file" in unpacks(hostile(path, ("data/\u00e9", b"1"), ("data/e\u0301", b"2")))
    assert "one file" in unpacks(hostile(path, ("data/x", b"1"), ("data/x", b"1")))
    assert "a file and a folder" in unpacks(hostile(path, ("data", b"1"), ("data/x", b"2")))
    assert "alone" in unpacks(hostile(path, ("data/x", b"1"), unnamed="data/x"))
    assert "deflate" in unpacks(hostile(path, ("data/x", b"1" * 99), method=zipfile.ZIP_BZIP2))


def test_bombs_are_refused_whatever_their_headers_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hostile(tmp_path / "a.zip", ("data/x", bytes(3 << 20)))
    assert "200 times" in unpacks(path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    assert "damaged" in unpacks(path) or "not what the manifest says" in unpacks(path)
    for name, most in (("MOST_OUT", 5), ("MOST_ARCHIVE", 100), ("MOST_MEMBERS", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(archives, name, most)
            unpacks(hostile(path, ("data/x", b"1")))


def test_damage_is_told_in_one_line(tmp_path: Path, ran: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_text("no zip at all, and long enough to hold its end record")
    assert "no whole zip" in unpacks(path)
    good = (ran / "run.zip").read_bytes()
    path.write_bytes(good[:-30])
    assert "no whole zip" in unpacks(path)
    for place in range(40, len(good), len(good) // 40):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        done = invoke("unpack", path, "-o", tmp_path / "out")
        assert isinstance(done.exception, UserError) or done.exit_code == 0, (place, done.exception)
        assert (tmp_path / "out").exists() == (done.exit_code == 0)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_text_that_shrinks_like_a_bomb_is_stored_and_goes_round(tmp_path: Path) -> None:
    (tmp_path / "same.txt").write_bytes(b"a" * (1 << 20))
    write_archive(tmp_path / "a.zip", {SPEC: b"", RESULT: b"", "data/same.txt": tmp_path / "same.txt"}, {})
    with opened(tmp_path / "a.zip") as archive:
        archive.extract(tmp_path / "out")
    assert (tmp_path / "out" / "data" / "same.txt").read_bytes() == b"a" * (1 << 20)


@pytest.mark.skipif(os.name == "nt", reason="such files cannot be made there")
def test_names_in_an_archive_are_fit_for_every_system(tmp_path: Path) -> None:
    members = Members()
    for room, name in (("a", "x.md"), ("b", "X.md"), ("c", "nul.md"), ("d", "x: y.md")):
        (tmp_path / room).mkdir()
        (tmp_path / room / name).write_text("x")
        members.add("data", tmp_path / room / name)
    assert list(members.files) == ["data/x.md", "data/2-X.md", "data/file.md", "data/2-file.md"]
    assert not any(map(unfit, members.files))
    assert len(set(map(folded, members.files))) == 4
