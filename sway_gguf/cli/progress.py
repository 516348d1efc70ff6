"""Shows on stderr how far a run is: a bar on a terminal, elsewhere a plain line now and then. Knows tokens and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sway_gguf.cli.output import say
from sway_gguf.report import numbers

Advance = Callable[[str, int], None]
_EVERY = 30.0


@contextmanager
def progress_bar(total: int) -> Iterator[Advance]:
    """A function to call with what is being done and the tokens evaluated since the last call, of `total`."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from sway_gguf.report.console import PlainConsole

    console = PlainConsole(on_stderr=True)
    if not console.is_terminal:
        yield Lines(total, lambda line: say(line, err=True)).advance
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} tokens"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total, rate="")

        def advance(what: str, tokens: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=tokens, description=what, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance


class Lines:
    """A line every so many seconds: the share done, tokens per second, and the time left at that speed.

    Args:
        total: tokens to evaluate.
        show: takes a line.
        clock: seconds.
    """

    def __init__(self, total: int, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._show, self._clock = total, show, clock
        self._done = 0
        self._start = self._shown = clock()

    def advance(self, what: str, tokens: int) -> None:
        """So many tokens more are done, in `what`."""
        self._done += tokens
        now = self._clock()
        if now - self._shown < _EVERY or not self._done:
            return
        self._shown = now
        rate = self._done / (now - self._start)
        left = max(self._total - self._done, 0) / rate
        share = min(self._done / max(self._total, 1), 1.0)
        self._show(f"{share:.0%} done, {numbers.count(rate)} tokens/s, {numbers.seconds(left)} left ({what})")
