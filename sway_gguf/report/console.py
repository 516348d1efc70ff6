"""The console that reports are drawn on: strings are text, whatever they hold. Knows rich; not what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sway_gguf.core.plain import plain

_LEAST = 60
"""Columns that a report needs; a narrower terminal folds its lines, and no number is cut."""


class PlainConsole(Console):
    """A console without markup and emoji codes, on which what would steer a terminal is spelled out.

    It is done where renderables become segments, so that no report has to think of it.
    """

    def __init__(self, stream: IO[str] | None = None, width: int | None = None, on_stderr: bool = False) -> None:
        super().__init__(file=stream, width=width, stderr=on_stderr, markup=False, emoji=False)
        if not on_stderr and self.width < _LEAST:  # on stderr a line is drawn over and over, and may not be folded
            self.width = _LEAST

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Segments of `renderable`; what rich itself sends to the terminal passes."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain(text), style, control)
