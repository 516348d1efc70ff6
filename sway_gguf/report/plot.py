"""Size against what is kept, as an SVG that stands alone. Renders records and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from sway_gguf.core.plain import plain
from sway_gguf.core.result import Verdict
from sway_gguf.core.survival import DeploymentResult, SurvivalMatrix
from sway_gguf.report import numbers
from sway_gguf.report.colours import AMBER, GREEN, RED, VIOLET

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 440, 70, 150, 56, 50
_COLOURS = {Verdict.PASS: GREEN, Verdict.WARN: AMBER, Verdict.FAIL: RED, Verdict.INCONCLUSIVE: VIOLET}


def survival_svg(matrix: SurvivalMatrix) -> str:
    """A point per deployment with its interval: circles at run time, squares merged in; the wanted share is a line."""
    sizes = [math.log(row.size) for row in matrix.rows]
    spans = [row.retained_interval or (row.retained, row.retained) for row in matrix.rows]
    low = min(0.0, *(span[0] for span in spans))
    high = max(1.1, *(span[1] for span in spans))

    def x(size: float) -> float:
        share = (math.log(size) - min(sizes)) / max(max(sizes) - min(sizes), 1e-9)
        return _LEFT + 20 + share * (_WIDTH - _LEFT - _RIGHT - 40)

    def y(kept: float) -> float:
        return _TOP + (high - kept) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        "<desc>sway-gguf quants: size against what is kept</desc>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *(
            f'<text x="{_LEFT}" y="{18 + 16 * line}">{_text(sentence)}.</text>'
            for line, sentence in enumerate(matrix.summary.rstrip(".").split(". "))
        ),
        *(_grid(kept / 4, y) for kept in range(math.floor(low * 4), math.floor(high * 4) + 1)),
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(matrix.wanted):.1f}" y2="{y(matrix.wanted):.1f}" '
        f'stroke="{GREEN}" stroke-dasharray="6 4"/>',
        f'<text x="{_WIDTH - _RIGHT + 8}" y="{y(matrix.wanted) + 4:.1f}" fill="{GREEN}">'
        f"{matrix.wanted:.0%} wanted</text>",
        *(_point(row, x(row.size), y, _named(row, matrix)) for row in matrix.rows),
        *_axis(matrix, x),
        *_legend(),
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">size of what ships</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(words: str) -> str:
    return escape(plain(words))


def _grid(kept: float, y: Callable[[float], float]) -> str:
    height = y(kept)
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="#e5e5e5"/>'
        f'<text x="{_LEFT - 8}" y="{height + 4:.1f}" text-anchor="end" fill="#666">{kept:.0%}</text>'
    )


def _named(row: DeploymentResult, matrix: SurvivalMatrix) -> bool:
    """Whether its name stands beside the point; the others have theirs in a tooltip."""
    return row.verdict != Verdict.PASS or row.name == matrix.recommended


def _point(row: DeploymentResult, x: float, y: Callable[[float], float], named: bool) -> str:
    colour = _COLOURS.get(row.verdict, "#666")
    low, high = row.retained_interval or (row.retained, row.retained)
    height, top, bottom = (y(value) for value in (row.retained, high, low))
    mark = (
        f'<circle cx="{x:.1f}" cy="{height:.1f}" r="5" fill="{colour}"/>'
        if row.mode == "runtime"
        else f'<rect x="{x - 5:.1f}" y="{height - 5:.1f}" width="10" height="10" fill="{colour}"/>'
    )
    title = f"{row.name}: {row.retained:.0%} kept, {numbers.size(row.size)}, {row.verdict}"
    label = f'<text x="{x + 9:.1f}" y="{height + 4:.1f}" font-size="11">{_text(row.name)}</text>' if named else ""
    return (
        f'<g><title>{_text(title)}</title><line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" '
        f'stroke="{colour}"/>{mark}{label}</g>'
    )


def _axis(matrix: SurvivalMatrix, x: Callable[[float], float]) -> list[str]:
    """Sizes along the bottom, evenly spaced on their logarithmic scale."""
    low, high = (math.log(pick(row.size for row in matrix.rows)) for pick in (min, max))
    ticks = [math.exp(low + step / 3 * (high - low)) for step in range(4)] if high > low else [math.exp(low)]
    return [
        f'<text x="{x(size):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle" fill="#666">'
        f"{numbers.size(size)}</text>"
        for size in ticks
    ]


def _legend() -> list[str]:
    left = _WIDTH - _RIGHT + 8
    return [
        f'<circle cx="{left + 5}" cy="{_TOP + 10}" r="5" fill="#666"/>',
        f'<text x="{left + 16}" y="{_TOP + 14}">at run time</text>',
        f'<rect x="{left}" y="{_TOP + 24}" width="10" height="10" fill="#666"/>',
        f'<text x="{left + 16}" y="{_TOP + 33}">merged in</text>',
    ]
