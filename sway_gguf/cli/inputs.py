"""Which files and folders a command reads, none of which it may replace. Knows a spec's fields; opens no file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sway_gguf.core.inputs import at_home

if TYPE_CHECKING:
    from sway_gguf.material.files import Files
    from sway_gguf.spec.model import Spec


def inputs_of(spec: Spec) -> list[Path]:
    """Files and folders that a spec names, those in its suite's entries among them."""
    models = spec.models
    named = [models.base.base, models.ft.base, *(lora.path for lora in models.ft.loras), spec.engine.embedder]
    texts = text_inputs(spec.data, spec.holdout, spec.general)
    given = [*(path for path in named if path is not None), *texts]
    return given + [path for word in _words_in(spec.suite) if (path := _path_of(word, spec.folder))]


def text_inputs(*given: Files) -> list[Path]:
    """Files of the user's text, and the folders that hold them where folders were named.

    Raises:
        UserError: a pattern that nothing matches, or a folder that is no saved dataset.
    """
    from sway_gguf.material.files import data_files, named

    return [path for each in given for path in (*named(each), *data_files(each))]


def _words_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _words_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _words_in(each)


def _path_of(word: str, folder: Path) -> Path | None:
    """What `word` names, if it is a path of something that is there."""
    with suppress(OSError, ValueError):
        path = folder / at_home(word)
        if word and path.exists():
            return path
    return None
