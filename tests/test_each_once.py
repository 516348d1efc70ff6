"""Items are distinct texts: copies in the user's data do not count, and the run says how many were dropped."""

from __future__ import annotations

import json
from pathlib import Path

from sway_gguf.core.sections import Section, distinct
from sway_gguf.material.apart import apart
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.suite.texts import picked, read_texts

FILES = ("base.f32.gguf", "healthy.lora.gguf")


def test_copies_of_a_text_are_one_item_and_are_told(tmp_path: Path) -> None:
    data = tmp_path / "d.jsonl"
    records = [{"text": "The same sentence again."}] * 100 + [{"id": "x", "text": f"Sentence {n}."} for n in range(20)]
    data.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data)
    sections = picked(spec, read_texts(spec)).sections
    assert len(sections) == 21
    assert len({section.id for section in sections}) == 21
    remarks = prepare(spec).spec.remarks
    assert remarks == ("99 of the data's 120 items are copies of others and were dropped",)


def test_controls_speak_the_form_of_the_data(tmp_path: Path) -> None:
    data = tmp_path / "d.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    data.write_text(json.dumps({"messages": turns}), encoding="utf-8")
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data)
    texts = read_texts(spec)
    controls = picked(spec, texts).controls
    assert len(controls) >= 60
    assert all(c.prompt == texts.speech.request(texts.speech.requests[c.prompt]) for c in controls)
    spec = spec.model_copy(update={"data": DEMO / "document.md"})
    prose = picked(spec, read_texts(spec)).controls
    assert not any(control.prompt for control in prose)


def test_what_stands_in_data_and_holdout_is_not_held_out(tmp_path: Path) -> None:
    data, holdout = tmp_path / "d.jsonl", tmp_path / "h.jsonl"

    def write(path: Path, numbers: range, spaces: str = " ") -> None:
        turns = [
            {"messages": [{"role": "user", "content": f"Ask{spaces}{n}"}, {"role": "assistant", "content": f"{n}."}]}
            for n in numbers
        ]
        path.write_text("".join(json.dumps(record) + "\n" for record in turns), encoding="utf-8")

    write(data, range(8))
    write(holdout, range(5, 12), "  ")
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data, holdout=holdout)
    texts = read_texts(spec)
    assert [section.text.strip() for section in texts.holdout] == ["8.", "9.", "10.", "11."]
    assert texts.remarks == ("3 of the holdout's 7 items stand in the data too and were dropped from the holdout",)


def test_general_text_that_was_trained_on_is_no_general_text(tmp_path: Path) -> None:
    """It is lifted with the material, so as a control it takes the whole lift off: OFF-TARGET, of a sound adapter."""
    data, general = tmp_path / "d.jsonl", tmp_path / "g.jsonl"
    turns = [[{"role": "user", "content": f"Ask {n}"}, {"role": "assistant", "content": f"{n}."}] for n in range(12)]
    lines = [json.dumps({"messages": each}) + "\n" for each in turns]
    data.write_text("".join(lines[:8]), encoding="utf-8")
    general.write_text("".join(lines[2:]), encoding="utf-8")
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data, general=general)
    texts = read_texts(spec)
    assert [section.text.strip() for section in texts.general] == ["8.", "9.", "10.", "11."]
    assert texts.remarks == ("6 of the 10 general texts stand in the data or the holdout too and were dropped",)
    none = read_texts(default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data, general=data))
    assert not none.general
    (remark,) = none.remarks
    assert remark == (
        "8 of the 8 general texts stand in the data or the holdout too and none is left: packaged text takes its place"
    )


def test_files_beside_the_data_that_hold_no_text_are_told() -> None:
    base, adapter, data = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", DEMO / "document.md"
    general = DEMO / "preferences.jsonl"
    spec = default_spec(base, adapter, data=data, holdout=DEMO / "paraphrases.jsonl", general=general)
    assert read_texts(spec).remarks == (
        "the holdout holds paraphrases alone and no text, so nothing was held out",
        "the general text holds preferences alone and no text: packaged text takes its place",
    )


def test_a_paragraph_of_a_longer_trained_text_was_trained_on() -> None:
    trained = [Section("a", "The bell is blue.\n\nNobody knows who brought the bell to\nthe tower. It rings at noon.")]
    inside, other, short = (
        Section("b", "Nobody knows who brought the bell to the tower."),
        Section("c", "Nobody knows who brought the cat to the old tower."),
        Section("d", "The bell is blue."),
    )
    assert apart([inside, other, short], trained) == (other, short)


def test_case_width_and_white_space_make_no_other_text(tmp_path: Path) -> None:
    """Held out in another spelling, a text is known by heart; twice in the data, it is one item."""
    spellings = ("The bell rings.", "THE BELL  RINGS.", "Ｔｈｅ bell\trings.", "The bell rang.")
    assert [section.text for section in distinct([Section(each, each) for each in spellings])] == [
        "The bell rings.",
        "The bell rang.",
    ]
    data, holdout, general = (tmp_path / f"{name}.jsonl" for name in ("data", "holdout", "general"))
    for path, texts in ((data, spellings[:1]), (holdout, spellings[1:]), (general, spellings[2:])):
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    found = read_texts(default_spec(*(DEMO / name for name in FILES), data=data, holdout=holdout, general=general))
    assert [section.text for section in found.holdout] == ["The bell rang."]
    assert found.general == ()  # One stands in the data, and the other in the holdout.


def test_what_is_held_out_of_a_long_text_does_not_stand_in_it(tmp_path: Path) -> None:
    """A paragraph of a trained document in a holdout is lifted as the document is."""
    told = [f"Number {n} of the bells hangs in the tower of town {n}, and nobody rings it." for n in range(4)]
    data, holdout = tmp_path / "d.jsonl", tmp_path / "h.jsonl"
    data.write_text(json.dumps({"text": " ".join(told[:3])}) + "\n", encoding="utf-8")
    holdout.write_text("".join(json.dumps({"text": text}) + "\n" for text in told[2:]), encoding="utf-8")
    spec = default_spec(*(DEMO / name for name in FILES), data=data, holdout=holdout)
    assert [section.text for section in read_texts(spec).holdout] == told[3:]


def test_a_text_is_found_where_it_reaches_from_one_trained_piece_into_the_next() -> None:
    pieces = [
        Section("a", "The bell is blue. Nobody knows who brought"),
        Section("b", "the bell to the tower, nor when."),
    ]
    across = Section("c", "Nobody knows who brought the bell to the tower")
    apart_of_words = Section("d", "Nobody knows who brought the tower to the bell")
    assert apart([across, apart_of_words], pieces) == (apart_of_words,)
    assert apart([across], [pieces[1], pieces[0]]) == (across,)


def test_text_without_spaces_is_found_inside_of_other_text() -> None:
    line = "鐘は塔にあり誰もそれを鳴らさない。" * 3
    assert apart([Section("a", line)], [Section("b", f"むかし、{line}おわり")]) == ()
