"""A result as a page: diagnosis and axes, every probe with its pictures, replies, heat, conditions. Renders records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sway_gguf.core.gate import GateDecision
from sway_gguf.core.result import AxisResult, PartResult, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.result_json import record_of
from sway_gguf.core.shown import Heat, Reply
from sway_gguf.report.facts import NO_NULLS, look_line, short_name
from sway_gguf.report.html.bars import Bar, bars, contrasts
from sway_gguf.report.html.curve import HEIGHT, Panel, panels
from sway_gguf.report.html.heat import Token, legend, mean_change, tokens
from sway_gguf.report.html.page import page
from sway_gguf.report.html.strip import Strip, part_strips, probe_strip
from sway_gguf.report.html.words import word_diff
from sway_gguf.report.terminal import file_parts

_OPEN = {Verdict.FAIL, Verdict.ERROR}
_ORDER = (Verdict.FAIL, Verdict.ERROR, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.SKIP)


@dataclass(frozen=True, slots=True)
class _Probe:
    """A probe with its pictures."""

    probe: ProbeResult
    number: int
    strip: Strip | None
    small: Strip | None
    parts: list[tuple[PartResult, Strip | None]]
    items: list[Bar]
    sections: list[Bar]
    controls: list[Bar]
    panels: list[Panel]

    @property
    def anchor(self) -> str:
        """Its id in the page; a name may hold anything."""
        return f"probe-{self.number}"

    @property
    def opened(self) -> bool:
        """Whether it is shown unfolded at first."""
        return self.probe.verdict in _OPEN


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis with the probe whose strip shows its evidence."""

    axis: AxisResult
    shown: _Probe | None


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply with which of its words differ."""

    reply: Reply
    base: list[tuple[bool, str]]
    tuned: list[tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class _Heat:
    """A text with its shades."""

    heat: Heat
    tokens: list[Token]
    mean: float


def html_report(result: SuiteResult, decision: GateDecision | None = None) -> str:
    """The whole report as one HTML file that asks no network for anything.

    Args:
        result: of a run, of any schema version.
        decision: of a gate on it, shown below the diagnosis.
    """
    probes = [_probe(number, probe, result) for number, probe in enumerate(result.probes, 1)]
    counted = Counter(probe.verdict for probe in result.probes)
    return page(
        "result.html",
        title=f"sway-gguf: {result.diagnosis}",
        record=record_of(result),
        result=result,
        decision=decision,
        axes=[_Axis(axis, _evidence(axis, probes)) for axis in result.axes],
        probes=probes,
        verdicts=[(verdict, counted[verdict]) for verdict in _ORDER if counted[verdict]],
        replies=[_Reply(reply, *word_diff(reply.base.strip(), reply.tuned.strip())) for reply in result.replies],
        texts=[_Heat(text, tokens(text), mean_change(text)) for text in result.heat],
        legend=legend(),
        file_parts=file_parts,
        short_name=short_name,
        look=look_line(result.nulls),
        no_nulls=NO_NULLS,
        floors=[probe.noise_floor for probe in result.probes if probe.kind == "applied" and probe.noise_floor],
        panel_height=HEIGHT,
    )


def _probe(number: int, probe: ProbeResult, result: SuiteResult) -> _Probe:
    asked = frozenset(result.texts)
    return _Probe(
        probe=probe,
        number=number,
        strip=probe_strip(probe),
        small=probe_strip(probe, reach=9.0),
        parts=part_strips(probe),
        items=bars(probe.items, asked),
        sections=contrasts(probe.items),
        controls=bars(probe.controls, asked),
        panels=panels(probe.curve, probe.unit),
    )


def _evidence(axis: AxisResult, probes: list[_Probe]) -> _Probe | None:
    """Of the axis' probes the one with nulls that its reason names, else one with nulls, else the one named."""
    own = [probe for probe in probes if probe.probe.name in axis.probes and probe.strip]
    named = [probe for probe in own if axis.reason.startswith(f"{probe.probe.name}:")]
    with_nulls = [probe for probe in own if probe.probe.null]
    return next(iter([*(probe for probe in named if probe.probe.null), *with_nulls, *named]), None)
