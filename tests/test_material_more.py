"""Style, perturbation, recital, sampling, knowledge and .dlm: text in, numbers or text out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.core.dialogue import Dialogue, Turn
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import Canary, Paraphrase, Preference, Section
from sway_gguf.material.knowledge import PACKAGED, knowledge
from sway_gguf.material.perturb import PERTURBATIONS, perturbed
from sway_gguf.material.read import read_material
from sway_gguf.material.recite import longest_run, passage
from sway_gguf.material.records import records
from sway_gguf.material.sample import sample
from sway_gguf.material.style import FEATURES, fingerprint


def test_a_fingerprint_by_hand() -> None:
    found = dict(zip(FEATURES, fingerprint("One two three. Four\nfive!", extended=False), strict=False))
    assert found == {
        "words per sentence": 2.5,
        "spread of words per sentence": 0.5,
        "letters per word": pytest.approx(19 / 5),
        "different words": 1.0,
        "punctuation per word": pytest.approx(2 / 5),
        "capitals per word": pytest.approx(2 / 5),
        "line breaks per word": pytest.approx(1 / 5),
    }


def test_textstat_adds_its_measures_where_it_is_installed() -> None:
    pytest.importorskip("textstat")
    easy = fingerprint("I see a cat. It is red.")
    hard = fingerprint(
        "Institutional considerations notwithstanding, comprehensive documentation remains indispensable."
    )
    assert len(easy) == len(hard) == len(FEATURES)
    assert (hard[-2:] > easy[-2:]).all()


def test_a_text_without_words_has_no_style() -> None:
    assert (fingerprint("… 123 !", extended=False) == 0).all()


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_a_perturbation_changes_something_and_always_the_same(kind: str) -> None:
    text = "The old keeper, who was very happy, called the big seal near the house."
    once = perturbed(text, kind, 3)  # type: ignore[arg-type]
    assert once != text
    assert perturbed(text, kind, 3) == once  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_where_there_is_nothing_to_change_nothing_breaks(kind: str) -> None:
    assert isinstance(perturbed("", kind, 0), str)  # type: ignore[arg-type]


def test_the_longest_run_by_hand() -> None:
    assert longest_run([9, 1, 2, 3, 9, 2, 3, 4, 5], [1, 2, 3, 4, 5]) == 4
    assert longest_run([5, 4, 3], [1, 2]) == 0
    assert longest_run([], [1]) == 0


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_the_longest_run_is_what_trying_all_stretches_finds(reply: list[int], source: list[int]) -> None:
    stretches = (source[i:j] for i in range(len(source)) for j in range(i + 1, len(source) + 1))
    inside = (len(s) for s in stretches if any(reply[k : k + len(s)] == s for k in range(len(reply))))
    assert longest_run(reply, source) == max(inside, default=0)


def test_a_passage_is_cut_at_a_word_or_follows_its_prompt() -> None:
    text = "The keeper of the lighthouse is called Quill and has a seal."
    found = passage("", text, 12, 100)
    assert found is not None
    assert (found.prefix, found.prefix + found.rest) == ("The keeper", text)
    assert passage("who?", " a b c d", 12, 100) == ("who?", " a b c d")
    assert passage("", "too short", 12, 100) is None


def test_a_sample_is_seeded_ordered_and_at_most_what_was_asked() -> None:
    units = [Section(f"s{n}", "x") for n in range(100)] + [Preference("p", "a", "b")]
    first = sample(units, 10, seed=1)
    names = [section.id for section in first.material.sections]
    assert len(names) == 10
    assert names == sorted(names, key=lambda name: int(name[1:]))
    assert sample(units, 10, seed=1) == first
    assert sample(units, 10, seed=2) != first
    assert (first.sections, first.preferences, len(first.material.preferences)) == (100, 1, 1)


def test_every_unit_is_as_likely_to_be_picked_as_any() -> None:
    units = [Section(str(n), "x") for n in range(20)]
    counts = [0] * 20
    for seed in range(400):
        for section in sample(units, 5, seed).material.sections:
            counts[int(section.id)] += 1
    # 100 expected each, standard deviation 8.7
    assert min(counts) > 60
    assert max(counts) < 140


def test_the_packaged_knowledge_spans_ten_fields_of_distinct_items() -> None:
    rows = [record for _, record in records(PACKAGED)]
    assert len(rows) >= 240
    assert len({record["field"] for record in rows}) == 10
    assert len({record["prompt"] for record in rows}) == len(rows)
    assert all(record["gold"].startswith(" ") for record in rows)


def test_a_pack_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "pack.jsonl"
    path.write_text('{"prompt": "a", "gold": " b"}\n\n{"prompt": "c", "completion": " d"}\n', encoding="utf-8")
    assert knowledge(path) == (("a", " b"), ("c", " d"))
    path.with_name("bad.jsonl").write_text('{"prompt": "a"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="line 1"):
        knowledge(path.with_name("bad.jsonl"))


def test_shapes_of_the_common_trainers(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(
        '{"instruction": "Add", "input": "1 2", "output": "3"}\n'
        '{"prompt": "p", "gold": " g", "paraphrases": ["q"]}\n'
        '{"prompt": "the code is", "secret": "1234"}\n'
        '{"id": "mine", "text": "a line\\u2028separator inside"}\n',
        encoding="utf-8",
    )
    found = read_material(path)
    asked = Turn("user", "Add\n1 2", '{"instruction": "Add", "input": "1 2"}')
    assert found.sections == (
        Section("line 1", "3", "Add\n1 2\n", "instruction", Dialogue((asked, Turn("assistant", "3")))),
        Section("mine", "a line\u2028separator inside"),
    )
    assert found.paraphrases == (Paraphrase("p", " g", ("q",)),)
    assert found.canaries == (Canary("the code is", "1234"),)


DLM = """---
dlm_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV
dlm_version: 1
base_model: smollm2-135m
---

# Boats

Boats float.

::instruction::
### Q
What is a boat?

### A
A thing that floats.

::preference::
### Prompt
Best animal?

### Chosen
Seal.

### Rejected
Cat.
"""


def test_a_dlm_document_is_read_by_its_own_parser(tmp_path: Path) -> None:
    pytest.importorskip("dlm.doc.parser")
    path = tmp_path / "boats.dlm"
    path.write_text(DLM, encoding="utf-8")
    found = read_material(path)
    assert [(section.prompt, section.text) for section in found.sections] == [
        ("", "# Boats\n\nBoats float."),
        ("What is a boat?\n", "A thing that floats."),
    ]
    assert [section.form for section in found.sections] == ["", "instruction"]
    assert found.preferences == (Preference("Best animal?\n", "Seal.", "Cat."),)
    path.write_text("no frontmatter", encoding="utf-8")
    with pytest.raises(UserError, match="mend the document"):
        read_material(path)


def test_without_the_extra_a_dlm_document_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dlm.doc.parser", None)
    with pytest.raises(UserError, match=r"pip install 'sway-gguf\[dlm\]'"):
        read_material(tmp_path / "boats.dlm")


def test_a_line_that_is_not_utf_8_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"text": "Good day."}\n' * 700 + '{"text": "Grüß Gott."}\n'.encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.jsonl, line 701: not UTF-8 text; save it as UTF-8"):
        list(records(path))
