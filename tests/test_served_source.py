"""What a server is held against: the run of a result, its prompts, and how a watch tells what it sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.cli.served import _watch
from sway_gguf.core.dialogue import Dialogue, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.file_records import AdapterRecord, FileRecord
from sway_gguf.core.loras import Lora
from sway_gguf.core.result_json import from_json, to_json
from sway_gguf.core.sections import Material, Section
from sway_gguf.core.served import Served, Serves
from sway_gguf.core.views import BASE, TUNED, MemberView, PartView
from sway_gguf.engine.http import Server, UnreachableError
from sway_gguf.material.packaged import DEMO
from sway_gguf.served.candidates import candidates, part_view, parts_of
from sway_gguf.served.prompts import CHAT, POOL, TEXT, Prompt, chat_pool, rendered, text_pool
from sway_gguf.served.source import KINDS, source_of
from sway_gguf.spec.models import AdapterSpec
from sway_gguf.suite.prepare import default_spec
from sway_gguf.suite.speech import Speech, speech_of

FILES = {"base": DEMO / "base.f32.gguf", "adapter": DEMO / "healthy.lora.gguf", "data": DEMO / "document.md"}
OLD = Path(__file__).parent / "results" / "v1-healthy.json"


def kept(folder: Path, **changed: FileRecord | None) -> Path:
    """A result of the demo in `folder`, with these records in place of its own."""
    records = {role: FileRecord(role, str(path), sha256_of(path), 1) for role, path in FILES.items()} | changed
    result = from_json(OLD.read_text(encoding="utf-8"), "old")
    result = replace(result, files=tuple(filter(None, records.values())), format="plain text")
    result = replace(result, texts={"a": ("Once upon", " a time"), "b": ("Once upon", " a mattress")})
    path = folder / "result.json"
    path.write_text(to_json(result), encoding="utf-8")
    return path


def test_a_result_names_files_data_and_format(tmp_path: Path) -> None:
    found = source_of(kept(tmp_path))
    assert (found.spec.models.base.base, found.spec.models.ft.adapter) == (FILES["base"], FILES["adapter"])
    assert (found.spec.data, found.spec.format, found.prompts) == (FILES["data"], "plain", ())


def test_where_its_data_is_gone_the_prompts_that_it_kept_are_asked(tmp_path: Path) -> None:
    found = source_of(kept(tmp_path, data=FileRecord("data", "gone.md", "", 1)))
    assert (found.spec.data, found.prompts) == (None, ("Once upon",))
    given = source_of(kept(tmp_path, data=FileRecord("data", "gone.md", "", 1)), FILES["data"])
    assert (given.spec.data, given.prompts) == (FILES["data"], ())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"adapter": FileRecord("adapter", str(FILES["adapter"]), "0" * 64, 1)}, "not the adapter of"),
        ({"base": FileRecord("base", "gone.gguf", "0" * 64, 1)}, "gone.gguf is not there"),
        ({"adapter": None}, "names no adapter"),
    ],
)
def test_other_files_than_those_of_the_result_are_told(
    tmp_path: Path, changed: dict[str, FileRecord | None], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        source_of(kept(tmp_path, **changed))


def test_a_result_of_a_set_names_every_adapter_with_its_scale(tmp_path: Path) -> None:
    """What a lone adapter's run tested at another scale is looked for at that scale."""
    digest, half = sha256_of(FILES["adapter"]), AdapterRecord(21, (8,), 16.0, scale=0.5)
    record = FileRecord("adapter", str(FILES["adapter"]), digest, 1, adapter=half)
    both = source_of(kept(tmp_path, another=record)).spec
    assert both.models.ft.loras == (Lora(FILES["adapter"]), Lora(FILES["adapter"], 0.5))
    assert source_of(kept(tmp_path, adapter=record)).spec.models.ft.loras == (Lora(FILES["adapter"], 0.5),)
    with pytest.raises(UserError, match="not the adapter of"):
        source_of(kept(tmp_path, another=replace(record, sha256="0" * 64)))


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ("plain text", "plain"),
        ("the base's own chat template", "chat"),
        ("the alpaca template", "alpaca"),
        ("the chat template of a/b.jinja", "a/b.jinja"),
        ("", "auto"),
    ],
)
def test_the_format_is_what_the_option_would_have_said(tmp_path: Path, named: str, wanted: str) -> None:
    path = kept(tmp_path)
    result = from_json(path.read_text(encoding="utf-8"), "new")
    path.write_text(to_json(replace(result, format=named)), encoding="utf-8")
    assert source_of(path).spec.format == wanted


# -- prompts ----------------------------------------------------------------------------------------------------------


def speech(format: str) -> Speech:
    """How a run of the demo speaks in a format."""
    spec = default_spec(FILES["base"], FILES["adapter"], kinds=KINDS).model_copy(update={"format": format})
    return speech_of(spec, Material())


def test_texts_are_cut_between_words_and_a_prompt_stands_whole() -> None:
    sections = [Section(str(n), "one two three four five", prompt=f"Count {n}: ") for n in range(POOL // 4)]
    pool = text_pool(sections, (), speech("plain"), 0)
    ends = {"", "one", "one two", "one two three"}
    assert {prompt.text for prompt in pool} == {section.prompt + end for section in sections for end in ends}
    assert {prompt.source for prompt in pool} == {section.id for section in sections}
    many = [*sections, *(Section(f"more {n}", "six seven eight", prompt=f"And {n}: ") for n in range(9))]
    assert len(text_pool(many, (), speech("plain"), 0)) == POOL
    assert text_pool(many, (), speech("plain"), 0) == text_pool(many, (), speech("plain"), 0)
    assert text_pool(many, (), speech("plain"), 0) != text_pool(many, (), speech("plain"), 1)


def test_a_chat_is_the_runs_dialogues_as_messages_and_none_that_calls_tools() -> None:
    spoken = speech("alpaca")
    spoken.dialogues["x"] = exchange("Which way?")
    spoken.dialogues["y"] = Dialogue(exchange("Call it").turns, tools="[]")
    spoken.dialogues["z"] = Dialogue(
        (Turn("user", "Hi"), Turn("assistant", "", '{"tool_calls": []}'), Turn("user", "?"))
    )
    pool = chat_pool(spoken, 0)
    asked = {prompt.source for prompt in pool}
    assert all(prompt.dialogue is not None and prompt.text == rendered(spoken, prompt.dialogue) for prompt in pool)  # type: ignore[arg-type]
    assert not {"Call it", "?"} & asked


def test_of_a_text_and_of_a_chat_other_things_are_thought() -> None:
    spec = default_spec(FILES["base"], FILES["adapter"], kinds=KINDS)
    spoken = speech("alpaca")
    dialogue = exchange("Which way?")
    chat = candidates(spec, spoken, CHAT, [Prompt(rendered(spoken, dialogue), "1", dialogue)])
    text = candidates(spec, spoken, TEXT, [Prompt("Once upon", "1")])
    for found in (chat, text):
        assert [(each.name, each.view) for each in found[:2]] == [("tuned", TUNED), ("base", BASE)]
        assert len({each.name for each in found}) == len(found)
    names = {each.name for each in chat}
    assert {"tuned at λ=0.5", "tuned, the chatml template", "tuned, the base's own chat template"} <= names
    assert "tuned, the alpaca template" not in names
    wrapped = next(each for each in text if each.put is not None)
    assert wrapped.means == Serves.TUNED
    assert wrapped.text(Prompt("Once upon", "1")) == "Anna: Once upon\nBen:"


def test_of_a_set_each_part_is_thought_of_and_what_is_missing_then_is_named() -> None:
    three = [AdapterSpec(path=Path(f"{name}.gguf"), scale=scale) for name, scale in (("a", 1.0), ("b", 0.5), ("c", 1))]
    for members, wanted in (
        (three[:1], []),
        (three[:2], ["a.gguf alone: b.gguf:0.5 is not applied", "b.gguf:0.5 alone: a.gguf is not applied"]),
        (
            three,
            [
                "a.gguf alone: b.gguf:0.5 and c.gguf are not applied",
                "b.gguf:0.5 alone: a.gguf and c.gguf are not applied",
                "c.gguf alone: a.gguf and b.gguf:0.5 are not applied",
                "a.gguf and b.gguf:0.5 alone: c.gguf is not applied",
                "a.gguf and c.gguf alone: b.gguf:0.5 is not applied",
                "b.gguf:0.5 and c.gguf alone: a.gguf is not applied",
            ],
        ),
    ):
        spec = default_spec(FILES["base"], members, kinds=KINDS)
        found = candidates(spec, speech("plain"), TEXT, [Prompt("Once upon", "1")])
        parts = [each for each in found if isinstance(each.view, MemberView | PartView)]
        assert [each.name for each in parts] == wanted
        assert [each.view for each in parts] == [part_view(places) for places in parts_of(len(members))]
        assert all(each.means == Serves.ELSE and each.is_plain and each.is_apart for each in parts)


# -- watching ---------------------------------------------------------------------------------------------------------


class Looks:
    """Looks whose outcomes are given."""

    def __init__(self, *outcomes: Serves | UserError) -> None:
        self._outcomes = iter(outcomes)

    def at(self, server: Server, model: str) -> Served:
        outcome = next(self._outcomes)
        if isinstance(outcome, UserError):
            raise outcome
        return Served("http://127.0.0.1", model, outcome, "", 0.001, (), 1)


def test_a_watch_tells_what_changed_and_goes_on_where_nothing_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    looks = Looks(Serves.TUNED, UnreachableError("gone"), Serves.TUNED, Serves.BASE)
    with pytest.raises(KeyboardInterrupt):
        _watch(looks, Server("localhost:1"), "m", 3600.0, None)  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert naps == [3600.0] * 4
    assert [line.split("  ")[1] for line in told.out.splitlines()] == [
        "SERVES TUNED",
        "SERVES TUNED",
        "SERVES BASE (was: SERVES TUNED)",
    ]
    assert "no answer: gone" in told.err
