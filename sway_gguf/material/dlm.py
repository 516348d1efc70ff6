"""Reads a `.dlm` document by way of that project's own parser, an optional extra. Knows its sections' kinds only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, unreadable
from sway_gguf.core.sections import Preference, Section, Unit
from sway_gguf.material.shapes import unit_of


def read_dlm(path: Path) -> list[Unit]:
    """Prose as sections, instructions as prompt and completion, preferences as such; pictures and sound are left out.

    Raises:
        UserError: the extra is not installed, or the parser refuses the file.
    """
    try:
        from dlm.doc.parser import parse_file
    except ImportError:
        raise UserError(f"{path}: reading .dlm needs its own parser; pip install 'sway-gguf[dlm]'") from None
    check_input(path, "a .dlm document")
    try:
        document = parse_file(path)
        return [unit for section in document.sections for unit in _units(section)]
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:
        # Whatever another project's parser raises on a document, the document is what can be mended.
        raise UserError(f"{path}: {' '.join(str(error).split())[:200]}; mend the document") from error


def _units(section: Any) -> Iterator[Unit]:
    from dlm.data.instruction_parser import parse_instruction_body
    from dlm.data.preference_parser import parse_preference_body

    kind, name = str(section.type), str(section.section_id)
    if kind == "prose" and section.content.strip():
        yield Section(name, section.content.strip())
    elif kind == "instruction":
        for number, pair in enumerate(parse_instruction_body(section.content, section_id=name)):
            # The project trains these as a user's turn and the assistant's.
            yield unit_of({"instruction": pair.question, "output": pair.answer}, f"{name}-{number}", name)
    elif kind == "preference":
        for triple in parse_preference_body(section.content, section_id=name):
            yield Preference(f"{triple.prompt}\n", triple.chosen, triple.rejected)
