"""Chat templates from .jinja files and from folders as transformers, trl and peft leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sway_gguf.artifacts.template_files import folder_template, template_source
from sway_gguf.core.errors import UserError

PLAIN = "{% for m in messages %}\n  {{ m.role }}: {{ m.content }}\n{% endfor %}"
OTHER = "{{ messages | tojson }}"


def folder_with(folder: Path, template: Any = None, jinja: str | None = None) -> Path:
    """A folder with a tokenizer_config.json where `template` is given, and a chat_template.jinja likewise."""
    folder.mkdir(exist_ok=True)
    if template is not None:
        config = {"added_tokens_decoder": {"0": {"content": "<s>"}}, "chat_template": template}
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    if jinja is not None:
        (folder / "chat_template.jinja").write_bytes(jinja.encode())
    return folder


def named(**templates: str) -> list[dict[str, str]]:
    return [{"name": name, "template": template} for name, template in templates.items()]


@pytest.mark.parametrize(
    ("template", "jinja"),
    [
        (PLAIN, None),
        (None, PLAIN),
        (OTHER, PLAIN),
        (None, "\ufeff" + PLAIN.replace("\n", "\r\n")),
        (named(tool_use=OTHER, default=PLAIN), None),
        (named(chatml=PLAIN), None),
    ],
    ids=["config", "file", "the file comes first", "windows", "default of several", "the only one"],
)
def test_a_folder_gives_the_template_that_transformers_would_take(tmp_path: Path, template: Any, jinja: str) -> None:
    folder = folder_with(tmp_path / "p", template, jinja)
    assert template_source(folder) == folder_template(folder) == PLAIN


def test_a_file_may_be_named_itself(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "p", OTHER, PLAIN)
    assert template_source(folder / "chat_template.jinja") == PLAIN
    assert template_source(folder / "tokenizer_config.json") == OTHER


@pytest.mark.parametrize("template", [None, "", []])
def test_a_folder_without_one_says_what_to_save(tmp_path: Path, template: Any) -> None:
    folder = folder_with(tmp_path / "p", template)
    assert folder_template(folder) is None
    with pytest.raises(UserError, match=r"no chat template in this folder .* save the tokenizer there"):
        template_source(folder)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (named(tool_use=OTHER, rag=PLAIN), r"are 'tool_use', 'rag', and none is 'default'"),
        ([OTHER], "a list of other things"),
        ([{"name": 1, "template": OTHER}], "a list of other things"),
        ([{"name": "default", "template": 5}], "chat_template is a int"),
        ({"default": OTHER}, "chat_template is a dict"),
        ("{% for m in messages %}", r"tokenizer_config.json: its chat template is not valid Jinja \(line 1"),
        ("{# messages #}" * 30_000, "420,000 characters"),
        ("Hello.", "nothing in it says 'messages'"),
    ],
)
def test_a_config_that_holds_no_usable_template_is_one_line(tmp_path: Path, template: Any, says: str) -> None:
    folder = folder_with(tmp_path / "p", template)
    for read in (template_source, folder_template):
        with pytest.raises(UserError, match=says) as caught:
            read(folder)
        assert "\n" not in str(caught.value)


def test_files_that_are_something_else_are_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "t.jinja"
    with pytest.raises(UserError, match="cannot be read"):
        template_source(wrong)
    for data, says in (
        (b"GGUF\xff\x00", "not UTF-8"),
        (b"# Tea\nBoil.", "no chat template"),
        (b"", "no chat template"),
    ):
        wrong.write_bytes(data)
        with pytest.raises(UserError, match=says):
            template_source(wrong)
    for text, says in (("[1]", "a list, where the settings"), ("{", "not JSON"), ("{}", "no chat_template in it")):
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=says):
            template_source(tmp_path / "x.json")
