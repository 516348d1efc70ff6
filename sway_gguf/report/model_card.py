"""A snippet for a model card: metrics in Hugging Face's model-index shape, and a paragraph that says what they rest on.

The shape is that of https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Renders records and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from sway_gguf.core.gate import GateDecision
from sway_gguf.core.plain import json_text, one_line
from sway_gguf.core.result import ProbeResult, SuiteResult, Verdict
from sway_gguf.report import numbers
from sway_gguf.report.facts import (
    adapters_of,
    file_of,
    look_line,
    nulls_line,
    number_words,
    short_name,
    tested,
    tolls_of,
)
from sway_gguf.report.markdown_text import END, code, words

MARK = "# Written by sway-gguf"
"""The second line, by which such a file is known as ours."""
_SHOWN = (Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE)


def model_card(result: SuiteResult, decision: GateDecision | None = None) -> str:
    """YAML between its fences, then Markdown.

    Strings are written as JSON has them, which YAML reads the same; no value that is not finite becomes a metric.
    """
    lines = ["---", f"{MARK} {_said(result.libraries.get('sway-gguf', ''))}".rstrip()]
    found = [probe for probe in result.probes if _is_metric(probe)]
    if found:
        lines += list(_index(result, found))
    return "\n".join([*lines, "---", "", "## How it was tested", "", _paragraph(result, decision), "", END]) + "\n"


def _is_metric(probe: ProbeResult) -> bool:
    return probe.value is not None and math.isfinite(probe.value) and probe.verdict in _SHOWN


def _index(result: SuiteResult, found: list[ProbeResult]) -> Iterator[str]:
    data = short_name(file_of(result, "data") or file_of(result, "general")) or "prompts of sway-gguf"
    name = tested(result) or "adapter"
    yield from ("model-index:", f"- name: {_string(name)}", "  results:", "  - task:", "      type: text-generation")
    yield from ("    dataset:", f"      name: {_string(data)}", f"      type: {_string(data)}", "    metrics:")
    for probe in found:
        yield f"    - type: {_string(probe.kind)}"
        yield f"      name: {_string(f'{probe.name} ({probe.unit})' if probe.unit else probe.name)}"
        # Rounded as every report has it.
        yield f"      value: {_number(probe)}"
        yield "      args:"
        told = number_words(probe) | {"verdict": str(probe.verdict)}
        yield from (f"        {_string(key)}: {_string(text)}" for key, text in told.items() if text != numbers.MISSING)


def _number(probe: ProbeResult) -> str:
    text = numbers.number(probe.value)
    return text if "e" not in text else repr(float(text)) if "." in repr(float(text)) else f"{float(text):.1e}"


def _paragraph(result: SuiteResult, decision: GateDecision | None) -> str:
    base = file_of(result, "base")
    parts = [f"Tested with sway-gguf {words(result.libraries.get('sway-gguf', ''))}".rstrip() + "."]
    if base:
        header = base.base
        about = (
            f" ({words(header.architecture)}, {numbers.parameters(header.parameters)} parameters, "
            f"{words('/'.join(header.types))})"
            if header
            else ""
        )
        parts.append(f"Base: {code(short_name(base))}{about}, sha256 {code(base.sha256)}.")
    for adapter in adapters_of(result):
        shape = adapter.adapter
        scale = "" if shape is None or shape.scale == 1.0 else f"scale {shape.scale:g}, "
        about = f" ({scale}rank {'/'.join(map(str, shape.ranks))}, alpha {shape.alpha:g})" if shape else ""
        parts.append(f"Adapter: {code(short_name(adapter))}{about}, sha256 {code(adapter.sha256)}.")
    parts.append(f"Diagnosis: **{result.diagnosis}**. {words(result.headline)}")
    for probe in result.probes:
        if probe.null and probe.null.p is not None and _is_metric(probe):
            told = number_words(probe)
            parts.append(
                f"{words(probe.name)} is {told['value']} {words(probe.unit)} ({told['95% interval']}), among nulls "
                f"{told['nulls (mean ± sd)']}, {'tail' if probe.null.early else 'rank'} p {told['p']}."
            )
    parts += [f"{words(probe.name)}: {words(text)}." for probe in result.probes for text in tolls_of(probe)]
    parts.append(
        f"Compared with {nulls_line(result.nulls)}: {words(result.nulls.assumption)} {look_line(result.nulls)}".rstrip()
    )
    if decision:
        parts.append(f"Gate: {decision.outcome}.")
    return " ".join(parts)


def _string(text: str) -> str:
    return json_text(one_line(text))


def _said(value: Any) -> str:
    return one_line(str(value))
