"""The table of formats that a result is written in: name, file ending, renderer. Knows who draws, not how.

Renderers are imported when they are called, so that naming a format costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from sway_gguf.core.gate import GateDecision
    from sway_gguf.core.result import SuiteResult


class Renderer(Protocol):
    """Turns a result, and what a gate decided on it, into text that ends in a newline."""

    def __call__(self, result: SuiteResult, decision: GateDecision | None = None) -> str:
        """Draw it."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a result.

    Attributes:
        name: for --format.
        endings: of files that are written so, the first the usual one; none where a name has to be given.
        render: draws it.
    """

    name: str
    endings: tuple[str, ...]
    render: Renderer


def _terminal(result: SuiteResult, decision: GateDecision | None = None) -> str:
    from sway_gguf.report.plain_text import text_report

    return text_report(result, decision)


def _markdown(result: SuiteResult, decision: GateDecision | None = None) -> str:
    from sway_gguf.report.markdown import markdown_report

    return markdown_report(result, decision)


def _junit(result: SuiteResult, decision: GateDecision | None = None) -> str:
    from sway_gguf.report.junit import junit_report

    return junit_report(result, decision)


def _json(result: SuiteResult, decision: GateDecision | None = None) -> str:
    from sway_gguf.core.result_json import to_json

    return to_json(result)


def _badge(result: SuiteResult, decision: GateDecision | None = None) -> str:
    from sway_gguf.report.badge import badge

    return badge(result, decision)


def _card(result: SuiteResult, decision: GateDecision | None = None) -> str:
    from sway_gguf.report.model_card import model_card

    return model_card(result, decision)


def _html(result: SuiteResult, decision: GateDecision | None = None) -> str:
    from sway_gguf.report.html import html_report

    return html_report(result, decision)


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("terminal", (".txt",), _terminal),
        Format("html", (".html", ".htm"), _html),
        Format("md", (".md", ".markdown"), _markdown),
        Format("junit", (".xml",), _junit),
        Format("json", (".json",), _json),
        Format("badge", (".svg",), _badge),
        Format("card", (), _card),
    )
}


def format_of(path: Path, otherwise: str = "") -> Format:
    """The format that a file's ending chooses.

    Args:
        path: of the file.
        otherwise: what else the user could do where none does, such as ", or give --format".

    Raises:
        UserError: none does.
    """
    for each in FORMATS.values():
        if path.suffix.lower() in each.endings:
            return each
    known = ", ".join(ending for each in FORMATS.values() for ending in each.endings[:1])
    raise UserError(f"{path}: no format by its ending; end the name in one of {known}{otherwise}")
