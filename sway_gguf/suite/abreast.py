"""Answers views side by side, each in a thread of its own on a twin of the backend, and hands them over in order.

llama.cpp's threads wait for each other at every operation, and views need not wait for each other. Knows doors and
threads; neither what is asked nor what becomes of the answers, which are the same whatever the number of workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from sway_gguf.core.answers import Answers
from sway_gguf.core.engine_settings import Workers
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.engine.crew import Crew
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.interrupt import Interrupt, go_on, stopped_by

Visit = TypeVar("Visit")
Outcome = Answers | NonFiniteError
_AHEAD = 1
"""Views that wait to be handed over, beside those at work: their answers are in memory."""
_TICK = 0.1
"""Seconds after which one who waits asks whether to go on; on some systems nothing interrupts a wait without end."""


class Abreast:
    """A backend, and as many of its twins as it says, kept from round to round.

    One view at a time, on the backend itself and in the caller's thread, where there is no twin or no second view.

    Args:
        backend: that is asked; no view of it may be open.
    """

    def __init__(self, backend: DoorBackend) -> None:
        self._backend = backend
        self._twins: list[DoorBackend] = []
        self._workers = Workers(1, 1)
        self._crew = Crew(self._workers, self._workers)
        self._team: _Team | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._dismiss()
        self._release()

    def each(
        self, visits: Sequence[Visit], answer: Callable[[DoorBackend, Visit], Answers]
    ) -> Iterator[tuple[Visit, Outcome]]:
        """One round: every visit in order, with its answers or the error that tells of numbers which are not finite.

        Where the caller takes no more, what was begun ahead is stopped: at most a view of each worker, and one.

        Args:
            visits: whatever tells `answer` what to ask.
            answer: asks a backend; called in several threads at once where there are several workers.

        Raises:
            KeyboardInterrupt: this thread, or `answer`, was asked to stop.
            Exception: any other than `NonFiniteError` that `answer` raised, when the turn of its visit comes.
        """
        self._dismiss()
        twins = self._for(len(visits))
        if not twins:
            for visit in visits:
                yield visit, _outcome(answer, self._backend, visit)
            return
        team = self._team = _Team(twins, self._crew, visits, answer)
        try:
            team.start()
            for place, visit in enumerate(visits):
                yield visit, team.outcome(place)
        finally:
            if self._team is team:
                self._dismiss()

    def _for(self, views: int) -> list[DoorBackend]:
        """Twins for so many views; none where one view at a time is all there can be."""
        wanted = self._backend.workers(views)
        if wanted != self._workers:
            self._release()
            self._workers, self._crew = wanted, Crew(self._backend.workers(1), wanted)
        while len(self._twins) < wanted.number > 1 and (twin := self._backend.twin(self._crew)):
            self._twins.append(twin)
        return self._twins

    def _dismiss(self) -> None:
        """End a round. A twin that was stopped may have been left halfway, so new ones are made for the next."""
        if self._team is not None:
            self._team.dismiss()  # Where a second signal ends this, threads are at work still, and nothing is released.
            team, self._team = self._team, None
            if team.spoilt:
                self._release()

    def _release(self) -> None:
        with stopped_by(threading.Event()):  # What stops this thread must not stop the release halfway.
            while self._twins:
                self._twins.pop().close()


class _Team:
    """One thread per twin, and what they found.

    Attributes:
        spoilt: whether a twin was left halfway.
    """

    def __init__(
        self,
        twins: Sequence[DoorBackend],
        crew: Crew,
        visits: Sequence[Any],
        answer: Callable[[DoorBackend, Any], Answers],
    ) -> None:
        self._crew = crew
        self._visits = visits
        self._answer = answer
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._found: dict[int, Outcome | BaseException] = {}
        self._begun, self._most, self._end = 0, len(twins) + _AHEAD, len(visits)
        self._interrupt: BaseException | None = None
        self.spoilt = False
        self._threads = [threading.Thread(target=self._work, args=(twin,), daemon=True) for twin in twins]

    def start(self) -> None:
        """Set them to work. A signal waits until all are: one started unseen would be at work as its twin closes.

        Raises:
            KeyboardInterrupt: one came.
        """
        with Interrupt().watching():
            for thread in self._threads:
                thread.start()

    def outcome(self, place: int) -> Outcome:
        """What came of a visit; waits for it. To be asked in order."""
        with self._changed:
            while place not in self._found:
                if self._interrupt is not None:
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
            if thread.ident is not None:  # Who was asked to stop before started none.
                thread.join()

    def _work(self, twin: DoorBackend) -> None:
        with stopped_by(self._stop):
            while (place := self._next()) is not None:
                found: Outcome | BaseException
                try:
                    with self._crew.at_work():
                        found = _outcome(self._answer, twin, self._visits[place])
                except BaseException as error:
                    found = error
                self._keep(place, found)

    def _next(self) -> int | None:
        """The next visit, as soon as its answers may be in memory; None where there is no further one."""
        with self._changed:
            while self._most <= self._begun < self._end and not self._stop.is_set():
                self._changed.wait()
            if self._begun >= self._end or self._stop.is_set():
                return None
            self._begun += 1
            return self._begun - 1

    def _keep(self, place: int, found: Outcome | BaseException) -> None:
        with self._changed:
            self._found[place] = found
            if not isinstance(found, Answers | NonFiniteError):
                self.spoilt, self._end = True, self._begun  # Nobody will get beyond it.
                if not isinstance(found, Exception):
                    self._interrupt = found
            self._changed.notify_all()


def _outcome(answer: Callable[[DoorBackend, Visit], Answers], backend: DoorBackend, visit: Visit) -> Outcome:
    try:
        return answer(backend, visit)
    except NonFiniteError as error:
        return error
