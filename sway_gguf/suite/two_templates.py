"""Two chat templates held against each other on a few dialogues: texts, and what a vocabulary makes of them.

Knows how templates render; not which of the two is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sway_gguf.artifacts.chat import chat_renderer, special_tokens, template
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.template_files import folder_template
from sway_gguf.core.common import common
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, Render, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import shorten
from sway_gguf.engine import llama

Tokenize = Callable[[str], Sequence[int]]
WAY_OUT = "`sway-gguf merge --template FILE` writes it into the GGUF, a Modelfile's TEMPLATE into Ollama"
_BEFORE, _AFTER = 12, 24
"""Characters shown around the place where two texts part."""
DIALOGUES: dict[str, tuple[Dialogue, bool]] = {
    "a request": (exchange("Hello"), True),
    "an exchange": (exchange("Hello", "Hi there."), False),
    "two exchanges": (exchange("Hello", " Hi there. ").then(USER, "Who are you?").then(ASSISTANT, "Me."), False),
    "a system turn": (Dialogue((Turn(SYSTEM, "Be brief."), Turn(USER, "Hello"), Turn(ASSISTANT, "Hi."))), False),
}
"""By what they show; whether the next reply is opened."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two templates part.

    Attributes:
        dialogue: which one, in words.
        place: characters that both write alike.
        one, other: what either writes from a little before there; or why it refuses.
        tokens: the first token ids that differ, of either; None where no vocabulary was asked.
        of: dialogues that differ, and of how many.
    """

    dialogue: str
    place: int
    one: str
    other: str
    tokens: tuple[Sequence[int], Sequence[int]] | None
    of: tuple[int, int]

    def __str__(self) -> str:
        ids = "" if self.tokens is None else f", tokens {_ids(self.tokens[0])} and {_ids(self.tokens[1])}"
        return (
            f"{self.of[0]} of {self.of[1]} dialogues differ, first {self.dialogue} from character {self.place} on: "
            f"the base writes {self.one}, the folder {self.other}{ids}"
        )


def difference(one: Render, other: Render, tokenize: Tokenize | None = None) -> Difference | None:
    """The first place where two templates write another text; None where they agree on all `DIALOGUES`.

    Args:
        one, other: the templates.
        tokenize: a vocabulary; texts that are the same tokens to it are the same.
    """
    found = [
        Difference(name, *parted, (0, 0))
        for name, (dialogue, opens) in DIALOGUES.items()
        if (parted := _parted(_text(one, dialogue, opens), _text(other, dialogue, opens), tokenize))
    ]
    return replace(found[0], of=(len(found), len(DIALOGUES))) if found else None


def beside_adapter(adapter: Path, base: Path, settings: dict[str, object]) -> Difference | None:
    """Where the template of an adapter's folder and the base's own part; None where either has none, or they agree.

    Raises:
        EngineError, UserError: one of them cannot be used.
    """
    theirs, own = folder_render(adapter, base, settings), chat_renderer(base, settings)
    if own is None or theirs is None or difference(own, theirs) is None:
        return None
    model = llama.Model(base, vocabulary_only=True)
    try:
        return difference(own, theirs, model.tokenize)
    finally:
        model.close()


def folder_render(folder: Path, base: Path, settings: dict[str, object] | None = None) -> Render | None:
    """The template of a folder; None where it holds none, or is no folder.

    Raises:
        UserError: it cannot be used.
    """
    source = folder_template(folder) if folder.is_dir() else None
    if source is None:
        return None
    return template(source, f"{folder}: its chat template", special_tokens(GGUFFile(base)), settings)


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str


def _text(render: Render, dialogue: Dialogue, opens: bool) -> str | _Refused:
    try:
        return render(dialogue, opens=opens)
    except UserError as error:
        return _Refused(str(error).rpartition(" refuses these messages: ")[2])


def _parted(
    one: str | _Refused, other: str | _Refused, tokenize: Tokenize | None
) -> tuple[int, str, str, tuple[Sequence[int], Sequence[int]] | None] | None:
    if isinstance(one, _Refused) or isinstance(other, _Refused):
        if isinstance(one, _Refused) and isinstance(other, _Refused):
            return None
        return 0, _excerpt(one, 0), _excerpt(other, 0), None
    place = _alike(one, other)
    if place is None:
        return None
    tokens = None
    if tokenize is not None:
        ids = tokenize(one), tokenize(other)
        first = _alike(*ids)
        if first is None:
            return None
        tokens = ids[0][first : first + 3], ids[1][first : first + 3]
    return place, _excerpt(one, place), _excerpt(other, place), tokens


def _alike(one: Sequence[object], other: Sequence[object]) -> int | None:
    """How much both begin with; None where they are equal."""
    return None if one == other else common(one, other)


def _excerpt(text: str | _Refused, place: int) -> str:
    if isinstance(text, _Refused):
        return f"a refusal ({shorten(text.reason)})"
    cut = text[max(0, place - _BEFORE) : place + _AFTER]
    return repr(cut) if place < len(text) else f"{cut!r} and its end"


def _ids(tokens: Sequence[int]) -> str:
    return " ".join(map(str, tokens)) or "none"
