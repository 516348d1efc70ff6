"""The study's figures, drawn by matplotlib (the extra `study`) as SVG. Knows curves and shares; computes none.

The same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.validity.cells import Cell, Cells
from benchmarks.validity.judging import claimed
from benchmarks.validity.power import drowned
from benchmarks.validity.summary import ALONE, Share, found_at_all, grouped, originals_claim
from sway_gguf.core.views import DESIGNS

OURS, THEIRS, OTHER, GREY = "#1f5fa8", "#c2571a", "#3a8a5f", "#777777"
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "sway-gguf",
    "svg.fonttype": "none",
    "figure.dpi": 100,
}
_LEVEL = 0.05


def draw(cells: Cells, folder: Path) -> list[Path]:
    """Every figure that there are results for."""
    folder.mkdir(exist_ok=True)
    written = []
    with plt.rc_context(_STYLE):
        for name, figure in (
            ("false-alarms", alarms([cell for cell in cells.of("nothing") if cell["name"].startswith("demo")])),
            ("power", power(cells.of("power"))),
            ("otherwise", otherwise(cells.of("otherwise"))),
        ):
            if figure is not None:
                path = folder / f"validity-{name}.svg"
                figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
                plt.close(figure)
                written.append(path)
    return written


def alarms(cells: Sequence[Cell]) -> Figure | None:
    """False alarms by the law of the adapters' factors, ours beside the original's."""
    if not cells:
        return None
    groups = {"all": list(cells), **grouped(cells, "kind")}
    figure, axes = plt.subplots(figsize=(6.4, 0.42 * len(groups) + 1.2))
    asked = {name: [cell for cell in of if "original" in cell] for name, of in groups.items()}
    for shift, color, label, shares in (
        (-0.13, OURS, "sway-gguf", {name: Share.over(of, claimed) for name, of in groups.items()}),
        (
            0.13,
            THEIRS,
            "three nulls of fixed size, z ≥ 3",
            {n: Share.over(of, originals_claim) for n, of in asked.items()},
        ),
    ):
        _dots(axes, shares, shift, color, label)
    axes.axvline(100 * _LEVEL, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(groups)), groups)
    axes.invert_yaxis()
    axes.set_xlim(-2, 102)
    axes.set_xlabel("adapters that learned nothing and pass signal or direction, % (95% interval)")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def _dots(axes: Axes, shares: Mapping[str, Share], shift: float, color: str, label: str) -> None:
    for place, share in enumerate(shares.values()):
        low, high = (100 * end for end in share.interval)
        axes.plot([low, high], [place + shift] * 2, color=color, linewidth=1.4)
        axes.plot(100 * share.rate, place + shift, "o", color=color, markersize=4, label=label if not place else None)


def power(cells: Sequence[Cell]) -> Figure | None:
    """Each adapter at its lift, filled where a rule finds it: stopped early on the left, in noise on the right."""
    template = [cell for cell in cells if cell["form"] == "template"]
    usual = [cell for cell in template if cell["design"] == DESIGNS[0]]
    if not usual:
        return None
    rules: list[tuple[str, list[Cell], Callable[[Cell], bool], str]] = [
        ("19 rotations, two looks", usual, _by("2 of 19"), OURS),
        ("19 rotations, one look", usual, _by("1 of 19"), OURS),
        ("9 rotations, one look", usual, _by("1 of 9"), OURS),
        ("19 of the same spectrum", [c for c in template if c["design"] == "spectrum"], _by("2 of 19"), OTHER),
        ("19 Gaussian of a fixed size", [c for c in template if c["design"] == "gaussian"], _by("2 of 19"), GREY),
        ("the original's rule", usual, originals_claim, THEIRS),
    ]
    titles = {noisy: title for noisy, title in ((False, "stopped early"), (True, "in noise")) if _any(usual, noisy)}
    figure, found_panels = plt.subplots(
        1, len(titles), figsize=(2 + 3.8 * len(titles), 2.6), sharey=True, squeeze=False
    )
    panels = list(found_panels[0])
    for axes, (noisy, title) in zip(panels, titles.items(), strict=True):
        for place, (_, of, found, color) in enumerate(rules):
            for cell in (cell for cell in of if drowned(cell) == noisy):
                lift = max(cell["values"]["section_internalization"], ALONE)
                face = color if found(cell) else "none"
                axes.scatter(lift, place, s=20, facecolors=face, edgecolors=color, linewidths=0.9)
        axes.set_xscale("log")
        axes.set_xlabel("lift beyond other text, nats/token")
        axes.set_title(title, fontsize=9)
    panels[0].set_yticks(range(len(rules)), [name for name, *_ in rules])
    panels[0].invert_yaxis()
    return figure


def _any(cells: Sequence[Cell], noisy: bool) -> bool:
    return any(drowned(cell) == noisy for cell in cells)


def _by(rule: str) -> Callable[[Cell], bool]:
    return lambda cell: found_at_all(cell, rule)


def otherwise(cells: Sequence[Cell]) -> Figure | None:
    """How far adapters move toward the data, and how much of their change does, by what they were trained on."""
    if not cells:
        return None
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    for source, color in (("own", OURS), ("other", THEIRS), ("shuffled", OTHER)):
        runs = [step for cell in cells if cell["source"] == source for step in cell["steps"]]
        for passed, filled in ((True, color), (False, "none")):
            some = [run for run in runs if (run["axes"].get("direction") == "PASS") == passed]
            label = f"{source}, {'passes' if passed else 'does not pass'} direction"
            points = [max(run["lift"], ALONE) for run in some], [run["d"] for run in some]
            if some:
                axes.scatter(*points, s=16, facecolors=filled, edgecolors=color, linewidths=0.9, label=label)
    axes.set_xscale("log")
    axes.margins(0.08)
    axes.set_xlabel("lift of the data, nats/token")
    axes.set_ylabel("d = lift / √(2 KL)")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
