"""A result as a notebook shows it: a few lines of HTML that stand by themselves. Renders records and nothing else.

Colours come from the page around it, so that it is read on light and on dark. No script, no link.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from sway_gguf.core.comparison import Comparison
from sway_gguf.core.gate import GateDecision
from sway_gguf.core.plain import plain
from sway_gguf.core.result import ProbeResult, SuiteResult, Verdict
from sway_gguf.report.changes import column_headings, legend, lines_above, lines_below, table_rows
from sway_gguf.report.colours import AMBER, GREEN, GREY, RED, VIOLET
from sway_gguf.report.facts import calls_for, number_words
from sway_gguf.report.terminal import QUESTIONS

_COLOURS = {
    Verdict.PASS: GREEN,
    Verdict.WARN: AMBER,
    Verdict.FAIL: RED,
    Verdict.ERROR: RED,
    Verdict.INCONCLUSIVE: VIOLET,
    Verdict.SKIP: GREY,
}
_TABLE = "border-collapse:collapse;margin:.6em 0"
_CELL = "text-align:left;padding:.15em .8em .15em 0;border:0;vertical-align:top;background:transparent"
_HEADINGS = ("probe", "value", "95% interval", "nulls (mean ± sd)", "p", "verdict")


def card(result: SuiteResult, decision: GateDecision | None = None) -> str:
    """The diagnosis and the six axes, and folded below them the probes and what a gate decided, if one did."""
    axes = _table((), ((axis.axis, QUESTIONS[axis.axis], axis.verdict, axis.reason) for axis in result.axes))
    learned = f"<p>{_text(result.learned)}</p>" if result.learned else ""
    probes = _table(_HEADINGS, (_row(probe) for probe in result.probes))
    lines = decision.lines if decision else ()
    gate = _table((), ((line.subject, str(line.outcome), line.reason) for line in lines)) if lines else ""
    return (
        '<div class="sway-gguf" style="line-height:1.4">'
        f"<p>{_badge(result.diagnosis.upper(), _COLOURS[calls_for(result.diagnosis)])} {_text(result.headline)}</p>"
        f"{learned}{axes}"
        f"<details><summary>{len(result.probes)} probes</summary>{probes}</details>"
        f"{_gate(decision, gate)}</div>"
    )


def changes_card(comparison: Comparison) -> str:
    """What differs, a row for each probe, and the items that got worse."""
    each = (comparison,)
    table = _table(column_headings(each), table_rows(each, intervals=True))
    verdict = _badge("REGRESSED", RED) if comparison.regressed else _badge("NO REGRESSION", GREEN)
    above, below = (
        "".join(f"<p>{_text(line)}</p>" for line in lines(comparison)) for lines in (lines_above, lines_below)
    )
    return (
        f'<div class="sway-gguf" style="line-height:1.4"><p>{verdict}</p>'
        f"{above}{table}{below}<p>{_text(legend(each))}</p></div>"
    )


def _gate(decision: GateDecision | None, table: str) -> str:
    return f"<details open><summary>gate: {decision.outcome}</summary>{table}</details>" if decision else ""


def _row(probe: ProbeResult) -> tuple[str, ...]:
    found = number_words(probe)
    value = f"{found['value']} {probe.unit}".rstrip()
    return probe.name, value, *(found[heading] for heading in _HEADINGS[2:-1]), probe.verdict


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col" style="{_CELL}">{_text(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<table style="{_TABLE}">{f"<thead><tr>{head}</tr></thead>" if head else ""}<tbody>{body}</tbody></table>'


def _cell(value: str) -> str:
    shown = _badge(str(value), _COLOURS[value]) if isinstance(value, Verdict) else _text(value)
    return f'<td style="{_CELL}">{shown}</td>'


def _badge(word: str, colour: str) -> str:
    return (
        f'<span style="background:{colour};color:#fff;border-radius:.3em;padding:.05em .45em;font-weight:600">'
        f"{_text(word)}</span>"
    )


def _text(words: str) -> str:
    """Words of a user, a model or a file are text."""
    return escape(plain(words))
