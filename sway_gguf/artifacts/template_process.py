"""Renders a chat template in a process of its own, under limits of memory and output; chat.py runs it as a script.

One line of JSON in, one out. Imports nothing of ours. Rendered with jinja2 in its sandbox, under the conventions of
transformers' `apply_chat_template`. Knows templates, not where they come from.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_OUTPUT = 4 << 20
"""Characters of one rendering."""
MOST_MEMORY = 1 << 30
"""Bytes that the process may take, where the system lets us say so."""


def environment() -> ImmutableSandboxedEnvironment:
    """What templates are parsed and compiled in. Compiling computes constants, and 9 ** 9 ** 9 may be one."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


def rendered(template: Template, values: dict[str, Any]) -> str:
    """The text.

    Raises:
        TemplateError: it is longer than MOST_OUTPUT; any other error that the template runs into.
    """
    parts, length = [], 0
    for part in template.generate(values):
        parts.append(part)
        length += len(part)
        if length > MOST_OUTPUT:
            raise TemplateError(f"it writes more than {MOST_OUTPUT:,} characters")
    return "".join(parts)


def told(error: Exception) -> str:
    """An error of any class in few words."""
    if isinstance(error, MemoryError):
        return f"it needs more than {MOST_MEMORY:,} bytes"
    text = " ".join(str(error).split())[:300].rstrip()
    return text if isinstance(error, TemplateError) and text else f"{type(error).__name__}: {text}"


def main() -> None:
    """Read the source, then answer one line of values after another until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    source, template = json.loads(sys.stdin.buffer.readline()), None
    for line in sys.stdin.buffer:
        try:
            template = template or environment().from_string(source)
            answer = {"text": rendered(template, json.loads(line))}
        except Exception as error:
            answer = {"error": told(error)}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


if __name__ == "__main__":
    main()
