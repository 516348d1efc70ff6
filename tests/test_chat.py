"""Chat templates from GGUF metadata."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import gguf
import pytest

from sway_gguf.artifacts import chat
from sway_gguf.artifacts.chat import Renderer, chat_renderer
from sway_gguf.core.dialogue import ASSISTANT, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import finish

HELLO = exchange("hi")


def base_with(path: Path, template: str | None) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list(["<s>", "</s>", "a"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    if template is not None:
        writer.add_chat_template(template)
    return finish(writer, path)


def rendered(path: Path) -> str:
    render = chat_renderer(path)
    assert render is not None
    return render(HELLO)


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


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 // 0 }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages.x.y }}",
        "{{ range(1000000) | list }}",
        "{{ 'x' | no_such_filter }}{# a filter is found when it is compiled #}",
        "{% include 'x' %}",
        "{{ 'a' * 10**11 }}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ messages }}{% endfor %}{% endfor %}",
        "{{ '%99999999999d' % 1 }}",
        "{{ 'a' | center(99999999999) }}",
        "{{ raise_exception('a\nb' * 100000) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ strftime_now(1) }}",
        "{{ messages | tojson(indent='x') | int('y') | abs }}",
        "(" * 3 + "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
        "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
        "{% for i in [1] %}" * 60 + "{% endfor %}" * 60,
        "{{ 1" + " + 1" * 50000 + " }}",
        "x" * 300_000,
    ],
)
def test_a_template_that_fails_in_any_way_is_one_line(tmp_path: Path, template: str) -> None:
    with pytest.raises(UserError, match="its chat template") as caught:
        rendered(base_with(tmp_path / "b.gguf", template))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 9 ** (9 ** 9) }}",
    ],
)
def test_a_template_without_end_is_ended(tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sway_gguf.artifacts.chat._SECONDS", 1.5)
    render = chat_renderer(base_with(tmp_path / "b.gguf", template))
    assert render is not None
    for _ in range(2):
        with pytest.raises(UserError, match="it took longer"):
            render(HELLO)


def test_a_dialogue_without_end_leaves_the_others_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sway_gguf.artifacts.chat._SECONDS", 1.0)
    monkeypatch.setattr("sway_gguf.artifacts.chat._MOST_ENDED", 1)
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    template = "{% if messages[0].content == 'slow' %}" + endless + "{% endif %}{{ messages[0].content }}"
    render = chat_renderer(base_with(tmp_path / "b.gguf", template))
    assert render is not None
    for text in ("simple", "slow", "simple", "slow"):
        if text == "simple":
            assert render(exchange(text)) == text
        else:
            with pytest.raises(UserError, match="it took longer"):
                render(exchange(text))
    with pytest.raises(UserError, match="it took longer"):  # It was given up.
        render(exchange("simple"))


def test_threads_that_ask_at_once_get_each_its_own_text(tmp_path: Path) -> None:
    render = chat_renderer(base_with(tmp_path / "b.gguf", "{{ messages[0].content }}"))
    assert render is not None
    with ThreadPoolExecutor(4) as threads:
        asked = [str(number) for number in range(400)]
        assert list(threads.map(lambda words: render(exchange(words)), asked)) == asked


def test_a_rendering_that_was_broken_off_answers_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(process: Popen[bytes], request: bytes) -> None:
        assert process.stdin is not None
        process.stdin.write(request)
        process.stdin.flush()
        raise KeyboardInterrupt

    render = chat_renderer(base_with(tmp_path / "b.gguf", "{{ messages[0].content }}"))
    assert render is not None
    assert render(exchange("first")) == "first"
    with monkeypatch.context() as while_asked:
        while_asked.setattr(chat, "_exchanged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render(exchange("second"))
    assert render(exchange("third")) == "third"


def test_one_process_renders_all_and_ends_with_its_renderer(tmp_path: Path) -> None:
    render = chat_renderer(base_with(tmp_path / "b.gguf", "{{ messages[0].content }}{{ 1 // messages | length - 1 }}"))
    assert isinstance(render, Renderer)
    texts = ["é\ud800\n", "x" * 200_000]
    assert [render(exchange(text)) for text in texts] == [text + "0" for text in texts]
    process = render._answered.process
    assert process is not None
    assert process.poll() is None
    del render
    assert process.poll() is not None


def test_the_markers_of_odd_token_numbers_are_empty(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "llama")
    writer.add_token_list(["<s>"])
    writer.add_string("tokenizer.ggml.bos_token_id", "x")
    writer.add_float32("tokenizer.ggml.eos_token_id", float("inf"))
    writer.add_chat_template("[{{ bos_token }}{{ eos_token }}]")
    render = chat_renderer(finish(writer, tmp_path / "b.gguf"))
    assert render is not None
    assert render(HELLO) == "[]"


def test_bos_stands_once_in_a_rendered_dialogue(demo_backend: LlamaBackend) -> None:
    render = chat_renderer(DEMO / "base.f32.gguf")
    assert render is not None
    text = render(HELLO.then(ASSISTANT, "Hello."))
    assert text == "Anna: hi\nBen: Hello.\nBen:"
    tokens = demo_backend.model.tokenize("<s>" + text)
    assert tokens == demo_backend.model.tokenize(text)
    assert tokens.count(demo_backend.model.bos or 0) == 1
