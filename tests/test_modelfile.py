"""Modelfiles: a template in Ollama's language says what the Jinja one says, or it is told that there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gguf
import pytest

from sway_gguf.artifacts.chat import TEMPLATE_KEY, family_template
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.artifacts.ollama import TEMPLATES, Spoken, can_quote, modelfile
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, Turn
from sway_gguf.deploy.merge import merge
from sway_gguf.deploy.modelfile import spoken_by
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import finish
from tests.command_line import complaint, spoken
from tests.test_cli import BASE, HEALTHY

SPECIAL = {"bos_token": "<B>", "eos_token": "<E>"}
SAID = Dialogue((Turn(USER, "Hello"), Turn(ASSISTANT, "Hi."), Turn(USER, "Who are you?")))
DIALOGUES = [
    SAID.first(1),
    SAID,
    Dialogue((Turn(SYSTEM, "Be brief."), *SAID.turns[:1])),
    Dialogue((Turn(SYSTEM, "Be brief."), *SAID.turns)),
]


class Go:
    """As much of Go's text/template as our templates use: range, if, eq, fields and variables.

    It is here so that tests need no Go.
    """

    def __init__(self, source: str) -> None:
        self.parts = re.split(r"\{\{ (.*?) \}\}", source)

    def render(self, dialogue: Dialogue) -> str:
        self.variables: dict[str, str] = {}
        self.messages = [{"Role": turn.role, "Content": turn.content} for turn in dialogue.turns]
        return "".join(self._block(0, len(self.parts), {}))

    def _block(self, start: int, end: int, dot: dict[str, str]) -> Iterator[str]:
        place = start
        while place < end:
            if place % 2 == 0:
                yield self.parts[place]
                place += 1
                continue
            action = self.parts[place]
            if action.startswith(("range", "if")):
                branches, after = self._branches(place)
                if action == "range .Messages":
                    for message in self.messages:
                        yield from self._block(*branches[0][1:], message)
                else:
                    chosen = next((one for one in branches if one[0] is None or self._true(one[0], dot)), None)
                    if chosen:
                        yield from self._block(*chosen[1:], dot)
                place = after
                continue
            if set_to := re.fullmatch(r"(\$\w+) :?= (.+)", action):
                self.variables[set_to[1]] = self._value(set_to[2], dot)
            else:
                yield self._value(action, dot)
            place += 1

    def _branches(self, place: int) -> tuple[list[tuple[str | None, int, int]], int]:
        """(condition, start, end) of each branch, and what comes after the end."""
        found: list[tuple[str | None, int, int]] = []
        condition: str | None = self.parts[place].removeprefix("if ")
        depth, start = 0, place + 1
        for at in range(place + 2, len(self.parts), 2):
            action = self.parts[at]
            if action.startswith(("range", "if")):
                depth += 1
            elif action == "end" and depth:
                depth -= 1
            elif not depth and (action == "end" or action.startswith("else")):
                found.append((condition, start, at))
                if action == "end":
                    return found, at + 1
                condition, start = (action.removeprefix("else if ") if action != "else" else None), at + 1
        raise AssertionError("no end")

    def _true(self, condition: str, dot: dict[str, str]) -> bool:
        if equal := re.fullmatch(r"eq (\S+) (.+)", condition):
            return self._value(equal[1], dot) == self._value(equal[2], dot)
        return bool(self._value(condition, dot))

    def _value(self, word: str, dot: dict[str, str]) -> str:
        if word.startswith('"'):
            return word[1:-1]
        return self.variables[word] if word.startswith("$") else dot[word[1:]]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_both_languages_say_the_same(name: str) -> None:
    jinja, go = family_template(name, SPECIAL), Go(Spoken(name, eos="<E>").template)
    for dialogue in DIALOGUES:
        assert go.render(dialogue) == jinja(dialogue).removeprefix("<B>")


def test_every_family_has_one() -> None:
    assert TEMPLATES.keys() == FAMILIES.keys()


def test_a_modelfile_by_hand() -> None:
    text = modelfile("./my model.gguf", Spoken("chatml", "Be kind.", "<E>"), ["why"])
    assert text.splitlines() == [
        "# why",
        'FROM "./my model.gguf"',
        'TEMPLATE """{{ range .Messages }}<|im_start|>{{ .Role }}',
        "{{ .Content }}<|im_end|>",
        "{{ end }}<|im_start|>assistant",
        '"""',
        'SYSTEM "Be kind."',
        'PARAMETER stop "<|im_end|>"',
    ]
    assert modelfile("./m.gguf", None, []) == "FROM ./m.gguf\n"
    assert not can_quote('say """')
    assert Spoken("mistral", eos="</s>", bos="<s>").template.startswith('<s>{{ $before := "" }}')


DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe Smol.<|im_end|>\n' }}{% endif %}"
    + FAMILIES["chatml"]
)
OWN = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + FAMILIES["gemma"]


@pytest.mark.parametrize(
    ("template", "family", "system"),
    [
        *((source, name, "") for name, source in FAMILIES.items()),
        (DEFAULT_SYSTEM, "chatml", "Be Smol."),
        (NO_SYSTEM, "gemma", ""),
        ("{{ bos_token }}" + FAMILIES["chatml"], "chatml", ""),
        (OWN, None, ""),
        (FAMILIES["chatml"].replace("m.role + ", "m.role + ' ' + "), None, ""),
    ],
)
def test_a_template_is_known_by_what_it_writes(tmp_path: Path, template: str, family: str | None, system: str) -> None:
    merge(DEMO / "base.f32.gguf", None, tmp_path / "m.gguf", kind="F16", template=template)
    found = spoken_by(tmp_path / "m.gguf")
    assert (found and found.family) == family
    if found:
        assert found.system == system


def test_a_bos_that_is_also_how_a_turn_opens_is_written_once(tmp_path: Path) -> None:
    """SmolLM2's BOS is <|im_start|>, which its tokenizer does not write: every turn opens with it, none with two."""
    source, writer = GGUFFile(DEMO / "base.f32.gguf"), gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    tokens = source.get("tokenizer.ggml.tokens")
    tokens[source.get("tokenizer.ggml.bos_token_id")] = "<|im_start|>"
    own = {"general.architecture", "llama.block_count", TEMPLATE_KEY}
    own |= {"tokenizer.ggml.tokens", "tokenizer.ggml.add_bos_token"}
    copy_metadata(source, writer, lambda key: key not in own)
    writer.add_array("tokenizer.ggml.tokens", tokens)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.add_string(TEMPLATE_KEY, DEFAULT_SYSTEM)
    writer.add_tensor("token_embd.weight", source.read("token_embd.weight"))
    found = spoken_by(finish(writer, tmp_path / "m.gguf"))
    assert found is not None
    assert (found.family, found.system, found.bos) == ("chatml", "Be Smol.", "")
    # What a template of llama 3 writes and the tokenizer does not is left to the template.
    merge(tmp_path / "m.gguf", None, tmp_path / "l.gguf", kind="F32", template=FAMILIES["llama3"])
    other = spoken_by(tmp_path / "l.gguf")
    assert other is not None
    assert (other.family, other.bos) == ("llama3", "<|im_start|>")


def lines_of(path: Path) -> Sequence[str]:
    return path.read_text(encoding="utf-8").splitlines()


def merged_with(tmp_path: Path, template: str, *words: Any) -> Path:
    source = tmp_path / "t.jinja"
    source.write_text(template, encoding="utf-8")
    out, file = tmp_path / "m.gguf", tmp_path / "Modelfile"
    done = spoken("merge", BASE, HEALTHY, "-o", str(out), "--template", str(source), "--modelfile", str(file), *words)
    assert done.returncode == 0, done.stderr
    return file


def test_on_the_command_line(tmp_path: Path) -> None:
    lines = lines_of(merged_with(tmp_path, DEFAULT_SYSTEM))
    assert lines[0] == "# By sway-gguf merge. ollama create NAME -f Modelfile"
    assert "TEMPLATE of the chatml family, its default system turn in SYSTEM" in lines[1]
    assert any("FROM" in line and "base.f32.gguf" in line for line in lines if line.startswith("# Unmerged"))
    assert any("ADAPTER" in line and "healthy.lora.gguf" in line for line in lines if line.startswith("#"))
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ./m.gguf"]
    assert 'SYSTEM "Be Smol."' in lines
    words = ("merge", BASE, HEALTHY, "--force", "-o", str(tmp_path / "m.gguf"), "--modelfile")
    assert complaint(*words, str(tmp_path / "m.gguf"))
    assert complaint("merge", BASE, HEALTHY, "-o", str(tmp_path / "n.gguf"), "--modelfile", str(tmp_path / "Modelfile"))
    assert not (tmp_path / "n.gguf").exists()


def test_what_is_not_known_is_said_and_a_scaled_merge_has_no_unmerged_twin(tmp_path: Path) -> None:
    lines = lines_of(merged_with(tmp_path, OWN, "--scale", "0.5"))
    assert "no TEMPLATE: its chat template is none of" in lines[1]
    assert not any(line.startswith(("TEMPLATE", "# Unmerged")) for line in lines)
    assert lines[-1] == "FROM ./m.gguf"
