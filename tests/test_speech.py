"""The format of a run: which template it takes, what it refuses, and what is asked then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest

from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Completion, NextToken
from sway_gguf.core.sections import Canary, Material, Paraphrase, Preference, Section
from sway_gguf.engine.llama import Model
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Spec, load_spec
from sway_gguf.spec.models import Models, ModelSpec
from sway_gguf.suite.prepare import prepare
from sway_gguf.suite.speech import Speech, speech_of
from tests.artifact_files import finish

TALK = Material(sections=(Section("line 1", " Ho", "user: Hi\nassistant:", "dialogue", exchange("Hi", "Ho")),))
PROSE = Material(sections=(Section("a", "Once upon a time."),))
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENED = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def base_with(path: Path, template: str | None) -> Path:
    """The demo's header and vocabulary with another template."""
    demo = GGUFFile(DEMO / "base.f32.gguf")
    writer = gguf.GGUFWriter(path, "llama")
    copy_metadata(demo, writer, lambda key: key not in ("general.architecture", "tokenizer.chat_template"))
    if template is not None:
        writer.add_chat_template(template)
    for name in demo.tensors:
        writer.add_tensor(name, demo.read(name).copy())
    return finish(writer, path)


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_with(tmp_path_factory.mktemp("chatml") / "chatml.gguf", CHATML)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_with(tmp_path_factory.mktemp("bare") / "bare.gguf", None)


def spec_of(base: Path, **given: Any) -> Spec:
    adapter = DEMO / "healthy.lora.gguf"
    models = Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter))
    return Spec(models=models, **given)


def spoken(base: Path, material: Material = TALK, **given: Any) -> Speech:
    return speech_of(spec_of(base, **given), material)


def test_auto_takes_the_bases_template_for_dialogues_and_keeps_prose(chatml: Path, bare: Path) -> None:
    assert spoken(chatml).name == "the base's own chat template"
    assert spoken(chatml, Material()).template is not None
    assert (spoken(chatml, PROSE).name, spoken(chatml, PROSE).template) == ("plain text", None)
    assert spoken(bare).template is None
    triple = Preference("", "a", "b", dialogue=exchange("Hi"))
    assert spoken(chatml, Material(preferences=(triple,))).template is not None


def test_prose_is_prose_in_every_format(chatml: Path) -> None:
    for form in ("auto", "chat", "alpaca", "plain", "gemma"):
        assert spoken(chatml, format=form).unit(PROSE.sections[0]) == PROSE.sections[0]


def test_dialogues_are_a_transcript_where_there_is_no_template(bare: Path) -> None:
    said = Dialogue((*exchange("Hi", "Ho").turns, Turn(USER, "And?"), Turn(ASSISTANT, "So.")))
    found = spoken(bare).unit(Section("a", "", form="dialogue", dialogue=said))
    assert (found.prompt, found.reply) == ("user: Hi\nassistant: Ho\nuser: And?\nassistant:", " So.")
    triple = spoken(bare).unit(Preference("", "a", "b", dialogue=exchange("Hi")))
    assert (triple.prompt, triple.replies) == ("user: Hi\nassistant:", (" a", " b"))


def folder_with(path: Path, template: str) -> Path:
    path.mkdir()
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    return path


def test_a_file_a_folder_and_a_family_are_taken(tmp_path: Path, bare: Path) -> None:
    source = "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}"
    source += "{% if add_generation_prompt %}[assistant]{% endif %}"
    (tmp_path / "t.jinja").write_text(source, encoding="utf-8")
    for given in (tmp_path / "t.jinja", folder_with(tmp_path / "peft", source)):
        speech = spoken(bare, format=str(given))
        assert speech.name == f"the chat template of {given}"
        found = speech.unit(TALK.sections[0])
        assert (found.prompt, found.reply) == ("[user]Hi;[assistant]", "Ho;")
    assert spoken(bare, format="chatml").unit(TALK.sections[0]).prompt == OPENED.format("Hi")
    assert spoken(bare, format="chatml").name == "the chatml template"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("chat", "carries no chat template; give --format FILE.jinja"),
        ("chtaml", "format 'chtaml' is neither a file or folder nor one of the formats; did you mean 'chatml'?"),
        ("xyzzy", "valid are: alpaca, auto, chat, chatml, gemma, llama3, mistral, phi, plain"),
    ],
)
def test_a_format_that_cannot_be_taken_is_told(bare: Path, form: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        spoken(bare, format=form)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_template_of_the_base_stands_in_the_way_of_no_other(tmp_path: Path) -> None:
    broken = base_with(tmp_path / "broken.gguf", "{% if %}")
    assert spoken(broken, format="chatml").template is not None
    with pytest.raises(UserError, match="not valid Jinja"):
        spoken(broken, format="chat")


def test_what_a_template_refuses_is_told_with_file_and_item(tmp_path: Path, bare: Path) -> None:
    source = CHATML.replace(
        "{% for m in messages %}",
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}",
    )
    (tmp_path / "t.jinja").write_text(source, encoding="utf-8")
    speech = spoken(bare, format=str(tmp_path / "t.jinja"))
    turned = exchange("Hi").then(USER, "Hey").then(ASSISTANT, "Ho")
    ruled = Dialogue((Turn(SYSTEM, "Be."), *exchange("Hi", "Ho").turns))
    for said, words in ((ruled, "no system role"), (turned, "roles must alternate")):
        given = Material(sections=(*TALK.sections, Section("line 7", "", form="dialogue", dialogue=said)))
        with pytest.raises(UserError) as caught:
            speech.material(given, Path("d.jsonl"))
        assert str(caught.value).startswith("d.jsonl, line 7: ")
        assert words in str(caught.value)


def test_variables_of_the_template_reach_it_and_those_of_the_dialogue_are_refused(tmp_path: Path, bare: Path) -> None:
    source = CHATML + "{% if add_generation_prompt and not enable_thinking %}<think></think>{% endif %}"
    (tmp_path / "t.jinja").write_text(source, encoding="utf-8")
    speech = spoken(bare, format=str(tmp_path / "t.jinja"), template_kwargs={"enable_thinking": False})
    assert speech.request("Hi").endswith("<think></think>")
    with pytest.raises(ValueError, match="messages come from the dialogue"):
        spec_of(bare, template_kwargs={"messages": []})


def test_labels_show_what_was_asked(chatml: Path) -> None:
    speech = spoken(chatml, format="chat")
    said = Dialogue((Turn(SYSTEM, "Be."), *exchange("One", "1").turns, Turn(USER, "Who?"), Turn(ASSISTANT, "Me.")))
    asked = {
        speech.request("Hi"): "Hi",
        speech.unit(Section("a", "", form="dialogue", dialogue=said)).prompt: "Who?",
        speech.unit(Preference("Which?", "a", "b")).prompt: "Which?",
        speech.unit(Canary("The key is", "9")).prompt: "The key is",
    }
    case = speech.unit(Paraphrase("How?", "So.", ("In what way?",)))
    asked |= {case.prompt: "How?", case.paraphrases[0]: "In what way?"}
    assert {prompt: speech.requests[prompt] for prompt in asked} == asked


def test_a_preference_without_a_prompt_stays_prose(chatml: Path) -> None:
    triple = Preference("", "good", "bad")
    assert spoken(chatml, format="chat").unit(triple) == triple


@pytest.fixture
def vocabulary(chatml: Path) -> Iterator[Model]:
    model = Model(chatml, vocabulary_only=True)
    yield model
    model.close()


@pytest.mark.parametrize("source", [CHATML, "{{ bos_token }}" + CHATML])
def test_bos_stands_once_whether_the_template_writes_it_or_not(
    tmp_path: Path, bare: Path, source: str, vocabulary: Model
) -> None:
    (tmp_path / "t.jinja").write_text(source, encoding="utf-8")
    found = spoken(bare, format=str(tmp_path / "t.jinja")).unit(TALK.sections[0])
    tokens = vocabulary.tokenize(found.prompt + found.reply)
    assert vocabulary.bos is not None
    assert tokens.count(vocabulary.bos) == 1
    assert tokens == vocabulary.tokenize(OPENED.format("Hi") + "Ho<|im_end|>")


def test_prompts_and_cases_of_an_entry_go_through_the_template(chatml: Path) -> None:
    suite = [
        {"name": "kl", "kind": "delta_kl", "prompts": ["Hi", "Hey"]},
        {"name": "flip", "kind": "preference_flip", "triples": [{"prompt": "Hi", "chosen": "a", "rejected": "b"}]},
    ]
    ready = prepare(spec_of(chatml, format="chat", suite=suite))
    asked = {query for probe in ready.probes for query in probe.ask()}
    assert {NextToken(OPENED.format("Hi")), NextToken(OPENED.format("Hey"))} <= asked
    assert Completion(OPENED.format("Hi"), "a<|im_end|>") in asked
    assert ready.probes[0].label(OPENED.format("Hey")) == "'Hey'"


def test_a_path_in_a_spec_starts_at_its_folder_and_words_stay_words(tmp_path: Path) -> None:
    text = "version: 1\nmodels:\n  base: {{base: b.gguf}}\n  ft: {{base: b.gguf, adapter: a.gguf}}\nformat: {}\n"
    for given, wanted in (("chatml", "chatml"), ("t.jinja", str(tmp_path / "t.jinja"))):
        (tmp_path / "s.yaml").write_text(text.format(given), encoding="utf-8")
        assert load_spec(tmp_path / "s.yaml").format == wanted


def test_another_template_in_the_adapters_folder_is_told_in_a_remark(chatml: Path, tmp_path: Path) -> None:
    write_lora(read_lora(DEMO / "healthy.lora.gguf"), tmp_path / "a.gguf")
    from sway_gguf.suite.two_templates import beside_adapter, difference, folder_render

    other = folder_with(tmp_path / "peft", CHATML.replace("\n{{ m.content }}", "\n{{ m.content | trim }}"))
    found = beside_adapter(other, chatml, {})
    assert found is not None
    assert (found.dialogue, found.of) == ("two exchanges", (1, 4))
    assert "' Hi there. <" in found.one.replace("\\n", "'")
    same = folder_with(tmp_path / "same", "{{ bos_token }}" + CHATML)
    assert beside_adapter(same, chatml, {}) is None
    own, theirs = folder_render(other, chatml), folder_render(same, chatml)
    assert own is not None
    assert theirs is not None
    assert difference(own, theirs) is not None
