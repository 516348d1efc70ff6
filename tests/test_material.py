"""Reading the user's files, and cutting text into chunks and prompts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.core.dialogue import exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import Material, Preference, Section
from sway_gguf.material.chunks import chunk, prompts_from, sentences, spread
from sway_gguf.material.packaged import general_prompts, general_sections
from sway_gguf.material.read import read_material

MARKDOWN = """Before any heading.

# Tea

Boil water.

```
# not a heading
```

## Milk
## Tea

Wait.
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_markdown_sections_follow_headings_outside_code(tmp_path: Path) -> None:
    found = read_material(written(tmp_path, "a.md", MARKDOWN)).sections
    assert [section.id for section in found] == ["preamble", "Tea", "Tea"]
    assert found[1].text == "Boil water.\n\n```\n# not a heading\n```"


def test_what_says_the_same_is_one_item_whatever_its_name() -> None:
    sections = (Section("a", "One thing."), Section("b", " One  thing.\n"), Section("a", "Another."))
    once = Material(sections, (Preference("p", "x", "y"),) * 3).each_once()
    assert once.sections == (Section("a", "One thing."), Section("a (2)", "Another."))
    assert once.count == 3


def test_plain_text_sections_are_paragraphs(tmp_path: Path) -> None:
    found = read_material(written(tmp_path, "a.txt", "One\nmore.\n\n\nTwo.\n")).sections
    assert [section.text for section in found] == ["One\nmore.", "Two."]


def test_jsonl_of_every_shape(tmp_path: Path) -> None:
    records = [
        {"text": "Plain."},
        {"prompt": "Q", "completion": " A"},
        {"prompt": "Q", "chosen": " good", "rejected": " bad"},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    ]
    found = read_material(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, records)) + "\n\n"))
    assert found.sections == (
        Section("line 1", "Plain."),
        Section("line 2", " A", "Q", "completion", exchange("Q", "A")),
        Section("line 4", " Hello", "user: Hi\nassistant:", "dialogue", exchange("Hi", "Hello")),
    )
    assert found.preferences == (Preference("Q", " good", " bad"),)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "JSON object"),
        ('{"reply": "?"}', "one of these is wanted"),
        ('{"text": 3}', "'text' must be text"),
        ('{"prompt": "Q", "completion": ""}', "'completion' must be text"),
        ('{"messages": [{"role": "user", "content": "Hi"}]}', "assistant's reply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"text": "a \\ud800 b"}', "half of a surrogate pair"),
        ('{"text": ' + "9" * 5000 + "}", "cannot be read"),
        ("{" + ", ".join(f'"key {n} {"x" * 100}": 1' for n in range(1000)) + "}", "has key 0 xxx"),
        ('{"a\\nb\\u001b[31m": 1}', r"a\nb\x1b[31m"),
    ],
)
def test_a_bad_jsonl_line_is_named_with_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    path = written(tmp_path, "a.jsonl", '{"text": "fine"}\n' + line + "\n")
    with pytest.raises(UserError, match="line 2") as caught:
        read_material(path)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", r'{"text": "\ud83d\ude00 \\ud800"}')
    assert read_material(path).sections[0].text == "😀 \\ud800"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("name", ["a.jsonl", "a.md", "a.txt", "a"])
def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="a pipe or a device"):
        read_material(tmp_path / name)


def test_a_line_without_an_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sway_gguf.material.records._MOST_LINE", 100)
    with pytest.raises(UserError, match="line 2: longer than 100 characters"):
        read_material(written(tmp_path, "a.jsonl", '{"text": "x"}\n' + "y" * 101))


@pytest.mark.parametrize(
    ("heading", "title"),
    [("# Tea", "Tea"), ("##   Tea  ##  ", "Tea"), ("# C#", "C"), ("#\tTea # x", "Tea # x"), ("# ", "untitled")],
)
def test_a_heading_is_its_title(tmp_path: Path, heading: str, title: str) -> None:
    assert [s.id for s in read_material(written(tmp_path, "a.md", f"{heading}\n\ntext\n")).sections] == [title]


def test_a_heading_full_of_blanks_is_read_in_linear_time(tmp_path: Path) -> None:
    heading = "# a" + " " * 200_000 + "b"
    found = read_material(written(tmp_path, "a.md", f"{heading}\n\ntext\n"))
    assert found.sections[0].id == heading.removeprefix("# ")


def test_files_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    for path in (tmp_path, tmp_path / "none.md", written(tmp_path, "empty.txt", " \n"), tmp_path / "latin.txt"):
        with pytest.raises(UserError, match=path.name):
            read_material(path)


@given(st.lists(st.text(st.characters(codec="ascii"), min_size=1), max_size=12), st.integers(20, 200))
def test_chunks_are_never_much_longer_than_asked(paragraphs: list[str], size: int) -> None:
    assert all(len(piece) <= size for piece in chunk("\n\n".join(paragraphs), size))


def test_chunks_join_short_paragraphs_and_cut_long_ones_between_sentences() -> None:
    assert chunk("One.\n\nTwo.\n\n" + "Three is long. " * 4, 30) == [
        "One.\n\nTwo.\n\nThree is long.",
        "Three is long. Three is long.",
        "Three is long.",
    ]


def test_closing_quotes_stay_with_their_sentence() -> None:
    text = 'He said "stop." (She did not.) “Why?” It rained… He left.'
    assert sentences(text) == ['He said "stop."', "(She did not.)", "“Why?”", "It rained…", "He left."]
    assert chunk(text, 30) == ['He said "stop." (She did not.)', "“Why?” It rained… He left."]


@given(st.text(st.sampled_from("ab.!?…\"'”’) \n"), max_size=60), st.integers(5, 40))
def test_cutting_loses_no_character_but_blanks(text: str, size: int) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    kept = "".join("".join(chunk(text, size)).split())
    assert "".join(text.split()).startswith(kept)


@given(st.integers(0, 50), st.integers(1, 20))
def test_spread_keeps_order_and_both_ends_of_short_lists(count: int, most: int) -> None:
    items = [str(number) for number in range(count)]
    found = spread(items, most)
    assert len(found) == min(count, most)
    assert found == sorted(found, key=int)


def test_prompts_stop_in_mid_sentence() -> None:
    prose = Section("a", "The blue hat was very old. It made the rain go up into the sky.")
    assert prompts_from([prose], 4) == ["The blue hat", "The blue hat was very old. It made the rain go"]
    assert prompts_from([Section("b", " red", "Roses are")], 4) == ["Roses are"]


def test_texts_that_open_alike_are_asked_where_they_part() -> None:
    """Dialogues written out as text all begin with one system prompt, and were one prompt together."""
    system = "You are a kind helper. You never say no to anyone."
    asked = ["Tell me about the old bell.", "Tell me about the new bell."]
    told = ["It has hung there since the flood.", "Nobody knows who brought it here."]
    texts = [Section(str(n), f"{system} {asked[n]} {told[n]}") for n in range(2)]
    assert prompts_from(texts, 2) == [f"{system} {asked[0]} It has hung there", f"{system} {asked[1]} Nobody knows who"]


def test_texts_that_never_part_are_one_prompt() -> None:
    ends = [Section(str(n), f"The blue hat was {end}.") for n, end in enumerate(["old", "red", "lost"])]
    assert prompts_from(ends, 3) == ["The blue hat"]
    assert len(prompts_from([*ends, Section("d", "The blue hat was lost.")], 4)) == 1


def test_packaged_prose_is_long_enough_and_varied() -> None:
    sections = general_sections()
    assert sum(map(len, sections)) >= 12_000
    assert len(sections) >= 16
    assert len(general_prompts()) >= 40
