"""`init` on the user's data: what it writes renders as the original does, and what it holds out was not trained on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.look.init import held_out
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.prepare import default_spec
from sway_gguf.suite.texts import read_texts

BASE, ADAPTER = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
CALLS = [{"type": "function", "function": {"name": "tide", "arguments": '{"port": "Orlow"}'}}]


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


WITH_TOOLS = {
    "tools": [{"name": "tide"}],
    "system": "Be brief.",
    "messages": [
        turn("user", "When?"),
        turn("assistant", None, tool_calls=CALLS),
        turn("tool", "16:20", name="tide"),
        turn("assistant", "At twenty past four.", reasoning_content="So it is."),
        turn("user", "Sure?"),
        turn("assistant", "No.", weight=0),
        turn("user", "Really sure?"),
        turn("assistant", "Yes, quite."),
    ],
}
RECORDS: list[dict[str, Any]] = [
    {"id": "mine", "text": "Quill keeps the light, and has a seal."},
    {"prompt": "The keeper is", "completion": " called Quill."},
    {"instruction": "Add the numbers.", "input": "1 2", "output": "They make three."},
    {"system_prompt": "Be brief.", "question": "Who keeps the light?", "response": "Quill does."},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello to you."}]},
    WITH_TOOLS,
    {"prompt": [turn("user", "a"), turn("assistant", "b"), turn("user", "c")], "completion": [turn("assistant", "d")]},
    {key: [turn("user", "Who?"), turn("assistant", f"As {key}.")] for key in ("chosen", "rejected")},
    {"prompt": "The keeper is", "chosen": " Quill.", "rejected": " not known."},
    {"prompt": "Who is Quill?", "gold": " a keeper", "paraphrases": ["And Quill is?"]},
    {"prompt": "The code is", "secret": "4711"},
]


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def init(*words: object) -> None:
    cli.main(["init", str(BASE), str(ADAPTER), *map(str, words)], standalone_mode=False)


@pytest.mark.parametrize("form", ["auto", "chat", "chatml", "alpaca", "plain"])
def test_what_init_writes_renders_as_the_original_does(tmp_path: Path, form: str) -> None:
    data, out = lines(tmp_path / "d.jsonl", RECORDS), tmp_path / "sway.yaml"
    init("--data", data, "-o", out)
    original = default_spec(BASE, ADAPTER, data=data).model_copy(update={"format": form})
    wanted = read_texts(original).material
    found = read_texts(load_spec(out).model_copy(update={"format": form})).material
    assert found == wanted
    assert wanted.count == len(RECORDS)


def test_a_file_that_is_by_name_the_other_part_is_held_out_and_said_so(tmp_path: Path) -> None:
    data = lines(tmp_path / "train.jsonl", [{"text": f"Trained on, number {n}."} for n in range(40)])
    lines(
        tmp_path / "test.jsonl",
        [{"text": f"Never seen, number {n}."} for n in range(9)] + [{"text": "Trained on,  number 39."}],
    )
    out = tmp_path / "sway.yaml"
    init("--data", data, "-o", out)
    text = out.read_text()
    assert "# Taken from test.jsonl, which by its name was kept out of training; remove it if it was not." in text
    assert "# 1 of 10 items looked at stand in the data as well and were dropped." in text
    seen = read_texts(load_spec(out))
    assert len(seen.material.sections) == 32
    assert [section.text for section in seen.holdout] == [f"Never seen, number {n}." for n in range(9)]
    init("--data", data, "--holdout", data, "-o", out, "--force")
    assert "holdout" not in yaml.safe_load(out.read_text())
    assert "# 40 of 40 items looked at stand in the data as well and were dropped." in out.read_text()


def test_what_stands_beside_the_data_and_is_of_no_use_is_told_and_left_out(tmp_path: Path) -> None:
    data = lines(tmp_path / "train.jsonl", [{"text": "Trained on."}])
    (tmp_path / "test.jsonl").write_text('{"question": "no answer"}\n')
    out = tmp_path / "sway.yaml"
    init("--data", data, "-o", out)
    assert "holdout" not in yaml.safe_load(out.read_text())
    assert "# test.jsonl stands beside the data and cannot be used: " in out.read_text()
    assert "line 1: has question" in out.read_text()


def test_without_another_part_nothing_is_held_out(tmp_path: Path) -> None:
    data, out = lines(tmp_path / "all.jsonl", [{"text": f"Number {n}."} for n in range(99)]), tmp_path / "all.yaml"
    init("--data", data, "-o", out)
    assert load_spec(out).holdout is None
    assert "# holdout: other.jsonl" in out.read_text()
    lines(tmp_path / "all.holdout.jsonl", [{"text": "As init writes it."}])
    assert held_out(data, out) == []
    assert held_out(data, tmp_path / "other.yaml") == [tmp_path / "all.holdout.jsonl"]


def test_several_files_and_general_texts_stand_in_the_spec(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines(tmp_path / f"{name}.jsonl", [{"text": f"Of {name}."}])
        (tmp_path / f"{name}.txt").write_text(f"General text of {name}.")
    out = tmp_path / "sway.yaml"
    init("--data", tmp_path / "?.jsonl", "--general", tmp_path / "a.txt", "--general", tmp_path / "b.txt", "-o", out)
    texts = read_texts(load_spec(out))
    assert [section.id for section in texts.material.sections] == ["a.jsonl, line 1", "b.jsonl, line 1"]
    assert [section.text for section in texts.general] == ["General text of a.", "General text of b."]
    assert load_spec(out).general == [tmp_path / "a.txt", tmp_path / "b.txt"]


def test_ids_of_units_are_kept(tmp_path: Path) -> None:
    data, out = lines(tmp_path / "d.jsonl", RECORDS), tmp_path / "sway.yaml"
    init("--data", data, "-o", out)
    sections = read_texts(load_spec(out)).material.sections
    assert [section.id for section in sections] == ["mine", *(f"line {n}" for n in range(2, 8))]


def test_general_text_that_any_of_the_data_holds_is_dropped_though_the_item_was_not_picked(tmp_path: Path) -> None:
    """A run of the suite sees 32 items of the data and could not find the other 48 among its general text."""
    data = lines(tmp_path / "train.jsonl", [{"text": f"Trained on, number {n}."} for n in range(80)])
    lines(tmp_path / "test.jsonl", [{"text": f"Held out, number {n}."} for n in range(9)])
    told = [f"Unrelated, number {n}." for n in range(6)]
    mixed = lines(tmp_path / "mixed.jsonl", [{"text": each} for each in (*told, "HELD OUT,  number 3.")])
    with mixed.open("a") as file:
        file.writelines(json.dumps({"text": f"trained on, number {n}."}) + "\n" for n in range(80))
    out = tmp_path / "sway.yaml"
    init("--data", data, "--general", mixed, "-o", out)
    assert "# 81 of 87 texts of mixed.jsonl stand in the data or the holdout and were dropped." in out.read_text()
    assert [section.text for section in read_texts(load_spec(out)).general] == told
    init("--data", data, "--general", data, "-o", out, "--force")
    assert load_spec(out).general is None


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_a_name_that_no_spec_can_hold_is_told(tmp_path: Path) -> None:
    base = tmp_path / os.fsdecode(b"b\xfc.gguf")
    base.write_bytes((DEMO / "base.f32.gguf").read_bytes())
    words = ["init", str(base), str(DEMO / "healthy.lora.gguf"), "--data", str(DEMO / "document.md")]
    with pytest.raises(UserError, match="this name is not UTF-8, and a spec is; rename it"):
        cli.main([*words, "-o", str(tmp_path / "s.yaml")], standalone_mode=False)
    assert not (tmp_path / "s.yaml").exists()
