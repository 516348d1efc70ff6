"""Holds our rendering of chat templates against transformers' `apply_chat_template`, dialogue by dialogue.

Renders 20 dialogues (system turns, several turns, tools and their results, thinking, blanks at both ends, Unicode),
each up to the end and up to the next reply, through every template that it is given, and prints per template how many
texts agree. With the extra `templates`, llama.cpp's own template engine gives a second opinion. llama.cpp's source
archive holds such templates under models/templates. Needs transformers and this package.

    python scripts/check_templates.py FOLDER_OR_FILE... [--only qwen,llama]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from sway_gguf.artifacts.chat import TEMPLATE_KEY, Renderer, template
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.template_files import template_source
from sway_gguf.core.dialogue import Dialogue, Turn
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
DATE = re.compile(r"\d\d \w{3,9} \d{4}|\d{4}-\d\d-\d\d")
Render = Callable[[Sequence[dict[str, Any]], Any, bool, dict[str, Any]], str]
"""Messages, tools, whether the next reply is opened, further variables."""
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place, <now> & later",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "a town, such as Zürich"}},
            "required": ["place"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "", "parameters": {"type": "object"}}}


def said(*contents: str, system: str | None = None) -> list[dict[str, Any]]:
    """User and assistant in turn."""
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(contents)]
    return turns if system is None else [{"role": "system", "content": system}, *turns]


def calling(content: str, arguments: Any, *names: str) -> dict[str, Any]:
    """An assistant's turn that calls tools."""
    calls = [
        {"id": f"call0000{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, name in enumerate(names)
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(content: str, number: int = 0) -> dict[str, Any]:
    """What a tool answers."""
    return {"role": "tool", "name": "weather", "tool_call_id": f"call0000{number}", "content": content}


ASKED, PLACE = {"role": "user", "content": "Will it rain?"}, {"place": "Zürich"}
ANSWERED = {"role": "assistant", "content": "It will rain."}
CASES: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]] | None, dict[str, Any]]] = [
    ("a request", said("Hello"), None, {}),
    ("an exchange", said("Hello", "Hi there."), None, {}),
    ("three exchanges", said("One", "1", "Two", "2", "Three", "3"), None, {}),
    ("a system turn", said("Hello", "Hi.", system="Be brief."), None, {}),
    ("a system turn, several turns", said("One", "1", "Two", "2", system="Count."), None, {}),
    ("an empty system turn", said("Hello", "Hi.", system=""), None, {}),
    ("blanks at both ends", said("  Hello \n", "\n Hi.  ", " And? ", "  Fine.\n\n", system=" Be brief. "), None, {}),
    ("unicode", said("Grüße, 日本語 🙂", "naïve café\u2028— ‘ok’", system="«Привет»"), None, {}),
    ("markup", said("<b>a</b> & {{ x }} {% y %}", 'x < y && "z"', "<|im_end|>", "</s>"), None, {}),
    ("lines", said("a\nb\n\nc", "```python\nx = {}\n```\n"), None, {}),
    ("thought in the reply", said("2+2?", "<think>\nIt is four.\n</think>\n\n4", "Sure?", "Yes."), None, {}),
    ("thought at the end", said("2+2?", "4", "Sure?", "<think>\nHm.\n</think>\n\nYes."), None, {}),
    ("thought in its field", [ASKED, {**ANSWERED, "reasoning_content": "Clouds."}], None, {}),
    ("thought by an older name", [ASKED, {**ANSWERED, "thinking": "Clouds."}, ASKED, ANSWERED], None, {}),
    ("no thinking", said("2+2?", "4", "Sure?", "Yes."), None, {"enable_thinking": False}),
    ("thinking", said("2+2?", "4", "Sure?", "Yes.", system="Be sure."), None, {"enable_thinking": True}),
    ("tools on offer", said("Hello", "Hi.", system="Be brief."), [WEATHER, CLOCK], {}),
    (
        "a call and its result",
        [ASKED, calling("", PLACE, "weather"), result('{"rain": true}'), ANSWERED],
        [WEATHER],
        {},
    ),
    (
        "two calls with words, arguments as text",
        [ASKED, calling("I look.", json.dumps(PLACE), "weather", "clock"), result("rain"), result("9:00", 1), ANSWERED],
        [WEATHER, CLOCK],
        {},
    ),
    ("a call without content", [ASKED, {**calling("", PLACE, "weather"), "content": None}], [WEATHER], {}),
]


def ours(source: str) -> Render:
    """This package's."""

    @cache
    def made(settings: str) -> Renderer:
        return template(source, "the template", SPECIAL, json.loads(settings))

    def render(messages: Sequence[dict[str, Any]], tools: Any, opens: bool, settings: dict[str, Any]) -> str:
        turns = tuple(turn_of(message) for message in messages)
        dialogue = Dialogue(turns, json_text(tools) if tools else "")
        return made(json_text(settings))(dialogue, opens=opens)

    return render


def turn_of(message: dict[str, Any]) -> Turn:
    """A message as this package reads it: without content, it says nothing."""
    more = {key: value for key, value in message.items() if key not in ("role", "content")}
    return Turn(message["role"], message["content"] or "", json_text(more) if more else "")


def theirs(source: str) -> Render:
    """transformers'."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=source, **SPECIAL)

    def render(messages: Sequence[dict[str, Any]], tools: Any, opens: bool, settings: dict[str, Any]) -> str:
        text: str = tokenizer.apply_chat_template(
            list(messages), tools=tools, tokenize=False, add_generation_prompt=opens, **settings
        )
        return text

    return render


def second_opinion() -> Callable[[str], Render] | None:
    """llama.cpp's own; None where ggufdoctor is not installed."""
    try:
        from ggufdoctor.engines.llamacpp_engine import LlamaCppEngine
    except ImportError:
        return None
    engine = LlamaCppEngine()

    def of(source: str) -> Render:
        def render(messages: Sequence[dict[str, Any]], tools: Any, opens: bool, settings: dict[str, Any]) -> str:
            about = {"messages": list(messages), "add_generation_prompt": opens, **SPECIAL, **settings}
            found = engine.render(source, about | ({"tools": tools} if tools else {}))
            if found.text is None:
                raise UserError(str(found.error))
            return DATE.sub("DATE", found.text)

        return render

    return of if engine.available else None


def outcome(render: Render, case: tuple[Any, ...], opens: bool) -> str | None:
    """The text; None where the template refuses."""
    try:
        return DATE.sub("DATE", render(case[1], case[2], opens, case[3]))
    except Exception:  # transformers lets through whatever a template runs into.
        return None


def compared(source: str, name: str, other: Render, shown: bool) -> str:
    """How many texts agree, of those that both render; differences are printed."""
    mine, same, refused, told = ours(source), 0, 0, list[str]()
    for case in CASES:
        for opens in (False, True):
            found, wanted = outcome(mine, case, opens), outcome(other, case, opens)
            same += found == wanted
            refused += found == wanted is None
            if found != wanted:
                told.append(f"    {name}, {case[0]}{', opened' if opens else ''}: {difference(found, wanted)}")
    if shown and told:
        print("\n".join(told), file=sys.stderr)
    return f"{same} of {2 * len(CASES)}" + (f" ({refused} refused by both)" if refused else "")


def difference(found: str | None, wanted: str | None) -> str:
    """Where two texts part."""
    if found is None or wanted is None:
        return f"{'we refuse' if found is None else 'refused there'}"
    place = next(
        (i for i, (x, y) in enumerate(zip(found, wanted, strict=False)) if x != y), min(map(len, (found, wanted)))
    )
    return f"at {place}, ours {found[place : place + 40]!r}, theirs {wanted[place : place + 40]!r}"


def sources(paths: Sequence[Path], only: str) -> Iterator[tuple[str, str]]:
    """Name and template of every .jinja file, tokenizer folder and GGUF file under `paths`."""
    words = [word for word in only.lower().split(",") if word]
    for path in paths:
        found = sorted(path.glob("*.jinja")) if path.is_dir() else [path]
        for file in found or [path]:
            if not words or any(word in file.name.lower() for word in words):
                given = GGUFFile(file).get(TEMPLATE_KEY) if file.suffix == ".gguf" else template_source(file)
                yield file.stem, str(given)


def main() -> None:
    """Compare all, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--only", default="", help="words, any of which a file's name has")
    parser.add_argument("--show", action="store_true", help="where texts differ")
    given = parser.parse_args()
    other = second_opinion()
    for name, source in sources(given.paths, given.only):
        line = f"{name:48} transformers {compared(source, name, theirs(source), given.show)}"
        if other:
            line += f"; llama.cpp {compared(source, name, other(source), given.show)}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
