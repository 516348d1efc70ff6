"""The base of a small model is measured beside other views: the same result, and who needs its answers waits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sway_gguf.core.answers import Answer
from sway_gguf.core.dialogue import Dialogue
from sway_gguf.core.engine_settings import Workers
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.measurement import Measurement
from sway_gguf.core.queries import Query
from sway_gguf.core.rules import BelowTolerance
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.engine.crew import Crew
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.engine.open_view import OnTokens
from sway_gguf.probes.registry import build_probes
from sway_gguf.suite.decisions import decisions_of
from sway_gguf.suite.measure import Measured, measure
from sway_gguf.suite.schedule import schedule
from sway_gguf.verdict.reading import Reading
from tests.test_suite import SOURCES

KINDS = ("delta_kl", "multi_turn_coherence_decay")
"""The dialogue's questions to every view follow from the base's replies."""


class Small(FakeBackend):
    """A view alone runs on one of two threads. The base says nothing before another view was asked."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__(wordy_script(lambda view, query: 0.0 if view == BASE else 0.5))
        self._other, self._broken = threading.Event(), broken
        self.spoke: list[View] = []

    def workers(self, views: int) -> Workers:
        return Workers(min(2, views), 1)

    def twin(self, crew: Crew) -> Small:
        twin = Small(self._broken)
        twin._other, twin.spoke = self._other, self.spoke
        return twin

    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]:
        if view != BASE:
            self._other.set()
        if view == BASE:
            assert self._other.wait(30)
            if self._broken:
                raise NonFiniteError("base", "any text")
        found = super()._answer(view, queries, progress)
        self.spoke.append(view)
        return found


def told(dialogue: Dialogue, *, opens: bool = True) -> str:
    return " ".join(f"{turn.role} {turn.content}" for turn in dialogue.turns)


def measured(backend: FakeBackend) -> Measured:
    probes = build_probes([{"name": kind, "kind": kind} for kind in KINDS], replace(SOURCES, chat=told))
    return measure(backend, probes, schedule(probes))


def test_the_base_runs_beside_others_and_what_follows_from_it_waits_for_it() -> None:
    backend = Small()
    beside = measured(backend)
    alone = measured(FakeBackend(wordy_script(lambda view, query: 0.0 if view == BASE else 0.5)))
    assert not beside.failed
    assert [(found.name, found.tuned, found.floor) for found in beside.readings] == [
        (found.name, found.tuned, found.floor) for found in alone.readings
    ]
    assert backend.spoke.count(TUNED) > 1  # What followed was asked in rounds of its own.


def test_a_base_without_numbers_ends_the_run_and_nobody_waits_for_it() -> None:
    before = threading.active_count()
    with pytest.raises(NonFiniteError, match="base"):
        measured(Small(broken=True))
    assert threading.active_count() == before


def test_no_null_shows_the_size_of_damage_that_could_not_be_told() -> None:
    def reading(name: str, undecided: str) -> Reading:
        found = Measurement(0.0, undecided=undecided)
        return Reading(name, name, "collateral", "nats", BelowTolerance(0.1), found, (), None)

    damaged = decisions_of(5, alpha=0.05).damaged
    assert damaged([reading("few items", ""), reading("unreadable", "the base cannot read it")]) == ["few items"]
