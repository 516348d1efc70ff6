"""Asks a server, in the first form that it knows and with as many log-probabilities as it gives.

Knows the order in which things are tried; sends nothing to any other server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sway_gguf.core.errors import UserError
from sway_gguf.core.listing import few
from sway_gguf.core.queries import shorten
from sway_gguf.engine.http import NoEndpointError, RefusedError, Server
from sway_gguf.served.forms import CHAT_FORMS, TEXT_FORMS, Form, Question, Reply
from sway_gguf.served.prompts import CHAT, Prompt

_TOPS = (20, 5, 1)
"""Log-probabilities to ask for: vLLM gives 20 by default, some give 5 at most."""
REPLY_TOKENS = 16
"""Of a reply, where log-probabilities are not given."""
_SHOWN = 6
_LLAMA_SERVER = "llamacpp"
"""Who owns the models that a llama-server lists."""


class Asking:
    """One way of asking, text or chat, of one server.

    Args:
        server: to ask.
        asked_as: text or chat.
        model: its name there; "" for the server's own choice.
        opening: what the server puts before every text by itself, so that it is not sent.
        fresh: as `Question` has it.
    """

    def __init__(
        self, server: Server, asked_as: str, model: str = "", opening: str = "", *, fresh: bool = False
    ) -> None:
        self.asked_as = asked_as
        self._server, self._model, self._opening, self._fresh = server, model, opening, fresh
        self._forms = list(CHAT_FORMS if asked_as == CHAT else TEXT_FORMS)
        self._form: Form | None = None
        self._top = 0
        self._settled: dict[Prompt, Reply] = {}
        self.refusal = ""

    @property
    def endpoint(self) -> str:
        """That answers; "" where none does."""
        return self._form.path if self._form else ""

    @property
    def tells(self) -> bool:
        """Whether it gives log-probabilities."""
        return self._top > 0

    def begin(self, prompts: Sequence[Prompt]) -> bool:
        """Find out what the server knows by asking these until one is answered with log-probabilities.

        Returns:
            Whether it can be asked so at all; `refusal` says why not.

        Raises:
            UserError: the server is not there, wants a key or fails.
        """
        for form in self._forms:
            try:
                if self._begun(form, prompts):
                    return True
            except (NoEndpointError, RefusedError) as error:
                self.refusal = self.refusal or str(error)
        self._top = 0
        return self._form is not None

    def _begun(self, form: Form, prompts: Sequence[Prompt]) -> bool:
        """Whether a form gives log-probabilities; one that answers at all is kept where there is no better."""
        for prompt in prompts:
            reply = self._first(form, prompt)
            if reply is None:
                self.refusal = self.refusal or f"{self._server.root}{form.path}: an answer of no known form"
                return False
            self._form = self._form or form
            if reply.first:
                self._form, self._settled = form, {prompt: reply}
                return True
            if reply.text:
                return False  # It says something without them; another prompt changes nothing.
        return False

    def reply(self, prompt: Prompt) -> Reply:
        """The answer to one prompt; that to the one by which the form was found out is not asked for again.

        Raises:
            UserError: the server fails, or answers in another form than before.
        """
        assert self._form is not None
        if (settled := self._settled.pop(prompt, None)) is not None:
            return settled
        tokens = 1 if self.tells else REPLY_TOKENS
        question = Question(self._asked(prompt), tokens, self._top, self._model, self._fresh)
        answer = self._server.post(self._form.path, self._form.body(question))
        read = self._form.read(answer)
        if read is None:
            raise UserError(
                f"{self._server.root}{self._form.path}: an answer of no known form ({shorten(str(answer))})"
            )
        return read

    def _first(self, form: Form, prompt: Prompt) -> Reply | None:
        """The first answer in a form, with as many log-probabilities as are given; None where it is of no known form.

        Raises:
            RefusedError: it refuses the request even without any.
        """
        question = Question(self._asked(prompt), 1, 0, self._model, self._fresh)
        for top in (*_TOPS, 0):
            try:
                answer = self._server.post(form.path, form.body(replace(question, top=top)))
            except RefusedError:
                if not top:
                    raise
                continue
            self._top = top
            return form.read(answer)
        raise AssertionError("unreachable")

    def _asked(self, prompt: Prompt) -> object:
        if prompt.dialogue is not None:
            return [{"role": turn.role, "content": turn.content} for turn in prompt.dialogue.turns]
        return prompt.text.removeprefix(self._opening) if self._opening else prompt.text


class Model(NamedTuple):
    """What to ask for: a name, and whether it is a llama-server that answers."""

    name: str
    of_llama_server: bool = False


def model_of(server: Server, wanted: str) -> Model:
    """The name to ask for: the one that is wanted, or the only one that the server lists; "" where it lists none.

    Raises:
        UserError: it lists several and none was named, or lists others than the one that was.
    """
    try:
        listed = server.get("/v1/models")
    except (NoEndpointError, RefusedError):
        return Model(wanted)
    given = listed.get("data") if isinstance(listed, dict) else None
    entries = [entry for entry in given or () if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    names = [entry["id"] for entry in entries]
    shown = few(names, _SHOWN)
    known = {name for each in names for name in (each, each.removesuffix(":latest"))}
    if wanted and names and wanted not in known:
        raise UserError(f"{server.root}: no model {wanted!r} there (it lists {shown}); give one of these to --model")
    if not wanted and len(names) > 1:
        raise UserError(f"{server.root}: it serves several models ({shown}); name one with --model")
    return Model(
        wanted or (names[0] if names else ""), any(entry.get("owned_by") == _LLAMA_SERVER for entry in entries)
    )
