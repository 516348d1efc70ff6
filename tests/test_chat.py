"""Chat templates from GGUF metadata."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from sway_gguf.artifacts.chat import chat_renderer
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import Message
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import finish

HELLO = [Message(role="user", content="hi")]


def base_with(path: Path, template: str | None) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list(["<s>", "</s>", "a"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    if template is not None:
        writer.add_chat_template(template)
    return finish(writer, path)


def test_a_template_renders_with_the_models_own_tokens(tmp_path: Path) -> None:
    template = (
        "{{ bos_token }}{% for m in messages %}\n  [{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    render = chat_renderer(base_with(tmp_path / "b.gguf", template))
    assert render is not None
    assert render(HELLO) == "<s>  [user]hi</s>[assistant]"


def test_a_base_without_a_template_has_no_renderer(tmp_path: Path) -> None:
    assert chat_renderer(base_with(tmp_path / "b.gguf", None)) is None


def test_a_template_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1"):
        chat_renderer(base_with(tmp_path / "b.gguf", "{% if %}"))
    render = chat_renderer(base_with(tmp_path / "c.gguf", "{{ raise_exception('roles must alternate') }}"))
    assert render is not None
    with pytest.raises(UserError, match="roles must alternate"):
        render(HELLO)


def test_a_template_cannot_reach_out_of_its_sandbox(tmp_path: Path) -> None:
    render = chat_renderer(base_with(tmp_path / "b.gguf", "{{ messages.__class__.__mro__[1].__subclasses__() }}"))
    assert render is not None
    with pytest.raises(UserError, match="refuses"):
        render(HELLO)


def test_bos_stands_once_in_a_rendered_dialogue(demo_backend: LlamaBackend) -> None:
    render = chat_renderer(DEMO / "base.f32.gguf")
    assert render is not None
    text = render([*HELLO, Message(role="assistant", content="Hello.")])
    assert text == "Anna: hi\nBen: Hello.\nBen:"
    tokens = demo_backend.model.tokenize("<s>" + text)
    assert tokens == demo_backend.model.tokenize(text)
    assert tokens.count(demo_backend.model.bos or 0) == 1
