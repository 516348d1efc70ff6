"""Which of the known families a GGUF's chat template writes, held against each by what they render, and its Modelfile.

Names of models say nothing: a template counts as a family's where it writes the same text for every dialogue here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sway_gguf.artifacts.chat import Renderer, chat_renderer, family_template, special_tokens
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.ollama import Spoken, can_quote, modelfile
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, Turn
from sway_gguf.core.errors import UserError

_ASKED = Dialogue((Turn(USER, "Hello"),))
_WENT_ON = _ASKED.then(ASSISTANT, "Hi there.").then(USER, "Who are you?")
_MARK = "Be brief and kind."


def modelfile_of(merged: Path, out: Path, base: Path, adapter: Path | None) -> tuple[str, str]:
    """The Modelfile's text, and what it says of the template in a few words.

    Args:
        merged: the model, whose own chat template counts.
        out: where the Modelfile will lie.
        base: what it was merged from.
        adapter: the LoRA GGUF that was merged at full scale; None where it is none, or was scaled.
    """
    spoken = spoken_by(merged)
    if spoken is None:
        told = "no TEMPLATE: its chat template is none of " + ", ".join(FAMILIES)
        own = "Ollama guesses from the GGUF's own template; compare `ollama show --template` with it, or write one."
        remarks = [f"{told}.", own]
    else:
        told = f"TEMPLATE of the {spoken.family} family" + (
            ", its default system turn in SYSTEM" if spoken.system else ""
        )
        remarks = [f"{told}: what the GGUF's own chat template writes. Tools are not part of it."]
    remarks.insert(0, f"By sway-gguf merge. ollama create NAME -f {out.name}")
    if adapter is not None:
        remarks.append(f"Unmerged, in place of the FROM below: FROM {_seen_from(base, out)}")
        remarks.append(f"                                      ADAPTER {_seen_from(adapter, out)}")
    return modelfile(_seen_from(merged, out), spoken, remarks), told


def spoken_by(model: Path) -> Spoken | None:
    """How a GGUF is spoken to, as its own chat template has it; None where that is no known family's, or missing.

    Raises:
        UserError: its template cannot be used.
    """
    file = GGUFFile(model)
    own, special = chat_renderer(model), special_tokens(file)
    if own is None:
        return None
    bos, eos = special.get("bos_token", ""), special.get("eos_token", "")
    for name in FAMILIES:
        # BOS is the tokenizer's to write. A template may write it too, or begin with the same text as a turn's opening.
        family = _Bare(family_template(name, special | {"bos_token": ""}))
        for written in dict.fromkeys(("", bos)):
            system = _system_turn(_Bare(own, written), family)
            if system is not None and can_quote(system):
                left = file.get("tokenizer.ggml.add_bos_token") is False
                return Spoken(name, system, eos, written if left else "")
    return None


class _Bare:
    """Renders without a BOS that a template writes at the beginning."""

    def __init__(self, render: Renderer, bos: str = "") -> None:
        self._render, self._bos = render, bos

    def __call__(self, dialogue: Dialogue) -> str | None:
        """None where the template refuses, or writes no such BOS."""
        try:
            text = self._render(dialogue)
        except UserError:
            return None
        return text.removeprefix(self._bos) if text.startswith(self._bos) else None


def _system_turn(own: _Bare, family: _Bare) -> str | None:
    """What the template says by itself as a system turn, "" for nothing; None where it is not the family's."""
    for system in _guesses(own, family):
        plain = all(own(each) == family(_after(system, each)) for each in (_ASKED, _WENT_ON))
        if plain and all(_agree(own, family, _after(_MARK, each)) for each in (_ASKED, _WENT_ON)):
            return system
    return None


def _guesses(own: _Bare, family: _Bare) -> Iterator[str]:
    """Nothing, and what stands where the family would put a system turn."""
    yield ""
    written, around = own(_ASKED), (family(_after(_MARK, _ASKED)) or "").split(_MARK)
    if written is not None and len(around) == 2:
        before, after = around
        if written.startswith(before) and written.endswith(after) and len(written) > len(before) + len(after):
            yield written[len(before) : len(written) - len(after)]


def _agree(own: _Bare, family: _Bare, dialogue: Dialogue) -> bool:
    """A template that refuses system turns leaves open how they would be written."""
    written = own(dialogue)
    return written is None or written == family(dialogue)


def _after(system: str, rest: Dialogue) -> Dialogue:
    """The dialogue behind a system turn; "" for none."""
    return Dialogue((Turn(SYSTEM, system), *rest.turns)) if system else rest


def _seen_from(path: Path, out: Path) -> str:
    """The path as Ollama resolves it: from the Modelfile's folder."""
    try:
        relative = Path(os.path.relpath(path.absolute(), out.absolute().parent)).as_posix()
    except ValueError:
        return path.absolute().as_posix()
    return relative if relative.startswith("..") else f"./{relative}"
