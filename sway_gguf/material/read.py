"""Reads training material: Markdown, plain text or JSONL. Knows formats; does not know what is measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sway_gguf.core.dialogue import ASSISTANT, USER, Dialogue, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, read_utf8, unreadable
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.plain import json_text
from sway_gguf.core.sections import Canary, Material, Paraphrase, Preference, Section, Unit
from sway_gguf.material.dlm import read_dlm

_MOST_LINE = 64 << 20
"""Characters of one line of JSONL."""
_SHOWN_KEYS = 8
_HEADING = re.compile(r"#{1,6}\s")
_FENCE = re.compile(r"^\s*(```|~~~)")


def read_text(path: Path) -> str:
    """A text file's contents, without a byte order mark.

    Raises:
        UserError: it is no regular file, cannot be read, is not UTF-8, too long, or empty.
    """
    text = read_utf8(path)
    if not text.strip():
        raise UserError(f"{path}: the file is empty; give a file with text in it")
    return text


def read_material(path: Path) -> Material:
    """What a data file holds, by its ending: .jsonl, .md / .markdown, .dlm, anything else plain text.

    Raises:
        UserError: the file cannot be read or holds nothing of use; JSONL errors name the line.
    """
    if is_jsonl(path):
        found = material_of(iter_jsonl(path))
        if found == Material():
            raise UserError(f"{path}: the file is empty; give a file with text in it")
        return found
    if path.suffix.lower() == ".dlm":
        return material_of(read_dlm(path))
    text = read_text(path)
    sections = _markdown(text) if path.suffix.lower() in {".md", ".markdown"} else _plain(text)
    return Material(sections=tuple(sections))


def is_jsonl(path: Path) -> bool:
    """By the ending."""
    return path.suffix.lower() in {".jsonl", ".ndjson"}


def paragraphs(text: str) -> list[str]:
    """Paragraphs of plain text: what blank lines part."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _plain(text: str) -> list[Section]:
    return [Section(f"paragraph {i}", part) for i, part in enumerate(paragraphs(text), 1)]


def _markdown(text: str) -> list[Section]:
    """One section per heading that has text of its own; what stands before the first is "preamble"."""
    title, fenced = "preamble", False
    lines: list[str] = []
    found: list[tuple[str, str]] = []
    for line in [*text.splitlines(), "# end"]:
        heading = None if fenced else _HEADING.match(line)
        if _FENCE.match(line):
            fenced = not fenced
        if heading:
            body = "\n".join(lines).strip()
            if body:
                found.append((title, body))
            title, lines = _title(line) or "untitled", []
        else:
            lines.append(line)
    if fenced and (body := "\n".join(lines[:-1]).strip()):
        found.append((title, body))
    return [Section(name, body) for name, body in found]


def _title(heading: str) -> str:
    """Of a heading's line, without the marks before it and those that may stand after it."""
    return heading.lstrip("#").strip().rstrip("#").rstrip()


def iter_jsonl(path: Path) -> Iterator[Unit]:
    """The units of a JSONL file, one line at a time, whatever its length.

    Raises:
        UserError: the file cannot be read; a line is of no use, by its number.
    """
    for where, record in records(path):
        yield unit_of(record, str(record.get("id") or where.rpartition(", ")[2]), where)


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("path, line n", object) of each line of a JSONL file that is not blank.

    Raises:
        UserError: the file cannot be read, or a line is no JSON object.
    """
    check_input(path, "a JSONL file")
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for count, line in enumerate(iter(partial(file.readline, _MOST_LINE), ""), 1):
                where = f"{path}, line {count}"
                if len(line) == _MOST_LINE:
                    raise UserError(f"{where}: longer than {_MOST_LINE:,} characters; give one JSON object per line")
                if line.strip():
                    yield where, _record(line, where)
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start} of its line); save it as UTF-8") from error


def unit_of(record: dict[str, Any], name: str, where: str) -> Unit:
    """One object as a section, a preference or paraphrases, by the first shape whose keys it has.

    Raises:
        UserError: of no known shape, or a wrong value.
    """
    shape = next((keys for keys in _SHAPES if all(key in record for key in keys)), None)
    if shape is None:
        wanted = "; ".join(" + ".join(keys) for keys in _SHAPES)
        keys = ", ".join(key[:40] for key in list(record)[:_SHOWN_KEYS]) or "no keys"
        raise UserError(f"{where}: has {keys}; one of these is wanted: {wanted}")
    return _SHAPES[shape](record, name, where)


def material_of(units: Iterable[Unit]) -> Material:
    """Units sorted by what they are, order kept."""
    found = list(units)
    return Material(
        sections=tuple(unit for unit in found if isinstance(unit, Section)),
        preferences=tuple(unit for unit in found if isinstance(unit, Preference)),
        paraphrases=tuple(unit for unit in found if isinstance(unit, Paraphrase)),
        canaries=tuple(unit for unit in found if isinstance(unit, Canary)),
    )


def _record(line: str, where: str) -> dict[str, Any]:
    record = parse_json(line, where, "mend or remove the line")
    if not isinstance(record, dict):
        raise UserError(f"{where}: a JSON object is wanted, not {type(record).__name__}")
    return record


def _string(record: dict[str, Any], key: str, where: str) -> str:
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {key!r} must be text that is not empty")
    return value


def _from_preference(record: dict[str, Any], name: str, where: str) -> Preference:
    prompt, chosen, rejected = (_string(record, key, where) for key in ("prompt", "chosen", "rejected"))
    return Preference(prompt, chosen, rejected)


def _from_paraphrases(record: dict[str, Any], name: str, where: str) -> Paraphrase:
    others = record["paraphrases"]
    if not isinstance(others, list) or not others or not all(isinstance(o, str) and o.strip() for o in others):
        raise UserError(f"{where}: 'paraphrases' must be a list of texts that are not empty")
    return Paraphrase(_string(record, "prompt", where), _string(record, "gold", where), tuple(others))


def _from_canary(record: dict[str, Any], name: str, where: str) -> Canary:
    return Canary(_string(record, "prompt", where), _string(record, "secret", where))


def _from_completion(record: dict[str, Any], name: str, where: str) -> Section:
    prompt, reply = _string(record, "prompt", where), _string(record, "completion", where)
    return Section(name, reply, prompt, "completion", exchange(prompt.strip(), reply.strip()))


def _from_text(record: dict[str, Any], name: str, where: str) -> Section:
    return Section(name, _string(record, "text", where))


def _from_messages(record: dict[str, Any], name: str, where: str) -> Section:
    """The last reply after a plain transcript of what came before it.

    The model's own chat template is not applied here: nothing in this layer knows the model.
    """
    messages = record["messages"]
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise UserError(f"{where}: 'messages' must be a list of objects with role and content")
    turns = [(str(m.get("role", "")), _string({"content": m.get("content")}, "content", where)) for m in messages]
    if len(turns) < 2 or turns[-1][0] != "assistant":
        raise UserError(f"{where}: 'messages' must end with an assistant's reply to something")
    before = "".join(f"{role}: {content}\n" for role, content in turns[:-1])
    dialogue = Dialogue(tuple(Turn(role, content) for role, content in turns))
    return Section(name, " " + turns[-1][1].strip(), f"{before}assistant:", "dialogue", dialogue)


def _from_instruction(record: dict[str, Any], name: str, where: str) -> Section:
    given = record.get("input") or ""
    if not isinstance(given, str):
        raise UserError(f"{where}: 'input' must be text")
    prompt = "\n".join(part for part in (_string(record, "instruction", where), given.strip()) if part)
    reply = _string(record, "output", where)
    more = json_text({"instruction": record["instruction"], "input": given.strip()})
    dialogue = Dialogue((Turn(USER, prompt, more), Turn(ASSISTANT, reply)))
    return Section(name, reply, f"{prompt}\n", "instruction", dialogue)


_SHAPES: dict[tuple[str, ...], Callable[[dict[str, Any], str, str], Unit]] = {
    ("prompt", "gold", "paraphrases"): _from_paraphrases,
    ("prompt", "chosen", "rejected"): _from_preference,
    ("prompt", "secret"): _from_canary,
    ("prompt", "completion"): _from_completion,
    ("instruction", "output"): _from_instruction,
    ("messages",): _from_messages,
    ("text",): _from_text,
}
