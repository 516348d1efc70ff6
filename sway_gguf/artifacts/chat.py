"""The chat template that a base carries, as a function from messages to text. Knows where it lies, not what it says.

A template is a program by whoever made the file. It is parsed here; compiled and rendered in a process of its own,
which is ended where it takes too long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sway_gguf.artifacts import template_process
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.template_files import check_template
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import Message

TEMPLATE_KEY = "tokenizer.chat_template"
Render = Callable[[Sequence[Message]], str]
_SECONDS = 20.0
"""For one rendering, which takes milliseconds; the first one starts the process."""


def chat_renderer(path: Path) -> Render | None:
    """The base's template, which ends with the opening of the assistant's turn; None where it has none.

    Raises:
        UserError: the template is no valid Jinja; a call raises it where the template refuses the messages, takes too
            long or writes too much.
    """
    file = GGUFFile(path)
    source = file.get(TEMPLATE_KEY)
    if not isinstance(source, str) or not source.strip():
        return None
    check_template(source, path)
    return _Renderer(path, source, {f"{name}_token": special_token(file, name) for name in ("bos", "eos")})


class _Renderer:
    """Asks the process that renders, which lives from the first call until nothing holds this object."""

    def __init__(self, path: Path, source: str, special: Mapping[str, str]) -> None:
        self._path, self._source, self._special = path, source, special
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, messages: Sequence[Message]) -> str:
        """The text of the messages.

        Raises:
            UserError: the template refuses them or fails.
        """
        answer = self._asked({"messages": list(messages), "add_generation_prompt": True, **self._special})
        if "text" not in answer:
            raise UserError(f"{self._path}: its chat template refuses these messages: {answer['error']}")
        return answer["text"]

    def _asked(self, values: object) -> Mapping[str, str]:
        if self._process is None:
            self._process = _started()
            weakref.finalize(self, _ended, self._process)
            lines = [json.dumps(self._source), json.dumps(values)]
        else:
            lines = [json.dumps(values)]
        late = threading.Timer(_SECONDS, self._process.kill)
        late.start()
        try:
            return _exchanged(self._process, "".join(f"{line}\n" for line in lines).encode())
        except (OSError, ValueError):
            return {"error": f"it took longer than {_SECONDS:g} s, or all memory"}
        finally:
            late.cancel()


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


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def special_token(file: GGUFFile, name: str) -> str:
    """The text of bos, eos, … as the vocabulary spells it; "" where the model has none."""
    number = file.get(f"tokenizer.ggml.{name}_token_id")
    return str(file.array_item("tokenizer.ggml.tokens", number) or "") if type(number) is int else ""
