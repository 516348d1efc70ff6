"""A chat template from a .jinja file, or from a folder as peft or a tokenizer leaves it. Knows files; renders nothing.

In a folder, and in those around it that a trainer writes, chat_template.jinja comes before the chat_template of
tokenizer_config.json, as transformers reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateSyntaxError

from sway_gguf.artifacts import template_process
from sway_gguf.artifacts.training_folder import places_of
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.json_text import parse_json

TEMPLATE_FILE, CONFIG_FILE = "chat_template.jinja", "tokenizer_config.json"
_GIVE = "a .jinja file, or a folder with chat_template.jinja or tokenizer_config.json"
_MOST_SOURCE = 256 << 10
"""Characters of a template; real ones have up to a few ten thousand."""
_MOST_BYTES = 16 << 20
"""Of a file that holds one: a tokenizer_config.json lists every added token too."""


def template_source(path: Path) -> str:
    """The template that `path` holds, as Jinja source that parses.

    Args:
        path: a file of Jinja source, a tokenizer_config.json, or a folder with either.

    Raises:
        UserError: there is none, it cannot be read, it is no chat template, or several have names of which none is
            "default".
    """
    if path.is_dir():
        source = folder_template(path)
        if source is None:
            raise UserError(
                f"{path}: no chat template in this folder (neither {TEMPLATE_FILE} nor a {CONFIG_FILE} with one); save "
                "the tokenizer there, or give a .jinja file"
            )
        return source
    if path.suffix.lower() == ".json":
        source = _configured(path)
        if source is None:
            raise UserError(f"{path}: no chat_template in it; give {_GIVE}")
        return source
    return _written(path)


def folder_template(folder: Path) -> str | None:
    """The template of a folder, or of the run that an adapter's folder belongs to; None where there is none.

    Raises:
        UserError: it holds one that cannot be read or used.
    """
    return next((source for _, source in _templates_in(folder)), None)


def template_file(path: Path) -> Path | None:
    """The file in which the template that `path` holds stands; None for a folder where there is none.

    Raises:
        UserError: as `folder_template`.
    """
    return next((file for file, _ in _templates_in(path)), None) if path.is_dir() else path


def _templates_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every template in it and around it, with its file; the first counts."""
    for place in places_of(folder):
        written, config = place / TEMPLATE_FILE, place / CONFIG_FILE
        if os.path.lexists(written):
            yield written, _written(written)
        elif os.path.lexists(config) and (source := _configured(config)) is not None:
            yield config, source


def check_template(source: str, name: str) -> None:
    """See that `source` is of a template's size and parses; errors call it `name`.

    Raises:
        UserError: it is not.
    """
    if len(source) > _MOST_SOURCE:
        raise UserError(f"{name} has {len(source):,} characters, at most {_MOST_SOURCE:,} are read")
    try:
        template_process.environment().parse(source)
    except TemplateSyntaxError as error:
        raise UserError(f"{name} is not valid Jinja (line {error.lineno}: {error.message})") from None
    except Exception as error:
        # What nests too deeply fails with a class of its own.
        raise UserError(f"{name} cannot be parsed ({template_process.told(error)})") from None


def _written(path: Path) -> str:
    return _usable(read_utf8(path, _GIVE, _MOST_BYTES), path)


def _configured(path: Path) -> str | None:
    config = parse_json(read_utf8(path, _GIVE, _MOST_BYTES), str(path), "save the tokenizer again")
    if not isinstance(config, dict):
        raise UserError(
            f"{path}: a {type(config).__name__}, where the settings of a tokenizer are wanted; give {_GIVE}"
        )
    found = config.get("chat_template")
    if isinstance(found, list):
        found = _default_of(found, path)
    if not found:
        return None
    if not isinstance(found, str):
        raise UserError(f"{path}: chat_template is a {type(found).__name__}, where a text is wanted; give {_GIVE}")
    return _usable(found, path)


def _default_of(entries: list[Any], path: Path) -> Any:
    """Of several templates, each with a name: the one called "default", or the only one."""
    if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries):
        raise UserError(f"{path}: chat_template is a list of other things than names and templates; give {_GIVE}")
    named = {entry["name"]: entry.get("template") for entry in entries}
    if "default" not in named and len(named) > 1:
        names = ", ".join(map(repr, named))
        raise UserError(f"{path}: its chat templates are {names}, and none is 'default'; save one as a .jinja file")
    return named.get("default", next(iter(named.values()), None))


def _usable(source: str, path: Path) -> str:
    if "messages" not in source:
        raise UserError(f"{path}: no chat template: nothing in it says 'messages'; give {_GIVE}")
    check_template(source, f"{path}: its chat template")
    return source
