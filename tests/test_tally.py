"""Tokens of a run: those of visits that were taken, and apart from them those of visits that were not."""

from __future__ import annotations

from sway_gguf.core.views import TUNED
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.suite.tally import Tally
from sway_gguf.suite.visit import Visit


def counted(tally: Tally, tokens: int, *, taken: bool) -> None:
    """A visit that nobody holds on to afterwards."""
    visit = Visit(TUNED, {}, ())
    with tally.counting(visit, FakeBackend(wordy_script(lambda view, query: 0.0)), None) as progress:
        progress(tokens)
    if taken:
        tally.take(visit)


def test_what_nobody_took_stays_counted_whatever_comes_after_it() -> None:
    tally = Tally()
    for _ in range(20):
        counted(tally, 10, taken=False)
        counted(tally, 7, taken=True)
    assert (tally.evaluated, tally.dropped) == (140, 200)
