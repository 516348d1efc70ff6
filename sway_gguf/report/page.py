"""A result as one plain page, and as Markdown: the terminal's report, every character of it text."""

from __future__ import annotations

import html
import io

from sway_gguf.core.result import SuiteResult
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.terminal import print_result

_WIDTH = 100


def as_text(result: SuiteResult) -> str:
    """The terminal's report without colours."""
    buffer = io.StringIO()
    print_result(result, PlainConsole(buffer, width=_WIDTH))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def as_html(result: SuiteResult) -> str:
    """A page that loads nothing."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sway-gguf: '
        f"{html.escape(result.diagnosis)}</title><style>:root{{color-scheme:light dark}}pre{{padding:1rem;"
        "overflow:auto}</style></head>"
        f"<body><main><h1>{html.escape(result.diagnosis)}</h1><pre>{html.escape(as_text(result))}</pre></main></body></html>\n"
    )


def as_markdown(result: SuiteResult) -> str:
    """A block of code: nothing in it is markup; its fence is longer than any run of backticks within."""
    text = as_text(result)
    fence = "```"
    while fence in text:
        fence += "`"
    return f"# {result.diagnosis}\n\n{fence}\n{text}{fence}\n"
