"""The llama.cpp library: the only file that imports it. Loads it, keeps its log, and holds signals while it works.

`llama.py` (models) and `context.py` (contexts) speak to it through this file. Knows nothing of either.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sway_gguf.core.errors import OUT_OF_MEMORY, EngineError
from sway_gguf.core.put_off import put_off
from sway_gguf.engine.interrupt import Interrupt, in_command
from sway_gguf.engine.waiting import bound_spinning


def _listen() -> None:
    llama_cpp.llama_log_set(_on_log, ctypes.c_void_p(0))


# Its classes of a higher level, which nobody here calls, import NumPy, Jinja and more: three quarters of its start.
put_off("llama_cpp", _listen, own="llama_cpp")  # They set a log of their own.
bound_spinning()  # OpenMP reads its environment once, when llama.cpp is loaded with it.
import llama_cpp.llama_cpp as bindings  # noqa: E402

llama_cpp: Any = bindings
"""llama.cpp's functions and structures."""
logger = logging.getLogger("sway_gguf.llama")
logger.addHandler(logging.NullHandler())
_LINES = 6
"""Of llama.cpp's log in an error; a refusal takes four."""
_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
_recent: deque[str] = deque(maxlen=20)
_NO_MEMORY = re.compile(
    r"bad_alloc|fail\w* to allocate|unable to allocate|cannot allocate|mem_buffer|out of memory", re.IGNORECASE
)
_GAVE_UP = 2
"""Exit code of a command in which llama.cpp ended the process, as of any other error that is not ours."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _: Any) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if line:
        logger.log(_LEVELS.get(level, logging.DEBUG), "%s", line)
        if level in (3, 4):
            _recent.append(line)


_listen()


@ctypes.CFUNCTYPE(None, ctypes.c_char_p)  # type: ignore[untyped-decorator]
def _gives_up(message: bytes) -> None:
    """llama.cpp ends the process after this, from any thread: all that can be done is to say why, in a line."""
    if not in_command():
        os.write(2, f"{' '.join(message.decode('utf-8', 'replace').split())}\n".encode())
        return
    end(_GAVE_UP, f"llama.cpp gave up: {_explained(last_words(message))}")


def last_words(message: bytes) -> str:
    """What llama.cpp says as it aborts, on one line, without the folders of its source file."""
    words = " ".join(message.decode("utf-8", "replace").split())
    return re.sub(r"^.*?([^/\\]*:\d+: )", r"\1", words, count=1)


def end(code: int, said: str) -> None:
    """End the process here and now, from any thread, with a line that says why."""
    with suppress(OSError):
        shown = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # A bar may stand there, with its cursor hidden.
        os.write(2, f"{shown}sway-gguf: {said}\n".encode())
    os._exit(code)


def uninterrupted(function: Callable[..., Any], *args: Any) -> Any:
    """A call into llama.cpp that logs: a signal waits for its return, for in the log callback it would be lost."""
    with Interrupt().watching():
        return function(*args)


def why() -> str:
    """What llama.cpp logged last, or that it logged nothing."""
    return logged() or "it gave no reason"


def logged() -> str:
    """What llama.cpp logged last, on one line: the cause comes first there, what it led to after it; "" for nothing."""
    lines = [" ".join(line.replace("=", " ").split()) for line in dict.fromkeys(_recent)]
    _recent.clear()
    return _explained("; ".join(lines[-_LINES:]))


def _explained(reason: str) -> str:
    return f"{reason}; {OUT_OF_MEMORY}" if _NO_MEMORY.search(reason) else reason


def forget_log() -> None:
    """What is logged from now on is the cause of what fails next."""
    _recent.clear()


def ggml() -> ctypes.CDLL:
    """The tensor library under llama.cpp, for what llama.cpp's own interface leaves out.

    Raises:
        EngineError: this release of llama-cpp-python does not give it.
    """
    found = getattr(llama_cpp, "_lib", None)
    if not isinstance(found, ctypes.CDLL):
        raise EngineError("this release of llama-cpp-python does not show its ggml library; install another one")
    return found


if not os.environ.get("SWAY_GGUF_DEBUG"):  # Without this, a debugger is called and prints pages.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    with suppress(EngineError, AttributeError):
        ggml().ggml_set_abort_callback(_gives_up)
