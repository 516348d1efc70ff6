"""A result as Markdown for a pull request, a step summary or a comment: what failed first, details folded.

Renders records and nothing else. Every word that is not ours goes through markdown_text.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sway_gguf.core.gate import GateDecision
from sway_gguf.core.result import ProbeResult, SuiteResult, Verdict
from sway_gguf.core.shown import Heat
from sway_gguf.report import numbers
from sway_gguf.report.facts import (
    adapters_of,
    calls_for,
    file_of,
    look_line,
    nulls_line,
    number_words,
    scaled_file,
    short_name,
    tested,
    tolls_of,
    worst_first,
)
from sway_gguf.report.fitting import Section, fitted
from sway_gguf.report.html.heat import mean_change
from sway_gguf.report.markdown_text import END, code, row, table_head, words, words_in_html

LIMIT = 65_536
"""Characters of a comment on GitHub."""
_REMARKS, _MOVED = 10, 5
"""Of the remarks, and of the tokens of a text that gained or lost: so many are shown."""
_SIGNS: Mapping[str, str] = {
    Verdict.PASS: "✅",
    Verdict.WARN: "⚠️",
    Verdict.FAIL: "❌",
    Verdict.ERROR: "💥",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.SKIP: "➖",
}


def mark_of(result: SuiteResult, name: str = "") -> str:
    """The hidden line by which a comment is found again; `name` is the adapter's file unless given."""
    wanted = name or tested(result) or "report"
    return f"<!-- sway-gguf:{re.sub(r'[^A-Za-z0-9.]+', '-', wanted).strip('-')[:100] or 'report'} -->"


def markdown_report(
    result: SuiteResult, decision: GateDecision | None = None, *, name: str = "", limit: int = LIMIT
) -> str:
    """The report in less than `limit` characters.

    Args:
        result: to draw.
        decision: of a gate, shown on top.
        name: in the hidden mark, for several reports on one pull request.
        limit: of the place where it goes.
    """
    body = fitted(
        [
            *([_gate(decision)] if decision else []),
            _diagnosis(result),
            _axes(result),
            _probes(result),
            *([_tolls(result)] if any(probe.toll for probe in result.probes) else []),
            _details(result),
            *([_replies(result)] if result.replies else []),
            *([_moved(result)] if result.heat else []),
            _conditions(result),
        ],
        limit - 400,
    )
    return f"{mark_of(result, name)}\n{body}\n{END}\n"


def _signed(word: str) -> str:
    """A verdict, or what a gate says of a line, with its sign."""
    return f"{_SIGNS[word]} {word}"


def _gate(decision: GateDecision) -> Section:
    """Its outcome, and a line for each thing it looked at."""
    rows = (
        row(
            words(line.subject),
            f"{_signed(line.word)}{' (informational)' if line.informational else ''}",
            words(line.reason),
        )
        for line in decision.lines
    )
    head = f"## Gate: {_signed(decision.outcome)}"
    if decision.lines:
        head += f"\n\n{table_head('looked at', 'outcome', 'why')}"
    return Section("the gate", head, tuple(rows), rank=1)


def _diagnosis(result: SuiteResult) -> Section:
    sign = _SIGNS[calls_for(result.diagnosis)]
    base = file_of(result, "base")
    adapters = " + ".join(code(scaled_file(each)) for each in adapters_of(result))
    about = " on ".join(filter(None, (adapters, code(short_name(base)) if base else "")))
    head = f"## {sign} sway-gguf: {result.diagnosis}\n\n**Diagnosis.** {words(result.headline, 2000)}"
    head += f"\n\n**Tested:** {about}" if about else ""
    head += f"\n\n**Learned.** {words(result.learned, 2000)}" if result.learned else ""
    return Section("the diagnosis", head, rank=0)


def _axes(result: SuiteResult) -> Section:
    rows = (
        row(words(axis.axis), _signed(axis.verdict), words(axis.reason))
        for axis in worst_first(result.axes, lambda axis: axis.verdict)
    )
    return Section("axes", table_head("axis", "verdict", "evidence"), tuple(rows), rank=2)


def _ordered(result: SuiteResult) -> list[ProbeResult]:
    return worst_first(result.probes, lambda probe: probe.verdict)


def _probes(result: SuiteResult) -> Section:
    probes = _ordered(result)
    rows = (
        row(words(probe.name, 100), *number_words(probe).values(), words(probe.unit, 60), _signed(probe.verdict))
        for probe in probes
    )
    headings = ["value", "95% interval", "nulls (mean ± sd)", "z", "p", "tail p"]
    head = f"### Probes\n\n{table_head('probe', *headings, 'unit', 'verdict')}"
    return Section("the table of probes", head, tuple(rows), rank=3)


def _tolls(result: SuiteResult) -> Section:
    """What was lost elsewhere, in units that a user knows."""
    lines = (
        f"- **{words(probe.name, 100)}:** {words(text, 1000)}" for probe in _ordered(result) for text in tolls_of(probe)
    )
    return Section("what was lost elsewhere", "### What was lost elsewhere", tuple(lines), rank=3)


def _details(result: SuiteResult) -> Section:
    blocks = (_folded(probe) for probe in _ordered(result))
    return Section("details of probes", "### Details", tuple(blocks), rank=5)


def _folded(probe: ProbeResult) -> str:
    """What a probe asks, how it came out and what it does not say, behind its name."""
    lines = [
        ("Question", probe.question),
        ("Why", probe.reason),
        *(("Check", f"{'passed' if check.passed else 'missed'}: {check.text}") for check in probe.checks),
        *(
            ("Beside it", f"{part.name} {numbers.number(part.value)} {numbers.span(part.interval)}")
            for part in probe.parts
        ),
        *(("Note", note) for note in probe.notes),
        ("A pass means", probe.passing),
        ("It does not mean", probe.caveat),
    ]
    told = "\n".join(f"- **{name}:** {words(text, 2000)}" for name, text in lines if text)
    summary = f"<summary>{words_in_html(probe.name, 100)}: {_signed(probe.verdict)}</summary>"
    return f"<details>{summary}\n\n{told}\n\n</details>\n"


def _replies(result: SuiteResult) -> Section:
    """What base and tuned model say, and the data where it has a reply."""
    rows = (
        row(*(words(text, 500) for text in (reply.request, reply.base, reply.tuned, reply.wanted)), reply.origin)
        for reply in result.replies
    )
    columns = table_head("request", "base", "tuned", "wanted", "prompt is")
    head = f"<details><summary>Replies, base and tuned</summary>\n\n{columns}"
    return Section("replies", head, tuple(rows), "\n</details>", rank=6)


def _moved(result: SuiteResult) -> Section:
    """Of each text with its tokens' probabilities: the mean change, and the tokens that moved most."""
    rows = (
        row(words(text.label, 100), text.origin, numbers.number(mean_change(text), signed=True), *_most_moved(text))
        for text in result.heat
    )
    columns = table_head("text", "it is", "mean, nats/token", "became likelier most", "became unlikelier most")
    head = f"<details><summary>Where the probability moved</summary>\n\n{columns}"
    return Section("where the probability moved", head, tuple(rows), "\n</details>", rank=7)


def _most_moved(text: Heat) -> tuple[str, str]:
    """The tokens that gained most and that lost most, each with its change in nats."""
    changes = [(after - before, token) for token, before, after in zip(text.tokens, text.base, text.tuned, strict=True)]
    gained = sorted((each for each in changes if each[0] > 0), key=lambda each: -each[0])[:_MOVED]
    lost = sorted((each for each in changes if each[0] < 0), key=lambda each: each[0])[:_MOVED]
    return _told_changes(gained), _told_changes(lost)


def _told_changes(changes: Sequence[tuple[float, str]]) -> str:
    told = ((code(token.strip() or repr(token), 40), numbers.number(change, signed=True)) for change, token in changes)
    return ", ".join(f"{token} {change}" for token, change in told)


def _conditions(result: SuiteResult) -> Section:
    """Under what it was measured, and the hash of every file."""
    told = {
        "Nulls": f"{nulls_line(result.nulls)}. {result.nulls.assumption} {look_line(result.nulls)}".rstrip(),
        "Tests": f"alpha {result.alpha:g}, seed {result.seed}",
        "Format": result.format,
        "Engine": ", ".join(f"{name} {value}" for name, value in result.engine.items()),
        "Libraries": ", ".join(f"{name} {value}" for name, value in result.libraries.items()),
        "Started": numbers.moment(result.started_at),
        "Took": numbers.seconds(result.timings["run_seconds"]) if "run_seconds" in result.timings else "",
        **{f"Remark {place}": remark for place, remark in enumerate(result.remarks[:_REMARKS], 1)},
        "More remarks": f"{more} in result.json" if (more := len(result.remarks) - _REMARKS) > 0 else "",
    }
    lines = "\n".join(f"- **{name}:** {words(text, 1000)}" for name, text in told.items() if text)
    rows = (
        row(words(record.role), code(record.path), numbers.size(record.size), code(record.sha256))
        for record in result.files
    )
    head = f"<details><summary>Conditions and files</summary>\n\n{lines}"
    if result.files:
        head += f"\n\n{table_head('role', 'file', 'size', 'sha256')}"
    return Section("conditions and files", head, tuple(rows), "\n</details>", rank=4)
