"""Answers views side by side, each in a thread of its own on a twin of the backend, and hands them over in order.

llama.cpp's threads wait for each other at every operation, and views need not wait for each other. Knows visits and
doors; neither what is asked nor what becomes of the answers, which are the same whatever the number of workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from sway_gguf.core.answers import Answers
from sway_gguf.core.engine_settings import Workers
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.interrupt import go_on, stopped_by
from sway_gguf.suite.schedule import Visit

Answering = Callable[[DoorBackend, Visit], Answers]
"""Answers one visit on a backend; with several workers it is called from their threads."""
Outcome = Answers | NonFiniteError
_AHEAD = 1
"""Views answered and not yet handed over, beside those at work: their answers are in memory."""
_TICK = 0.1
"""Seconds after which a thread that waits asks whether to go on; some systems interrupt no wait that has no end."""


class Abreast:
    """A backend and as many of its twins as it says, kept over any number of rounds.

    One view at a time, on the backend itself and in the caller's thread, where there can be no twin or no second view.

    Args:
        backend: that is asked; no view of it may be open.
    """

    def __init__(self, backend: DoorBackend) -> None:
        self._backend = backend
        self._twins: list[DoorBackend] = []
        self._workers: Workers | None = None
        self._team: _Team | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._dismiss()
        self._release()

    def each(self, visits: Sequence[Visit], answer: Answering) -> Iterator[tuple[Visit, Outcome]]:
        """Every visit with its answers, or the numbers that were not finite, in order.

        Where the caller takes no more, what was begun ahead is stopped: at most one view per worker, and one.

        Raises:
            Exception: any other that `answer` raises, when its visit's turn comes.
            KeyboardInterrupt: this thread, or `answer`, was asked to stop.
        """
        self._dismiss()
        twins = self._for(len(visits))
        if len(twins) < 2:
            for visit in visits:
                yield visit, _outcome(answer, self._backend, visit)
            return
        team = self._team = _Team(twins, visits, answer)
        try:
            for place, visit in enumerate(visits):
                yield visit, team.outcome(place)
        finally:
            if self._team is team:
                self._dismiss()

    def _for(self, views: int) -> list[DoorBackend]:
        """Twins for so many views; none where one view at a time is as good."""
        wanted = self._backend.workers(views)
        if wanted.number < 2 or wanted != self._workers:
            self._release()
        while len(self._twins) < wanted.number > 1 and (twin := self._backend.twin(wanted.threads)):
            self._twins.append(twin)
        self._workers = wanted
        return self._twins

    def _dismiss(self) -> None:
        """Stop what is at work. A twin that was stopped may be left halfway, so new ones are made."""
        team, self._team = self._team, None
        if team is not None:
            team.dismiss()
            if team.spoilt:
                self._release()

    def _release(self) -> None:
        # What stops this thread must not stop the release.
        with stopped_by(threading.Event()):
            while self._twins:
                self._twins.pop().close()


class _Team:
    """One thread per twin, and what they found.

    Attributes:
        spoilt: whether a twin was left halfway.
    """

    def __init__(self, twins: Sequence[DoorBackend], visits: Sequence[Visit], answer: Answering) -> None:
        self._visits = visits
        self._answer = answer
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._found: dict[int, Outcome | BaseException] = {}
        self._begun = 0
        self._end = len(visits)
        self._interrupt: BaseException | None = None
        self.spoilt = False
        self._most = len(twins) + _AHEAD
        self._threads = [threading.Thread(target=self._work, args=(twin,), daemon=True) for twin in twins]
        for thread in self._threads:
            thread.start()

    def outcome(self, place: int) -> Outcome:
        """What came of a visit; waits for it. To be asked in order."""
        with self._changed:
            while place not in self._found:
                if self._interrupt:
                    raise self._interrupt
                if not self._changed.wait(_TICK):
                    go_on()
            found = self._found.pop(place)
            self._most += 1
            self._changed.notify_all()
        if isinstance(found, Answers | NonFiniteError):
            return found
        raise found

    def dismiss(self) -> None:
        """Stop what is at work; afterwards nobody is."""
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, twin: DoorBackend) -> None:
        with stopped_by(self._stop):
            while (place := self._next()) is not None:
                found: Outcome | BaseException
                try:
                    found = _outcome(self._answer, twin, self._visits[place])
                except BaseException as error:
                    found = error
                with self._changed:
                    self._found[place] = found
                    if not isinstance(found, Answers | NonFiniteError):
                        self.spoilt, self._end = True, self._begun
                        self._interrupt = None if isinstance(found, Exception) else found
                    self._changed.notify_all()

    def _next(self) -> int | None:
        """The next visit, once its answers may be in memory; None where there is none any more."""
        with self._changed:
            while self._begun < self._end and self._begun >= self._most and not self._stop.is_set():
                self._changed.wait()
            if self._begun >= self._end or self._stop.is_set():
                return None
            self._begun += 1
            return self._begun - 1


def _outcome(answer: Answering, backend: DoorBackend, visit: Visit) -> Outcome:
    try:
        return answer(backend, visit)
    except NonFiniteError as error:
        return error
