"""Renders a chat template in a process of its own, under limits of memory and output; chat.py runs it as a script.

One line of JSON in, one out. Imports nothing of ours. Rendered with jinja2 in its sandbox, under the conventions of
transformers' `apply_chat_template`; scripts/check_templates.py holds the two against each other. Knows templates, not
where they come from.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_OUTPUT = 4 << 20
"""Characters of one rendering."""
MOST_MEMORY = 1 << 30
"""Bytes that the process may take, where the system lets us say so."""
_REASONING = ("reasoning_content", "thinking", "reasoning")


def environment() -> ImmutableSandboxedEnvironment:
    """What templates are parsed and compiled in. Compiling computes constants, and 9 ** 9 ** 9 may be one."""
    extensions = [_Generation, "jinja2.ext.loopcontrols"]
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


class _Generation(Extension):
    """`{% generation %}`, by which trainers mark what the assistant says; it writes its body as it stands."""

    tags = frozenset({"generation"})  # type: ignore[assignment]

    def parse(self, parser: Parser) -> nodes.Node:
        """The body as a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


def values_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a template sees: names that are there without a value, and messages without fields that have none.

    A message's reasoning stands under the name that templates read, whichever of three it was given.
    """
    messages = [{key: value for key, value in message.items() if value is not None} for message in asked["messages"]]
    return {"tools": None, "documents": None, **asked, "messages": [_reasoned(message) for message in messages]}


def _reasoned(message: dict[str, Any]) -> dict[str, Any]:
    found = next((message[key] for key in _REASONING if key in message), None)
    return message if found is None else {"thinking": found, **message, "reasoning_content": found}


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


def answered(source: str, kept: dict[str, Template], values: Mapping[str, Any]) -> dict[str, str]:
    """The text of a template with these values, or the error that it ran into; `kept` holds what was compiled."""
    try:
        if source not in kept:
            kept[source] = environment().from_string(source)
        return {"text": rendered(kept[source], values_of(values))}
    except Exception as error:
        return {"error": told(error)}


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
    source, kept = json.loads(sys.stdin.buffer.readline()), dict[str, Template]()
    for line in sys.stdin.buffer:
        answer = answered(source, kept, json.loads(line))
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


if __name__ == "__main__":
    main()
