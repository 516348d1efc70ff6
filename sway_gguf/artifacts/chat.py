"""Chat templates as functions from dialogues to text. Knows where they lie, not what they say.

A template is a program by whoever made the file. It is parsed here; compiled and rendered in a process of its own,
which is ended where it takes too long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sway_gguf.artifacts import template_process
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.template_files import check_template
from sway_gguf.core.dialogue import Dialogue
from sway_gguf.core.errors import UserError

TEMPLATE_KEY = "tokenizer.chat_template"
_SECONDS = 20.0
"""For one rendering, which takes milliseconds; the first one starts the process."""
_MOST_ENDED = 2
"""Processes of one template that are replaced once they have ended: one that never comes to an end costs a minute, and
not one for every few dialogues."""
Answered = Callable[[Mapping[str, Any]], Mapping[str, str]]
"""Takes the variables of a template; gives its text, or the error that it ran into."""
_COMPILED: dict[str, Any] = {}
"""The families' templates, by their source."""


def chat_renderer(path: Path, settings: Mapping[str, Any] | None = None) -> Renderer | None:
    """The base's own template; None where it has none.

    Args:
        path: the base GGUF.
        settings: further variables of the template, such as enable_thinking.

    Raises:
        UserError: the template is no valid Jinja, or too long.
    """
    file = GGUFFile(path)
    source = file.get(TEMPLATE_KEY)
    if not isinstance(source, str) or not source.strip():
        return None
    return template(source, f"{path}: its chat template", special_tokens(file), settings)


def template(source: str, name: str, special: Mapping[str, str], settings: Mapping[str, Any] | None = None) -> Renderer:
    """A template from its source.

    Args:
        source: Jinja.
        name: what errors call it, where it lies first.
        special: bos_token, eos_token and the like as the model that reads the text spells them.
        settings: further variables; they come before the special ones, as with apply_chat_template.

    Raises:
        UserError: it is no valid Jinja, or too long.
    """
    check_template(source, name)
    return Renderer(_InTurn(source), name, {**special, **(settings or {})})


def family_template(name: str, special: Mapping[str, str], settings: Mapping[str, Any] | None = None) -> Renderer:
    """One of `FAMILIES`, the other arguments as `template` has them. It is ours, so no process of its own bounds it.

    Raises:
        KeyError: no such family.
    """
    here = partial(template_process.answered, FAMILIES[name], _COMPILED)
    return Renderer(here, f"the {name} template", {**special, **(settings or {})})


class Renderer:
    """Renders dialogues by asking for the text of its variables, here or in a process of its own."""

    def __init__(self, answered: Answered, name: str, values: Mapping[str, Any]) -> None:
        self._answered, self._name, self._values = answered, name, values

    def __call__(self, dialogue: Dialogue, *, opens: bool = True) -> str:
        """The text of the dialogue, by default up to the opening of the assistant's next turn.

        Raises:
            UserError: the template refuses it, fails, takes too long or writes too much.
        """
        about = {"messages": dialogue.messages(), "tools": dialogue.offered(), "add_generation_prompt": opens}
        answer = self._answered({**self._values, **about})
        if "text" not in answer:
            raise UserError(f"{self._name} refuses these messages: {answer['error']}")
        return answer["text"]

    def with_values(self, **values: Any) -> Renderer:
        """The same template with further variables."""
        return Renderer(self._answered, self._name, {**self._values, **values})


class _InTurn:
    """Asks one process for one thread at a time: two that ask at once would read each other's answers.

    A process that has ended over one dialogue is replaced for the next, which may be a simple one.
    """

    def __init__(self, source: str) -> None:
        self._source, self._turn = source, threading.Lock()
        self._elsewhere, self._left = _Elsewhere(source), _MOST_ENDED

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """That renders, once it was asked."""
        return self._elsewhere.process

    def __call__(self, values: Mapping[str, Any]) -> Mapping[str, str]:
        with self._turn:
            if self._left and self.process and self.process.poll() is not None:
                self._elsewhere, self._left = _Elsewhere(self._source), self._left - 1
            try:
                return self._elsewhere(values)
            except BaseException:  # What was asked may yet be answered, and would be read by whoever asks next.
                self._elsewhere = _Elsewhere(self._source)
                raise


class _Elsewhere:
    """Asks the process that renders one source, which lives from the first call until nothing holds this object."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._watch = _Watch()
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self, values: Mapping[str, Any]) -> Mapping[str, str]:
        if self.process is None:
            self.process = _started()
            threading.Thread(target=self._watch.over, args=(self.process,), daemon=True).start()
            weakref.finalize(self, _ended, self.process, self._watch)
            lines = [json.dumps(self._source), json.dumps(values)]
        else:
            lines = [json.dumps(values)]
        self._watch.since = time.monotonic()
        try:
            return _exchanged(self.process, "".join(f"{line}\n" for line in lines).encode())
        except (OSError, ValueError):
            self.process.kill()
            self.process.wait()  # Its pipes may close before it counts as ended.
            return {"error": f"it took longer than {_SECONDS:g} s, or all memory"}
        finally:
            self._watch.since = None


class _Watch:
    """Ends a process that takes too long: one thread for all that it is asked, since starting one takes as long as an
    answer.

    Attributes:
        since: when the request that it is at was made; None where there is none.
        done: set where the process is wanted no more.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self.done = threading.Event()

    def over(self, process: subprocess.Popen[bytes]) -> None:
        """Watch the process for as long as it is wanted."""
        left = _SECONDS
        while not self.done.wait(left):
            since = self.since
            left = _SECONDS if since is None else since + _SECONDS - time.monotonic()
            if left <= 0:
                process.kill()
                return


def _started() -> subprocess.Popen[bytes]:
    # -P: neither the script's folder nor the working directory may stand in for a module of the standard library.
    command = [sys.executable, "-P", template_process.__file__]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


def _exchanged(process: subprocess.Popen[bytes], request: bytes) -> Mapping[str, str]:
    """The answer to a request.

    Raises:
        OSError, ValueError: the process has ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request)
    process.stdin.flush()
    answer: Mapping[str, str] = json.loads(process.stdout.readline())
    return answer


def _ended(process: subprocess.Popen[bytes], watch: _Watch) -> None:
    watch.done.set()
    process.kill()
    process.communicate()


def special_tokens(file: GGUFFile) -> dict[str, str]:
    """bos_token, eos_token and what else the file has of those that templates name."""
    more = {f"{name}_token": special_token(file, key) for name, key in (("unk", "unknown"), ("pad", "padding"))}
    always = {f"{name}_token": special_token(file, name) for name in ("bos", "eos")}
    return always | {name: text for name, text in more.items() if text}


def special_token(file: GGUFFile, name: str) -> str:
    """The text of bos, eos, … as the vocabulary spells it; "" where the model has none."""
    number = file.get(f"tokenizer.ggml.{name}_token_id")
    return str(file.array_item("tokenizer.ggml.tokens", number) or "") if type(number) is int else ""
