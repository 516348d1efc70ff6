"""Records of every shape that trainers write: what is read of them, what is scored, and what is told of bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.core.dialogue import Dialogue, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import Preference, Section
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.shapes import unit_of
from sway_gguf.material.write import record_of
from sway_gguf.suite.prepare import default_spec
from sway_gguf.suite.texts import read_texts

CALL = {"type": "function", "function": {"name": "tide", "arguments": {"port": "Orlow"}}}
ASKED = Dialogue((Turn("user", "Who?"),))


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def read(record: dict[str, Any]) -> Any:
    return unit_of(record, "line 1", "d.jsonl, line 1")


def section(record: dict[str, Any]) -> Section:
    found = read(record)
    assert isinstance(found, Section)
    assert found.dialogue is not None
    return found


def turns(record: dict[str, Any]) -> list[tuple[str, str]]:
    dialogue = section(record).dialogue
    assert dialogue is not None
    return [(turn.role, turn.content) for turn in dialogue.turns]


HI = [("user", "Hi"), ("assistant", "Hello")]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [said("user", "Hi"), said("assistant", "Hello")]},
        {"messages": [said("human", "Hi"), said("model", "Hello")], "text": "rendered: Hi Hello"},
        {"messages": [said("user", [{"type": "text", "text": "H"}, "i"]), said("assistant", [{"text": "Hello"}])]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"conversations": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Hello"}]},
        {"conversations": [said("user", "Hi"), said("assistant", "Hello")], "messages": None},
        {"prompt": [said("user", "Hi")], "completion": [said("assistant", "Hello")]},
        {"prompt": [said("user", "Hi")], "completion": "Hello"},
        {"prompt": "Hi", "completion": [said("assistant", "Hello")]},
        {"prompt": "Hi ", "completion": " Hello"},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"instruction": "Hi", "input": None, "response": "Hello"},
        {"question": "Hi", "answer": "Hello", "system_prompt": ""},
        {"query": "Hi", "response": "Hello"},
        {"problem": "Hi", "solution": "Hello", "chat_template_kwargs": {"enable_thinking": False}},
    ],
    ids=lambda record: "+".join(record),
)
def test_every_shape_of_an_exchange_is_one_dialogue(record: dict[str, Any]) -> None:
    assert turns(record) == HI
    assert section(record).dialogue.replies == (1,)  # type: ignore[union-attr]


def test_a_system_field_and_a_history_are_turns() -> None:
    record = {"system": "Be brief.", "instruction": "Add", "input": "1 2", "output": "3", "history": [["a", "b"]]}
    wanted = [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "Add\n1 2"), ("assistant", "3")]
    assert turns(record) == wanted
    assert section(record).dialogue.replies == (2, 4)  # type: ignore[union-attr]
    talk = {"messages": [said("system", "Mine."), said("user", "Hi"), said("assistant", "Hello")], "system": "Other."}
    assert turns(talk)[0] == ("system", "Mine.")


def test_every_reply_counts_but_those_that_were_not_trained_on() -> None:
    record = {
        "conversations": [
            {"from": "gpt", "value": "Welcome."},
            *[{"from": who, "value": f"{n}"} for n in range(4) for who in ("human", "gpt")],
            {"from": "human", "value": "Bye"},
        ]
    }
    assert section(record).dialogue.replies == (2, 4, 6, 8)  # type: ignore[union-attr]
    assert len(turns(record)) == 9
    record["conversations"][2]["weight"] = 0  # type: ignore[assignment]
    record["conversations"][4]["train"] = False  # type: ignore[assignment]
    record["conversations"][8]["weight"] = 0  # type: ignore[assignment]
    record["conversations"][6]["weight"] = 1  # type: ignore[assignment]
    assert section(record).dialogue.replies == (6,)  # type: ignore[union-attr]
    assert section(record).text == " 2"
    assert "weight" not in section(record).dialogue.turns[6].more  # type: ignore[union-attr]


def test_replies_in_a_prompt_are_not_scored_as_trainers_have_it() -> None:
    prompt = [said("user", "a"), said("assistant", "b"), said("user", "c")]
    found = section({"prompt": prompt, "completion": [said("assistant", "d")]}).dialogue
    assert found is not None
    assert (found.unscored, found.replies) == ((1,), (3,))


@pytest.mark.parametrize("tools", [[{"name": "tide"}], '[{"name": "tide"}]'])
@pytest.mark.parametrize("arguments", [{"port": "Orlow"}, '{"port": "Orlow"}'])
def test_tools_their_calls_and_their_results(tools: object, arguments: object) -> None:
    calls = [{"type": "function", "function": {"name": "tide", "arguments": arguments}}]
    talk = [
        said("user", "When?"),
        {"role": "assistant", "content": None, "tool_calls": calls, "name": None},
        said("tool", {"at": "16:20"}, tool_call_id="1", name="tide"),
        said("assistant", "Then.", reasoning_content="It is so."),
    ]
    found = section({"messages": talk, "tools": tools}).dialogue
    assert found is not None
    assert found.offered() == [{"name": "tide"}]
    assert found.replies == (1, 3)
    assert found.messages() == [
        said("user", "When?"),
        said("assistant", "", tool_calls=[CALL]),
        said("tool", '{"at": "16:20"}', tool_call_id="1", name="tide"),
        said("assistant", "Then.", reasoning_content="It is so."),
    ]


def test_a_function_call_of_sharegpt_calls_a_tool() -> None:
    calling = {"from": "function_call", "value": json.dumps(CALL["function"])}
    talk = [{"from": "human", "value": "When?"}, calling, {"from": "observation", "value": "16:20"}]
    last = {"from": "gpt", "value": "Then."}
    found = section({"conversations": [*talk, last], "tools": ""}).dialogue
    assert found is not None
    assert found.messages()[1:3] == [said("assistant", "", tool_calls=[CALL]), said("tool", "16:20")]
    alone = section({"conversations": talk[:2]})
    assert json.loads(alone.text) == [CALL]
    calling["value"] = "no JSON"
    assert turns({"conversations": [*talk, last]})[1] == ("assistant", "no JSON")


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": [said("user", "Who?")], "chosen": [said("assistant", "A")], "rejected": [said("assistant", "B")]},
        {"prompt": [said("user", "Who?")], "chosen": "A", "rejected": "B"},
        {"prompt": "Who?", "chosen": [said("assistant", "A")], "rejected": [said("assistant", "B")]},
        {
            "chosen": [said("user", "Who?"), said("assistant", "A")],
            "rejected": [said("user", "Who?"), said("model", "B")],
        },
        {
            "prompt": "Who?",
            "chosen": [said("user", "Who?"), said("assistant", "A")],
            "rejected": [said("user", "Who?"), said("assistant", "B")],
        },
        {
            "conversations": [{"from": "human", "value": "Who?"}],
            "chosen": {"from": "gpt", "value": "A"},
            "rejected": {"from": "gpt", "value": "B"},
        },
    ],
)
def test_every_shape_of_a_preference(record: dict[str, Any]) -> None:
    assert read(record) == Preference("user: Who?\nassistant:", "A", "B", ASKED)


def test_a_preference_of_several_turns_keeps_what_both_begin_with() -> None:
    begin = [said("user", "a"), said("assistant", "b"), said("user", "c")]
    pair = {key: [*begin, said("assistant", key)] for key in ("chosen", "rejected")}
    found = read({**pair, "system": "s", "tools": [{"name": "t"}]})
    assert [turn.content for turn in found.dialogue.turns] == ["s", "a", "b", "c"]
    assert (found.chosen, found.rejected, found.dialogue.tools) == ("chosen", "rejected", '[{"name": "t"}]')
    assert read({"instruction": "i", "input": "x", "chosen": "c", "rejected": "r"}).dialogue.turns[0].content == "i\nx"


def test_texts_stay_as_they_were_for_the_plain_format() -> None:
    assert read({"prompt": "Q ", "chosen": " a", "rejected": " b"}) == Preference("Q ", " a", " b")
    assert read({"prompt": "Q", "completion": " A"}) == Section("line 1", " A", "Q", "completion", exchange("Q", "A"))
    found = section({"question": "Q", "answer": "A"})
    assert (found.prompt, found.text, found.form) == ("Q\n", "A", "instruction")


A_TALK = [said("user", "a"), said("assistant", "b")]


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"messages": []}, "'messages' must be a list"),
        ({"messages": [said("user", "Hi")]}, "no assistant's reply to anything"),
        ({"messages": [said("assistant", "Hi")]}, "no assistant's reply to anything"),
        ({"messages": [said("user", "Hi"), said("assistant", "x", weight=0)]}, "reply to anything that was trained on"),
        ({"messages": [said("user", "Hi"), said("assistant", " ")]}, "message 2: an assistant's 'content'"),
        ({"messages": [{"content": "Hi"}, said("assistant", "x")]}, "message 1 has no role"),
        ({"messages": [{"role": "user"}, said("assistant", "x")]}, "message 1 has no text; give it content"),
        ({"messages": [said("user", 3), said("assistant", "x")]}, "message 1: 'content' must be text"),
        ({"messages": [said("user", [{"type": "image"}]), said("assistant", "x")]}, "holds image, and only text"),
        ({"messages": [*A_TALK, said("assistant", "", tool_calls=[1])]}, "'tool_calls' must be a list of objects"),
        ({"messages": [said("user", "a", x=float("nan")), said("assistant", "b")]}, "not finite"),
        ({"messages": A_TALK, "tools": "no JSON"}, "'tools' must be a list"),
        ({"messages": A_TALK, "system": 3}, "'system' must be text"),
        ({"instruction": "i", "output": "o", "history": [["a"]]}, "'history' must be a list of pairs"),
        ({"prompt": None, "completion": "x", "text": None}, r"has prompt (null), completion, text (null); one of"),
        ({"chosen": A_TALK, "rejected": [said("user", "c"), *A_TALK]}, "must differ in one reply"),
        ({"chosen": "a", "rejected": "b"}, "have no prompt"),
        ({"prompt": [said("user", "p")], "chosen": [said("user", "x")], "rejected": "y"}, "must differ in one reply"),
    ],
)
def test_a_bad_record_is_one_line_that_names_it(record: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        read(record)
    assert str(caught.value).startswith("d.jsonl, line 1: ")
    assert complaint in str(caught.value)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "gpt", "function_call"]), "content": TEXT},
    optional={"weight": st.integers(0, 1), "name": TEXT, "tool_calls": st.just([CALL]), "thinking": TEXT},
)
TALK = st.lists(MESSAGE, max_size=4).map(lambda some: [said("user", "Hi"), *some, said("assistant", "Hello")])
ASKING = st.one_of(TEXT, TALK)
PAIRS = st.lists(st.tuples(TEXT, TEXT).map(list))
TOOLS = st.sampled_from([None, [], [{"name": "tide"}], '[{"name": "tide"}]'])
RECORDS = st.one_of(
    st.fixed_dictionaries({"messages": TALK}, optional={"tools": TOOLS, "system": TEXT}),
    st.fixed_dictionaries(
        {"prompt": st.one_of(TEXT, TALK), "completion": TEXT}, optional={"system": TEXT, "tools": TOOLS}
    ),
    st.fixed_dictionaries(
        {"question": TEXT, "answer": TEXT},
        optional={"input": TEXT, "system": TEXT, "history": PAIRS, "tools": TOOLS},
    ),
    st.fixed_dictionaries(
        {"prompt": st.one_of(TEXT, TALK), "chosen": TEXT, "rejected": TEXT}, optional={"tools": TOOLS}
    ),
    st.fixed_dictionaries({"text": TEXT}),
    st.fixed_dictionaries({"prompt": TEXT, "gold": TEXT, "paraphrases": st.lists(TEXT, min_size=1)}),
    st.fixed_dictionaries({"prompt": TEXT, "secret": TEXT}),
)


@given(RECORDS)
def test_a_unit_that_is_written_and_read_again_is_the_same(record: dict[str, Any]) -> None:
    unit = read(record)
    assert unit_of(json.loads(json.dumps(record_of(unit))), "line 1", "again") == unit


@pytest.mark.parametrize("form", ["plain", "chatml"])
def test_preferences_as_messages_are_rendered_as_dialogues_are(tmp_path: Path, form: str) -> None:
    pair = {key: [said("user", "Who?"), said("assistant", f" {key} ")] for key in ("chosen", "rejected")}
    data = tmp_path / "d.jsonl"
    data.write_text(
        json.dumps(pair) + "\n" + json.dumps({"messages": [said("user", "Who?"), said("assistant", "chosen")]})
    )
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data)
    found = read_texts(spec.model_copy(update={"format": form})).material
    (section,), (triple,) = found.sections, found.preferences
    assert (triple.prompt, triple.chosen, triple.ending) == (section.prompt, section.text, section.ending)


def test_a_reply_that_only_calls_a_tool_is_text_in_every_format(tmp_path: Path) -> None:
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps({"messages": [said("user", "When?"), said("assistant", None, tool_calls=[CALL])]}))
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data)
    (section,) = read_texts(spec.model_copy(update={"format": "plain"})).material.sections
    assert json.loads(section.text) == [CALL]
