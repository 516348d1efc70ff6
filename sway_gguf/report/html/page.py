"""The shell of every page: one file, its style and script inside, a policy that forbids all else.

Knows HTML and Jinja; nothing of what a page shows. Jinja escapes all that a template writes, SVG included, which is why
charts are templates too: the libraries that write SVG elements leave a model's words in them as they are.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sway_gguf.core.plain import json_text, one_line, plain
from sway_gguf.report import numbers
from sway_gguf.report.html.glossary import GLOSSARY
from sway_gguf.report.terminal import QUESTIONS

_SIGNS = {"PASS": "✓", "WARN": "!", "FAIL": "✕", "ERROR": "✕", "INCONCLUSIVE": "?", "SKIP": "–"}


def page(template: str, *, title: str, record: dict[str, Any] | None = None, **context: Any) -> str:
    """A page from its template.

    Args:
        template: its file name; it extends shell.html.
        title: of the window.
        record: what the page's button saves as JSON; None for no button.
        context: what the template draws.
    """
    style, script = _asset("style.css"), _asset("script.js")
    drawn = (
        _environment()
        .get_template(template)
        .render(
            title=one_line(title),
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
            record=None if record is None else inlined(record),
            glossary=GLOSSARY,
            **context,
        )
    )
    return f"{drawn}\n"


def inlined(record: dict[str, Any]) -> Markup:
    """A record as JSON that can stand inside a script element: nothing in it ends or comments out that element."""
    return Markup(json_text(record, strict=False).replace("<", "\\u003c"))


def _policy(style: str, script: str) -> str:
    """Nothing from anywhere; of style and script, only what stands in the file."""
    return (
        f"default-src 'none'; img-src data:; style-src '{digest_of(style)}'; script-src '{digest_of(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def digest_of(text: str) -> str:
    """Of a style or a script, as a policy names what it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


@cache
def _asset(name: str) -> str:
    return files("sway_gguf.report.html").joinpath("templates", name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sway_gguf.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "number": numbers.number,
        "span": numbers.span,
        "plus_minus": numbers.plus_minus,
        "p_value": numbers.p_value,
        "z_score": numbers.z_score,
        "count": numbers.count,
        "size": numbers.size,
        "seconds": numbers.seconds,
        "moment": numbers.moment,
        "parameters": numbers.parameters,
        "one_line": one_line,
        "breakable": _breakable,
        "sign": lambda verdict: _SIGNS[str(verdict)],
        "percent": lambda share: f"{share:.0%}",
        "at": lambda share: f"{share:.4g}%",
    }
    environment.globals |= {"QUESTIONS": QUESTIONS, "MISSING": numbers.MISSING}
    return environment


def _breakable(name: str) -> Markup:
    """A name that may go on in the next line behind its underscores."""
    return Markup("_<wbr>").join(plain(name).split("_"))


def _shown(value: Any) -> Any:
    """Text as `plain` has it; what is markup already stays."""
    return plain(value) if type(value) is str else value
