"""Where replies stand in a rendered dialogue: by properties over dialogues and templates, and the odd ones by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sway_gguf.artifacts.chat import template
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, TOOL, USER, Dialogue, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text
from sway_gguf.core.sections import Canary, Paraphrase, Preference, Section
from sway_gguf.material.spoken import Template, template_of

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TURN = "{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}"
ODD = {
    # Earlier turns lose their thoughts, the last turn gets an empty one, as in Qwen3.
    "thinking": (
        "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.role == 'assistant' %}"
        "{% set said = m.content.split('</think>')[-1] %}{% if loop.last %}"
        "<think>{{ m.content.split('</think>')[0].split('<think>')[-1] if '</think>' in m.content else '' }}</think>"
        "{% endif %}{{ said }}{% else %}{{ m.content }}{% endif %}{{ '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}"
        "{% if enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% endif %}{% endif %}"
    ),
    # The opening begins a thought that no written reply has, as in DeepSeek R1.
    "opens a thought": (
        "{% for m in messages %}" + TURN + "{% endfor %}{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
    ),
    "eos at the very end": "{% for m in messages %}" + TURN + "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}",
    "no opening": "{% for m in messages %}" + TURN + "\n{% endfor %}",
    "generation blocks": "{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>{% generation %}"
    "{{ m.content + '<|end|>' }}{% endgeneration %}{% else %}" + TURN + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "system with the last request": "{% for m in messages %}{% if m.role == 'user' %}[INST]"
    "{{ messages[0].content + '\n\n' if loop.last and messages[0].role == 'system' else '' }}{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
    "counts its turns": "[{{ messages | length }}]{% for m in messages %}" + TURN + "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
}
ENDINGS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "mistral": "</s>",
    "phi": "<|end|>",
    "alpaca": "</s>",
    "plain": "",
    "opens a thought": "<|end|>",
    "eos at the very end": "<|end|>",
    "no opening": "<|end|>",
    "generation blocks": "<|end|>",
    "system with the last request": "</s>",
    "counts its turns": "<|end|>",
}
WORDS = st.text(st.sampled_from("ab <>é\n日|/"), min_size=1, max_size=12).filter(lambda text: text == text.strip())
CONTENTS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4)


@cache
def spoken(name: str, **values: object) -> Template:
    return template_of(template({**FAMILIES, **ODD}[name], name, SPECIAL, values))


def dialogue(*contents: str, system: str | None = None) -> Dialogue:
    turns = tuple(Turn((USER, ASSISTANT)[place % 2], text) for place, text in enumerate(contents))
    return Dialogue(turns if system is None else (Turn(SYSTEM, system), *turns))


def scored(section: Section) -> list[str]:
    """What is scored of a section, stretch by stretch; one of several texts is the reply's own."""
    if not section.replies:
        return [section.reply]
    return [query.text[start:end] for query in section.replies for start, end in query.spans]


@pytest.mark.parametrize("name", ENDINGS)
@settings(max_examples=25)
@given(pairs=CONTENTS, system=st.none() | WORDS)
def test_all_replies_with_their_endings_are_scored_and_nothing_else(
    name: str, pairs: list[tuple[str, str]], system: str | None
) -> None:
    said = dialogue(*(text for pair in pairs for text in pair), system=system)
    found = spoken(name).section(Section("a", "", dialogue=said))
    wanted = [reply + ENDINGS[name] for _, reply in pairs]
    # A blank before a reply belongs to its first token.
    assert sorted(text.strip(" ") for text in scored(found)) == sorted(wanted)
    assert found.text.strip(" ") == pairs[-1][1]
    assert found.ending == ENDINGS[name]
    assert found.prompt + found.reply == spoken(name).render(said, opens=False)[: len(found.prompt + found.reply)]


def test_earlier_turns_that_a_template_writes_otherwise_stand_in_texts_of_their_own() -> None:
    said = dialogue("1+1?", "<think>Easy.</think>2", "Sure?", "Yes.")
    found = spoken("thinking").section(Section("a", "", dialogue=said))
    own, whole = found.replies
    assert own.text == "<|user|>1+1?<|end|>\n<|assistant|><think>Easy.</think>2<|end|>"
    assert whole.text == (
        "<|user|>1+1?<|end|>\n<|assistant|>2<|end|>\n<|user|>Sure?<|end|>\n<|assistant|><think></think>Yes.<|end|>"
    )
    assert scored(found) == ["<think>Easy.</think>2<|end|>", "<think></think>Yes.<|end|>"]


def test_an_empty_thought_in_the_opening_is_no_part_of_the_reply() -> None:
    closed = spoken("thinking", enable_thinking=False).section(Section("a", "", dialogue=exchange("Hi", "Ho")))
    assert closed.prompt.endswith("<|assistant|><think></think>")
    assert closed.reply == "Ho<|end|>"


@pytest.mark.parametrize("reply", ["<b>", "<think>\nmore", "<|end|>"])
def test_what_a_reply_shares_with_the_opening_by_chance_is_its_own(reply: str) -> None:
    found = spoken("opens a thought").section(Section("a", "", dialogue=exchange("Hi", reply)))
    assert found.prompt in ("<|user|>Hi<|end|><|assistant|>", "<|user|>Hi<|end|><|assistant|><think>\n")
    assert found.prompt + found.reply == f"<|user|>Hi<|end|><|assistant|>{reply}<|end|>"


def test_the_end_of_a_text_is_no_end_of_a_turn() -> None:
    found = spoken("eos at the very end").section(Section("a", "", dialogue=dialogue("a", "b", "c", "d")))
    (together,) = found.replies
    assert together.text.endswith("d<|end|>")
    assert scored(found) == ["b<|end|>", "d<|end|>"]


def test_a_system_turn_that_training_leaves_out_is_left_out() -> None:
    found = spoken("system with the last request").section(Section("a", "", dialogue=dialogue("Hi", "Ho", system="S")))
    assert (found.prompt, found.reply) == ("[INST]Hi[/INST]", "Ho</s>")


def test_calls_are_part_of_a_reply_and_a_turn_of_calls_alone_that_is_not_written_is_not_scored() -> None:
    calls = json_text({"tool_calls": [{"function": {"name": "clock", "arguments": {}}}]})
    turns = (Turn(USER, "Time?"), Turn(ASSISTANT, "", calls), Turn(TOOL, "9"), Turn(ASSISTANT, "Nine."))
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls %}"
        "<call>{{ c.function | tojson }}{% endfor %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    found = template_of(template(source, "t", SPECIAL)).section(Section("a", "", dialogue=Dialogue(turns)))
    assert scored(found) == ['<call>{"name": "clock", "arguments": {}}<|end|>', "Nine.<|end|>"]
    silent = template_of(template(FAMILIES["mistral"], "mistral", SPECIAL))
    assert scored(silent.section(Section("a", "", dialogue=Dialogue(turns)))) == [" Nine.</s>"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
            "leaves the assistant",
        ),
        ("{{ raise_exception('no system role') }}", "no system role"),
    ],
)
def test_a_template_of_no_use_is_told(source: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        template_of(template(source, "t", SPECIAL))


def test_a_template_that_writes_all_by_what_the_reply_says_is_told() -> None:
    source = "{{ messages[-1].content | length }}{% for m in messages %}[{{ m.content }}]{% endfor %}"
    with pytest.raises(UserError, match="by what the reply says"):
        template_of(template(source, "t", SPECIAL)).section(Section("a", "", dialogue=exchange("Hi", "Hello")))


def test_a_dialogue_without_a_reply_is_told() -> None:
    with pytest.raises(UserError, match="none of the assistant's replies"):
        spoken("chatml").section(Section("a", "", dialogue=exchange("Hi")))


def test_prose_stays() -> None:
    assert spoken("chatml").section(Section("a", "Prose.")) == Section("a", "Prose.")


OPENED: Callable[[str], str] = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n".format


def test_preferences_paraphrases_and_canaries_are_rendered() -> None:
    chatml = spoken("chatml")
    triple = chatml.preference(Preference("Hi", "yes", "yesterday"))
    assert (triple.prompt, triple.replies) == (OPENED("Hi"), ("yes<|im_end|>", "yesterday<|im_end|>"))
    case = chatml.paraphrase(Paraphrase("Hi", "yes", ("Hey", "Yo")))
    assert (case.prompt, case.reply, case.paraphrases) == (OPENED("Hi"), "yes<|im_end|>", (OPENED("Hey"), OPENED("Yo")))
    assert chatml.canary(Canary("The key is", "42")) == Canary(OPENED("The key is"), "42")
