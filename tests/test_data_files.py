"""Files that hold data: lists, tables, saved datasets; several of them and patterns, in a spec and in commands."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import click
import pytest

from sway_gguf.artifacts.digest import GivenUpError, sha256_of_all
from sway_gguf.cli.inputs import inputs_of
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.material.files import data_files, held_out_beside, shown
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import iter_units, read_material
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.hashed import hashed
from sway_gguf.suite.prepare import default_spec, prepare

TALKS = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    {
        "messages": [
            {"role": "user", "content": "When?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"type": "function", "function": {"name": "tide", "arguments": '{"port": "Orlow"}'}}],
            },
            {"role": "tool", "content": "16:20", "tool_call_id": "1"},
            {"role": "assistant", "content": "Then."},
        ]
    },
    {"text": "Prose.", "id": "mine"},
]


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def listed(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("\ufeff \n" + json.dumps(records, indent=1), encoding="utf-8")
    return path


def table_of(records: list[dict[str, Any]]) -> Any:
    keys = dict.fromkeys(key for record in records for key in record)
    return pytest.importorskip("pyarrow").table({key: [record.get(key) for record in records] for key in keys})


def parquet(path: Path, records: list[dict[str, Any]], rows: int = 2) -> Path:
    table = table_of(records)
    pytest.importorskip("pyarrow.parquet").write_table(table, path, row_group_size=rows)
    return path


def stream(path: Path, records: list[dict[str, Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    table = table_of(records)
    with arrow.OSFile(str(path), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def indexed(path: Path, records: list[dict[str, Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    table = table_of(records)
    with arrow.OSFile(str(path), "wb") as sink, arrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def saved(folder: Path, records: list[dict[str, Any]]) -> Path:
    """As `save_to_disk` leaves it: shards, their order in state.json, and now and then a cache beside them."""
    folder.mkdir(parents=True)
    names = [f"data-{n:05}-of-{len(records):05}.arrow" for n in range(len(records))]
    for name, record in zip(names, records, strict=True):
        stream(folder / name, [record])
    stream(folder / "cache-1.arrow", [{"text": "left over"}])
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


Write = Callable[[Path, list[dict[str, Any]]], Path]
KINDS: dict[str, tuple[Write, str]] = {
    "d.json": (listed, "record"),
    "e.json": (lines, "line"),
    "d.ndjson": (lines, "line"),
    "d.parquet": (parquet, "row"),
    "d.arrow": (stream, "row"),
    "d.feather": (indexed, "row"),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_holds_the_same(tmp_path: Path, name: str) -> None:
    write, word = KINDS[name]
    wanted = read_material(lines(tmp_path / "d.jsonl", TALKS))
    found = read_material(write(tmp_path / name, TALKS))
    assert [section.dialogue for section in found.sections] == [section.dialogue for section in wanted.sections]
    assert [section.text for section in found.sections] == [section.text for section in wanted.sections]
    assert [section.id for section in found.sections] == [f"{word} 1", f"{word} 2", "mine"]


def test_a_saved_dataset_is_read_shard_by_shard_and_of_splits_the_one_that_was_trained_on(tmp_path: Path) -> None:
    folder = saved(tmp_path / "one", TALKS)
    assert len(read_material(folder).sections) == 3
    both = tmp_path / "both"
    saved(both / "train", TALKS)
    saved(both / "test", [{"text": "Other."}])
    (both / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert read_material(both).sections[0].id == "data-00000-of-00003.arrow, row 1"
    assert len(read_material(both).sections) == 3
    assert [section.text for section in read_material(both / "test").sections] == ["Other."]
    assert held_out_beside(both) == [both / "test"]
    (both / "dataset_dict.json").write_text('{"splits": ["test"]}')
    with pytest.raises(UserError, match="its splits are test; name one"):
        read_material(both)


def test_a_long_table_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    path = parquet(tmp_path / "d.parquet", [{"text": f"{n} " + "x" * 2000} for n in range(20_000)], rows=20_000)
    before = arrow.total_allocated_bytes()
    for number, unit in enumerate(iter_units(path)):
        assert unit.text.startswith(f"{number} ")  # type: ignore[union-attr]
        assert arrow.total_allocated_bytes() - before < 8 << 20
    assert number == 19_999


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("d.json", '[{"text": "a"}, 3]', "record 2: a JSON object is wanted, not int"),
        ("d.json", '[{"text": "a"}, {"text": 3}]', "record 2: 'text' must be text"),
        ("d.json", '[{"text": "a"}', "not JSON"),
        ("d.json", "[]", "the file is empty"),
        ("d.json", '{"data": [1]}', "line 1: has data; one of these is wanted"),
        ("d.csv", "", "the file is empty"),
        ("d.csv", "text,id\n", "the file is empty"),
        ("d.csv", "a,b\n1,2\n", "row 1: has a, b; one of these is wanted"),
        ("d.csv", "text\nOne, two.\n", "row 1: more cells than the first row has names; quote cells that hold ','"),
        ("d.csv", 'text\n"One.\n', "cannot be read behind row 0 (unexpected end of data)"),
        ("d.parquet", "", "the file is empty"),
        ("d.parquet", "no table", "cannot be read behind row 0"),
        ("d.arrow", "no table", "cannot be read behind row 0"),
        ("d.feather", "ARROW1 no table", "cannot be read behind row 0"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    if not name.endswith(("json", "csv")):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_material(path)
    assert str(caught.value).startswith(str(path))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


PAIRS = [
    {"instruction": "Add, and say how.", "input": "1\n2", "output": 'It is "3".'},
    {"instruction": "And twice that?", "output": "6; or six"},
]


@pytest.mark.parametrize(("name", "parted"), [("d.csv", ","), ("d.tsv", "\t"), ("semicolons.csv", ";")])
def test_a_table_of_cells_holds_what_lines_of_json_hold(tmp_path: Path, name: str, parted: str) -> None:
    path = tmp_path / name
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "input", "output"], delimiter=parted)
        writer.writeheader()
        writer.writerows(PAIRS)
    found, wanted = read_material(path).sections, read_material(lines(tmp_path / "d.jsonl", PAIRS)).sections
    assert [(each.prompt, each.text, each.dialogue) for each in found] == [
        (each.prompt, each.text, each.dialogue) for each in wanted
    ]
    assert [section.id for section in found] == ["row 1", "row 2"]


@pytest.mark.parametrize("name", ["d.parquet", "d.arrow", "d.feather"])
def test_a_damaged_table_is_read_or_refused(tmp_path: Path, name: str) -> None:
    """Each byte of a small file in turn says something else; offsets beyond the file are never followed."""
    path = KINDS[name][0](tmp_path / name, TALKS)
    good, refused = path.read_bytes(), 0
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x5A]) + good[place + 1 :])
        said = ""
        try:
            read_material(path)
        except UserError as error:
            said, refused = str(error), refused + 1
        assert "\n" not in said
    assert refused


def test_a_bad_row_is_named_with_its_file_and_number(tmp_path: Path) -> None:
    path = parquet(tmp_path / "d.parquet", [{"text": "fine"}, {"text": " "}])
    with pytest.raises(UserError, match=r"d\.parquet, row 2: 'text' must be text"):
        read_material(path)


def test_without_pyarrow_a_table_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "d.parquet").write_text("PAR1")
    with pytest.raises(UserError, match=r"pip install 'sway-gguf\[parquet\]'"):
        read_material(tmp_path / "d.parquet")


def test_several_files_and_patterns(tmp_path: Path) -> None:
    for name in ("b", "a"):
        lines(tmp_path / f"{name}.jsonl", [{"text": f"From {name}."}])
    odd = lines(tmp_path / "[x].jsonl", [{"text": "From x."}])
    (tmp_path / "p.txt").write_text("From p.")
    given = [tmp_path / "p.txt", tmp_path / "[ab].jsonl", tmp_path / "a.jsonl", odd]
    found = read_material(given).sections
    assert [section.text for section in found] == ["From p.", "From a.", "From b.", "From x."]
    assert [section.id for section in found][:2] == ["p.txt, paragraph 1", "a.jsonl, line 1"]
    assert shown(given) == f"{tmp_path / 'p.txt'} and 3 more"
    refused = {tmp_path / "*.csv": "no file matches", tmp_path: "this is a directory", Path("\0*"): "no file matches"}
    for nothing, complaint in refused.items():
        with pytest.raises(UserError, match=complaint):
            data_files(nothing)
    assert data_files(Path("x" * 3000)) == [Path("x" * 3000)]


def test_a_spec_takes_one_or_several_and_they_are_hashed_and_protected(tmp_path: Path) -> None:
    files = [lines(tmp_path / f"{n}.jsonl", [{"text": f"Text {n} of a kind."}]) for n in range(3)]
    spec = tmp_path / "sway.yaml"
    models = f"models: {{base: {{base: '{DEMO / 'base.f32.gguf'}'}}, ft: {{base: '{DEMO / 'base.f32.gguf'}', "
    models += f"adapter: '{DEMO / 'healthy.lora.gguf'}'}}}}\nsuite: [{{name: applied, kind: applied}}]\n"
    spec.write_text(f'{models}data: [0.jsonl, "[12].jsonl"]\ngeneral: "*.jsonl"\nholdout: 1.jsonl\n')
    loaded = load_spec(spec)
    assert loaded.holdout == files[1]
    assert set(files) <= set(inputs_of(loaded))
    with hashed(prepare(loaded)) as records:
        found = {record.result().role: record.result() for record in records}
    assert found["data"].sha256 == found["general"].sha256 == sha256_of_all(files)
    assert found["data"].path == f"{files[0]} and 1 more"
    assert found["holdout"].path == str(files[1])
    for wrong in ("3", "[]", "[a.txt, 3]", "{a: b}"):
        spec.write_text(f"{models}data: {wrong}\n")
        with pytest.raises(UserError, match="'data': a path, or a list of paths, is wanted"):
            load_spec(spec)


def test_a_run_that_is_stopped_waits_for_no_file_to_be_hashed(tmp_path: Path) -> None:
    """Reading so large a base would take half an hour, and Python waits at its end for what a pool is at."""
    prepared = prepare(default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=DEMO / "document.md"))
    large = tmp_path / "large.gguf"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    stopped = replace(prepared, base=replace(prepared.base, path=large, shards=(large,)))
    with suppress(KeyboardInterrupt), hashed(stopped) as records:
        while not records[0].running():
            sleep(0.001)
        raise KeyboardInterrupt
    with pytest.raises(GivenUpError):
        records[0].result(timeout=60)
    assert all(record.cancelled() for record in records[1:])


def test_check_takes_data_several_times_and_replaces_none_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = lines(tmp_path / "a.jsonl", [{"text": f"A text, number {n}."} for n in range(6)])
    lines(tmp_path / "more.jsonl", [{"text": f"Another text, number {n}."} for n in range(6)])
    words = ["check", str(DEMO / "base.f32.gguf"), str(DEMO / "healthy.lora.gguf"), "--dry-run", "--data", str(first)]
    words += ["--data", str(tmp_path / "m*.jsonl")]
    cli.main(words, standalone_mode=False)
    assert "section_internalization" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"more\.jsonl: an input of this command"):
        cli.main([*words, "--json", str(tmp_path / "more.jsonl")], standalone_mode=False)
    with pytest.raises((UserError, click.ClickException), match="no file matches"):
        cli.main([*words, "--general", str(tmp_path / "*.csv")], standalone_mode=False)


def test_default_spec_names_one_path_as_it_did(tmp_path: Path) -> None:
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=tmp_path, general=[tmp_path])
    assert (spec.data, spec.general, spec.holdout) == (tmp_path, tmp_path, None)


@pytest.mark.parametrize(
    ("data", "others", "wanted"),
    [
        ("train.jsonl", ["valid.jsonl", "test.jsonl", "test.txt"], ["test.jsonl"]),
        ("train.jsonl", ["validation.jsonl"], ["validation.jsonl"]),
        ("x_train.md", ["x_test.md", "y_test.md"], ["x_test.md"]),
        ("train-00000-of-00002.parquet", ["test-00000-of-00001.parquet"], ["test-00000-of-00001.parquet"]),
        ("Train.jsonl", ["eval.jsonl"], ["eval.jsonl"]),
        ("support.jsonl", ["support_heldout.jsonl", "support_test.jsonl"], ["support_heldout.jsonl"]),
        ("support.jsonl", ["support_test.jsonl", "test.jsonl"], []),
        ("constraint.jsonl", ["constest.jsonl", "contest.jsonl"], []),
        ("train.jsonl", ["train_extra.jsonl"], []),
    ],
)
def test_what_was_kept_out_is_found_by_its_name_alone(
    tmp_path: Path, data: str, others: list[str], wanted: list[str]
) -> None:
    for name in (data, *others):
        (tmp_path / name).write_text("x")
    assert held_out_beside(tmp_path / data) == [tmp_path / name for name in wanted]
    assert held_out_beside([tmp_path / data, *(tmp_path / name for name in others)]) == []
