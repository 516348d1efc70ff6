"""Two pictures of a pick as SVG: lift against cost, and lift over steps. Renders records and nothing else.

Points have their 95% intervals, and a title that tells them in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from sway_gguf.core.pick import Pick, PickRow, Standing
from sway_gguf.core.plain import plain
from sway_gguf.core.scales import nearest_to_one
from sway_gguf.report.colours import AMBER, GREEN, GREY, RED, VIOLET
from sway_gguf.report.html.scale import Scale, scale_over
from sway_gguf.report.pick import marks

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 380, 64, 24, 30, 48
_COLOURS = {Standing.WITHIN: GREEN, Standing.OPEN: AMBER}
_INK, _GRID = "#444", "#e5e5e5"
_DATA, _HELD = VIOLET, "#0969da"
_FARTHEST = 5.0
"""Times the tolerance."""
_NAME_WIDTH, _NAME_HEIGHT = 7.0, 13.0
"""Of a letter, about."""

Place = Callable[[float], float]


def cost_svg(pick: Pick) -> str:
    """A point per candidate: change of unrelated text across, lift up; lines for the tolerance and the Pareto set."""
    rows = [row for row in pick.rows if row.lift is not None and row.cost is not None]
    if not rows:
        return ""
    # One ruined candidate must not squeeze all others into a corner: beyond this, a point lies on the edge.
    farthest = _farthest(pick)
    across = scale_over([*(max(row.cost or 0.0, farthest) for row in rows), pick.tolerance])
    up = scale_over([end for row in rows for end in _span(row)])
    x, y = _places(across, up)
    what = "held-out lift" if pick.held_out else "lift on the data"
    best = sorted((row for row in rows if row.pareto), key=lambda row: row.cost or 0.0)
    path = " ".join(f"{x(row.cost or 0.0):.1f},{y(_lift(row)):.1f}" for row in best)
    edge = x(pick.tolerance)
    parts = [
        *_frame("lift against cost", across, up, y, "worst change of unrelated text, nats/token", what),
        f'<line x1="{edge:.1f}" x2="{edge:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="{RED}" '
        'stroke-dasharray="6 4"/>',
        f'<text x="{edge + 4:.1f}" y="{_TOP + 10}" fill="{RED}" font-size="11">tolerance</text>',
        f'<polyline points="{path}" fill="none" stroke="#999" stroke-dasharray="2 3"/>',
        *(_point(row, x(row.cost or 0.0), y, pick) for row in rows),
        *_names(rows, x, y, pick),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def steps_svg(pick: Pick) -> str:
    """Lift on the data and on held-out text over the steps of training, at the scale nearest to 1; "" without steps."""
    stepped = [row for row in pick.rows if row.step is not None and row.data is not None]
    scale = nearest_to_one(row.scale for row in stepped)
    rows = sorted((row for row in stepped if row.scale == scale), key=lambda row: row.step or 0)
    if len({row.step for row in rows}) < 2:
        return ""
    across = scale_over([float(row.step or 0) for row in rows])
    ends = [
        end for row in rows for each in (row.data, row.held_out) if each for end in (each.interval or (each.value,))
    ]
    up = scale_over(ends)
    x, y = _places(across, up)
    parts = _frame("lift over the steps of training", across, up, y, "step", "lift, nats/token")
    for name, colour, field in (("on data", _DATA, "data"), ("held-out", _HELD, "held_out")):
        drawn = [(row, getattr(row, field)) for row in rows if getattr(row, field) is not None]
        if not drawn:
            continue
        line = " ".join(f"{x(float(row.step or 0)):.1f},{y(each.value):.1f}" for row, each in drawn)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for row, each in drawn:
            place, (low, high) = x(float(row.step or 0)), each.interval or (each.value, each.value)
            title = escape(plain(f"{row.name}, {name}: {each.value:+.2f}"))
            ring = f' stroke="{_INK}" stroke-width="2"' if row.name == pick.winner else ""
            parts.append(
                f'<g><title>{title}</title><line x1="{place:.1f}" x2="{place:.1f}" y1="{y(high):.1f}" '
                f'y2="{y(low):.1f}" stroke="{colour}"/><circle cx="{place:.1f}" cy="{y(each.value):.1f}" r="4" '
                f'fill="{colour}"{ring}/></g>'
            )
        last = y(drawn[-1][1].value) + (-10 if field == "data" else 18)
        parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{last:.1f}" text-anchor="end" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(across: Scale, up: Scale) -> tuple[Place, Place]:
    def x(value: float) -> float:
        return _LEFT + across.at(value) / 100 * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - up.at(value) / 100 * (_HEIGHT - _TOP - _BOTTOM)

    return x, y


def _frame(about: str, across: Scale, up: Scale, y: Place, below: str, beside: str) -> list[str]:
    """The ground, grids and names of both axes."""

    def line(x1: float, x2: float, y1: float, y2: float, colour: str = _GRID) -> str:
        return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f"<desc>sway-gguf pick: {about}</desc>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for share, words in up.ticks():
        height = _HEIGHT - _BOTTOM - share / 100 * (_HEIGHT - _TOP - _BOTTOM)
        parts.append(line(_LEFT, _WIDTH - _RIGHT, height, height))
        parts.append(f'<text x="{_LEFT - 8}" y="{height + 4:.1f}" text-anchor="end" fill="{_INK}">{words}</text>')
    for share, words in across.ticks():
        place = _LEFT + share / 100 * (_WIDTH - _LEFT - _RIGHT)
        parts.append(
            f'<text x="{place:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle" fill="{_INK}">{words}</text>'
        )
    parts.append(line(_LEFT, _WIDTH - _RIGHT, y(0.0), y(0.0), "#999"))
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">{below}</text>'
        f'<text x="{_LEFT}" y="{_TOP - 12}">{beside}</text>'
    )
    return parts


def _farthest(pick: Pick) -> float:
    return _FARTHEST * min(pick.tolerance, -1e-3)


def _lift(row: PickRow) -> float:
    return row.lift.value if row.lift else 0.0


def _span(row: PickRow) -> Sequence[float]:
    assert row.lift is not None
    return row.lift.interval or (row.lift.value,)


def _point(row: PickRow, x: float, y: Place, pick: Pick) -> str:
    colour, (low, *_), high = _COLOURS.get(row.standing, RED), _span(row), _span(row)[-1]
    said = ", ".join([row.standing, *marks(pick, row)])
    title = f"{row.name}: lift {_lift(row):+.2f}, unrelated text {row.cost or 0.0:+.2f}, {said}"
    ships, unproven = row.name == pick.winner, row.name == pick.favourite and not pick.winner
    ring = f' stroke="{_INK}" stroke-width="2"' if ships else ""
    if unproven:  # Hollow: a full point with a ring is one that ships.
        ring, colour = f' stroke="{GREY}" stroke-width="2" stroke-dasharray="3 2"', GREY
    return (
        f'<g><title>{escape(plain(title))}</title><line x1="{x:.1f}" x2="{x:.1f}" y1="{y(high):.1f}" '
        f'y2="{y(low):.1f}" stroke="{colour}"/><circle cx="{x:.1f}" cy="{y(_lift(row)):.1f}" '
        f'r="{6 if ships or unproven else 4.5}" fill="{"none" if unproven else colour}"{ring}/></g>'
    )


def _names(rows: Sequence[PickRow], x: Place, y: Place, pick: Pick) -> list[str]:
    """The chosen one's name, then those of others, the largest lift first, for as long as none covers another."""
    taken, parts = list[tuple[float, float, float]](), list[str]()
    for row in sorted(rows, key=lambda row: (row.name != pick.favourite, -_lift(row))):
        cost = row.cost or 0.0
        name = f"{row.name} ({cost:+.2f})" if cost < _farthest(pick) else row.name
        width, left, height = len(name) * _NAME_WIDTH, x(cost), y(_lift(row)) - 6
        start, anchor = (left + 9, "start") if left + 9 + width < _WIDTH else (left - 9, "end")
        begins = start if anchor == "start" else start - width
        if any(
            abs(height - other) < _NAME_HEIGHT and begins < end and begin < begins + width
            for begin, end, other in taken
        ):
            continue
        taken.append((begins, begins + width, height))
        bold = ' font-weight="bold"' if row.name == pick.winner else ""
        parts.append(
            f'<text x="{start:.1f}" y="{height:.1f}" font-size="11" text-anchor="{anchor}"{bold}>'
            f"{escape(plain(name))}</text>"
        )
    return parts
