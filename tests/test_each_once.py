"""Items are distinct texts: copies in the user's data do not count, and the run says how many were dropped."""

from __future__ import annotations

import json
from pathlib import Path

from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import default_spec, picked, prepare, read_texts


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
