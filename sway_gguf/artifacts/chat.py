"""The chat template that a base carries, as a function from messages to text. Knows templates, not models.

Rendered with jinja2 in its sandbox, under the conventions of transformers' `apply_chat_template`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import Message

TEMPLATE_KEY = "tokenizer.chat_template"
Render = Callable[[Sequence[Message]], str]


def chat_renderer(path: Path) -> Render | None:
    """The base's template, which ends with the opening of the assistant's turn; None where it has none.

    Raises:
        UserError: the template is no valid Jinja; a call raises it where the template refuses the messages.
    """
    file = GGUFFile(path)
    source = file.get(TEMPLATE_KEY)
    if not isinstance(source, str) or not source.strip():
        return None
    try:
        template = _environment().from_string(source)
    except TemplateSyntaxError as error:
        raise UserError(
            f"{path}: its chat template is not valid Jinja (line {error.lineno}: {error.message})"
        ) from None
    special = {f"{name}_token": special_token(file, name) for name in ("bos", "eos")}

    def render(messages: Sequence[Message]) -> str:
        try:
            return template.render(messages=list(messages), add_generation_prompt=True, **special)
        except TemplateError as error:
            raise UserError(f"{path}: its chat template refuses these messages: {error}") from None

    return render


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def special_token(file: GGUFFile, name: str) -> str:
    """The text of bos, eos, … as the vocabulary spells it; "" where the model has none."""
    number = file.get(f"tokenizer.ggml.{name}_token_id")
    return "" if number is None else str(file.array_item("tokenizer.ggml.tokens", int(number)) or "")
