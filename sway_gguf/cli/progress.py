"""Shows how far a run is: a bar on a terminal and in a notebook, elsewhere a plain line now and then on stderr.

Knows sums and time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sway_gguf.cli.output import say
from sway_gguf.report import numbers

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[str, int], None]
Progress = Callable[..., AbstractContextManager[Advance]]
"""Shows how far a run of `total` tokens is, or of the `most` that it may go on to, while a block lasts; `opening` is a
line to begin with."""
_EVERY = 30.0


@contextmanager
def progress_bar(total: int, most: int = 0, unit: str = "tokens", opening: str = "") -> Iterator[Advance]:
    """A function to call with what is being done and how many of `total` were done since the last call.

    A run that goes on beyond `total` goes on to `most`.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from sway_gguf.report.console import PlainConsole

    if opening:
        say(opening, err=True)
    console = PlainConsole(on_stderr=True)
    if not console.is_terminal and not _has_widgets(console):
        yield Lines(total, lambda line: say(line, err=True), unit=unit, most=most).advance
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {unit}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total, rate="")

        def advance(what: str, tokens: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=tokens, description=what)
            beyond = bar.tasks[0].completed > total
            if beyond:
                bar.update(task, total=max(total, most))
            if speed:
                bar.update(task, rate=f"{speed:,.0f}/s{', at most' if beyond and most else ''}")

        yield advance


def _has_widgets(console: Console) -> bool:
    """Whether it is a notebook in which rich can draw; without ipywidgets it would only warn."""
    return console.is_jupyter and find_spec("ipywidgets") is not None


class Lines:
    """A line every so many seconds: the share done, the speed, and the time left at it.

    Args:
        total: how much there is to do.
        show: takes a line.
        clock: seconds.
        unit: of the total.
        most: how much there is where it goes on beyond `total`.
    """

    def __init__(
        self,
        total: int,
        show: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        unit: str = "tokens",
        most: int = 0,
    ) -> None:
        self._total, self._show, self._clock, self._unit, self._most = total, show, clock, unit, most
        self._done, self._beyond = 0, False
        self._start = self._shown = clock()

    def advance(self, what: str, tokens: int) -> None:
        """So much more is done, in `what`."""
        self._done += tokens
        if self._done > self._total:
            self._beyond = self._most > self._total
            self._total = max(self._total, self._most)
        now = self._clock()
        if now - self._shown < _EVERY or not self._done:
            return
        self._shown = now
        rate = self._done / (now - self._start)
        left = max(self._total - self._done, 0) / rate
        speed = f"{numbers.count(rate)} {self._unit}/s"
        if self._beyond:  # A share of all that it may come to would fall back, and mostly it ends long before.
            self._show(f"it takes longer, {speed}, at most {numbers.seconds(left)} left ({what})")
            return
        share = min(self._done / max(self._total, 1), 1.0)
        self._show(f"{share:.0%} done, {speed}, {numbers.seconds(left)} left ({what})")
