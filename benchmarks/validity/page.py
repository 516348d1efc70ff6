"""Puts the study's tables on its page and its figures beside it. Knows the places' names."""

from __future__ import annotations

from pathlib import Path

from benchmarks.validity.cells import Cells
from benchmarks.validity.ran import ran
from benchmarks.validity.tables import TABLES, filled


def texts_of(cells: Cells) -> dict[str, str]:
    """What stands in each place; nothing of parts that were not measured."""
    measured = {name: make(cells) for name, (part, make) in TABLES.items() if part is None or cells.of(part)}
    return measured | {"run": ran(cells)}


def write(page: Path, cells: Cells) -> None:
    """Fill the places of `page`, and draw the figures into `figures/` beside it where matplotlib is there.

    Raises:
        ValueError: the page lacks a place.
    """
    page.write_text(filled(page.read_text(encoding="utf-8"), texts_of(cells)), encoding="utf-8")
    try:
        from benchmarks.validity.figures import draw
    except ImportError as error:
        print(f"no figures were drawn: {error}; pip install sway-gguf[study]")
        return
    for path in draw(cells, page.parent / "figures"):
        print(f"wrote {path}")
