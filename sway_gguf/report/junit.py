"""A result as JUnit XML, in the dialect that Jenkins, GitLab and GitHub's readers share.

A case per axis and per probe, and per line of a gate. FAIL is a failure, ERROR an error. SKIP, WARN and INCONCLUSIVE
are skipped: that alone is neither green nor red in all three and shows its message, which begins with the verdict.
Where a gate decided, what it did not count is skipped as well, and what stops a strict one is a failure, so that the
file is as green or red as the exit code.
Renders records and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from sway_gguf.core.gate import GateDecision, Outcome
from sway_gguf.core.plain import plain
from sway_gguf.core.result import ProbeResult, SuiteResult, Verdict
from sway_gguf.report.facts import nulls_line, number_words, tolls_of

NAME = "sway-gguf"
# https://www.w3.org/TR/xml/#charsets
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {Verdict.FAIL.value: "failure", Verdict.ERROR.value: "error"}


def junit_report(result: SuiteResult, decision: GateDecision | None = None) -> str:
    """The XML document, UTF-8 by its declaration."""
    seconds = result.timings.get("run_seconds", 0.0)
    counted = _counted(result, decision)
    suites = [
        _suite("axes", [_axis_case(axis.axis, axis.verdict, axis.reason, counted) for axis in result.axes], 0.0),
        _suite("probes", [_probe_case(probe, counted) for probe in result.probes], seconds, _conditions(result)),
    ]
    if decision:
        suites.insert(0, _suite("gate", _gate_cases(decision), 0.0))
    root = ET.Element("testsuites", name=NAME)
    for attribute in ("tests", "failures", "errors"):
        root.set(attribute, str(sum(int(suite.get(attribute, "0")) for suite in suites)))
    root.set("time", f"{seconds:.3f}")
    for suite in suites:
        if result.started_at:
            suite.set("timestamp", legal(result.started_at))
        root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def legal(text: str) -> str:
    """`text` without characters that XML 1.0 does not have; those that would steer a terminal are spelled out."""
    return _ILLEGAL.sub("", plain(text))


def _counted(result: SuiteResult, decision: GateDecision | None) -> set[str] | None:
    """Subjects whose failing makes the gate fail; None without a gate, where all do."""
    if decision is None:
        return None
    failing = {line.subject for line in decision.lines if line.outcome == Outcome.FAIL and not line.informational}
    return failing | {f"probe {name}" for axis in result.axes if f"axis {axis.axis}" in failing for name in axis.probes}


def _axis_case(axis: str, verdict: Verdict, reason: str, counted: set[str] | None) -> ET.Element:
    return _case("axes", axis, verdict.value, reason, counts=counted is None or f"axis {axis}" in counted)


def _probe_case(probe: ProbeResult, counted: set[str] | None) -> ET.Element:
    told = {**number_words(probe), "unit": probe.unit, "question": probe.question, "caveat": probe.caveat}
    lines = [f"{name}: {text}" for name, text in told.items() if text]
    return _case(
        probe.axis,
        probe.name,
        probe.verdict.value,
        probe.reason,
        counts=counted is None or f"probe {probe.name}" in counted,
        out=[
            *lines,
            *(f"in other words: {toll}" for toll in tolls_of(probe)),
            *(f"note: {note}" for note in probe.notes),
        ],
    )


def _gate_cases(decision: GateDecision) -> Iterable[ET.Element]:
    return [
        _case(
            "gate",
            line.subject,
            line.word,
            line.reason,
            counts=not line.informational,
            stops=decision.strict and line.outcome == Outcome.INCONCLUSIVE,
        )
        for line in decision.lines
    ]


def _case(
    group: str,
    name: str,
    verdict: str,
    reason: str,
    *,
    counts: bool = True,
    stops: bool = False,
    out: Iterable[str] = (),
) -> ET.Element:
    """One test case; its reason stands as attribute, for Jenkins, and as content, for GitLab."""
    case = ET.Element("testcase", name=legal(name), classname=legal(f"{NAME}.{group}"), time="0.000")
    message = legal(f"{verdict}: {reason}" if counts else f"{verdict}, not counted by the gate: {reason}")
    if verdict != Verdict.PASS.value:
        element = "failure" if stops else _ELEMENTS.get(verdict, "skipped")
        tag = element if counts or element == "error" else "skipped"
        ET.SubElement(case, tag, message=message, type=verdict).text = message
    ET.SubElement(case, "system-out").text = legal("\n".join([message, *out]))
    return case


def _suite(
    name: str, cases: Iterable[ET.Element], seconds: float, properties: Mapping[str, str] | None = None
) -> ET.Element:
    suite = ET.Element("testsuite", name=f"{NAME}.{name}")
    held = list(cases)
    suite.set("tests", str(len(held)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in held)))
    suite.set("time", f"{seconds:.3f}")
    if properties:
        listed = ET.SubElement(suite, "properties")
        for key, value in properties.items():
            ET.SubElement(listed, "property", name=legal(key), value=legal(value))
    suite.extend(held)
    return suite


def _conditions(result: SuiteResult) -> dict[str, str]:
    files = {f"sha256 {record.role} {record.path}": record.sha256 for record in result.files}
    told = {"diagnosis": str(result.diagnosis), "headline": result.headline, "learned": result.learned}
    return {**told, "nulls": nulls_line(result.nulls), "alpha": f"{result.alpha:g}", "seed": str(result.seed), **files}
