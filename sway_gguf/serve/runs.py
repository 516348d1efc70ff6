"""Runs that were asked for: a bounded queue, one worker, and what became of each. Knows specs and results, no HTTP.

A run is only ever changed under the lock; what others read are records made under it.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.core.plain import one_line
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.views import View
from sway_gguf.engine.interrupt import stopped_by
from sway_gguf.engine.warm import Warm
from sway_gguf.spec.model import Spec
from sway_gguf.suite.measure import OnProgress
from sway_gguf.suite.prepare import Prepared, prepare
from sway_gguf.suite.watched import run_warm

logger = logging.getLogger("sway_gguf.serve")
State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
_KEPT = 50
"""Ended runs that are remembered."""


class QueueFullError(Exception):
    """As many runs wait as may; `retry_after` is when to ask again, seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; ask again in {retry_after} s")
        self.retry_after = retry_after


@dataclass
class Run:
    """One run.

    Attributes:
        id: of it; not to be guessed.
        name: what is tested.
        spec: as asked for.
        state, error: how it stands, and why it failed.
        done, total: tokens evaluated, and to be evaluated.
        result: once it is done.
        events: (number, event) since the run was asked for; numbers are consecutive from 1.
        cancel: set to stop it.
    """

    id: str
    name: str
    spec: Spec
    asked_at: str
    state: State = "queued"
    error: str = ""
    done: int = 0
    total: int = 0
    result: SuiteResult | None = None
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)

    def record(self) -> dict[str, Any]:
        """How it stands, for JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "asked_at": self.asked_at,
            "done": self.done,
            "total": self.total,
            "error": self.error,
            "diagnosis": str(self.result.diagnosis) if self.result else None,
            "headline": self.result.headline if self.result else None,
        }


class Runs:
    """All runs of a server, and the thread that works on them.

    Args:
        most_queued: runs that may wait.
        warm: the backend that stays loaded.
        ready: makes a run ready from its spec.
    """

    def __init__(self, most_queued: int, warm: Warm | None = None, ready: Callable[[Spec], Prepared] = prepare) -> None:
        self._most_queued, self._warm, self._ready = most_queued, warm or Warm(), ready
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._all: OrderedDict[str, Run] = OrderedDict()
        self._waiting: deque[Run] = deque()
        self._current: Run | None = None
        self._usual_seconds = 30.0
        self.stopping = threading.Event()
        self._worker = threading.Thread(target=self._work, name="sway-gguf runs", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._worker.start()

    def stop(self) -> None:
        """Cancel what runs and begin nothing more; returns at once. Takes no lock, for a signal handler calls it."""
        self.stopping.set()
        if self._current is not None:
            self._current.cancel.set()

    def join(self, seconds: float) -> None:
        """Wait until the worker has ended, at most so long."""
        if self._worker.ident is not None:
            self._worker.join(seconds)

    def add(self, spec: Spec, name: str) -> dict[str, Any]:
        """Put a run into the queue.

        Raises:
            QueueFullError: there is no room.
        """
        with self._lock:
            if len(self._waiting) >= self._most_queued:
                raise QueueFullError(max(1, round(self._usual_seconds)))
            new = Run(secrets.token_hex(8), name, spec, datetime.now(UTC).isoformat(timespec="seconds"))
            self._all[new.id] = new
            self._waiting.append(new)
            self._tell(new)
            self._forget()
            self._wake.notify()
            return new.record()

    def records(self) -> list[dict[str, Any]]:
        """How all runs stand, the newest first."""
        with self._lock:
            return [each.record() for each in reversed(self._all.values())]

    def record(self, identity: str) -> dict[str, Any] | None:
        """How one run stands; None for an unknown one."""
        with self._lock:
            found = self._all.get(identity)
            return found.record() if found else None

    def result(self, identity: str) -> SuiteResult | None:
        """The result of a run that is done."""
        with self._lock:
            found = self._all.get(identity)
            return found.result if found else None

    def events(self, identity: str, after: int) -> tuple[list[tuple[int, dict[str, Any]]], bool]:
        """Events with a number above `after`, and whether the run has ended."""
        with self._lock:
            found = self._all.get(identity)
            if found is None:
                return [], True
            return found.events[max(0, after) :], found.state in ENDED

    def cancel(self, identity: str) -> dict[str, Any] | None:
        """Stop a run that waits or works, and tell how it stands; None for an unknown one."""
        with self._lock:
            found = self._all.get(identity)
            if found is None:
                return None
            found.cancel.set()
            if found.state == "queued":
                self._waiting.remove(found)
                self._end(found, "cancelled")
            return found.record()

    def _work(self) -> None:
        while not self.stopping.is_set():
            with self._lock:
                while not self._waiting and not self.stopping.is_set():
                    self._wake.wait(0.2)  # `stop` wakes nobody.
                if self.stopping.is_set():
                    break
                current = self._current = self._waiting.popleft()
                current.state = "running"
                self._tell(current)
            self._one(current)
        self._warm.drop()

    def _one(self, current: Run) -> None:
        state: State = "failed"
        try:
            with stopped_by(current.cancel):
                result = self._measured(current)
            with self._lock:
                current.result, state = result, "done"
                self._usual_seconds = float(result.timings.get("run_seconds", self._usual_seconds))
        except KeyboardInterrupt:
            state = "cancelled"
        except (UserError, EngineError) as error:
            current.error = one_line(str(error))
        except OSError as error:
            current.error = one_line(error.strerror or str(error))
        except Exception as error:
            logger.exception("run %s failed", current.id)
            current.error = f"internal error: {one_line(f'{type(error).__name__}: {error}')}"
        with self._lock:
            self._end(current, state)

    def _measured(self, current: Run) -> SuiteResult:
        prepared = self._ready(current.spec)
        _go_on(current)
        return run_warm(prepared, self._warm, partial(self._watching, current))

    @contextmanager
    def _watching(self, current: Run, least: int, most: int) -> Iterator[OnProgress]:
        def told(view: View, tokens: int) -> None:
            _go_on(current)
            with self._lock:
                before = _percent(current)
                current.done += tokens
                current.total = least if current.done <= least else most
                if _percent(current) > before:
                    self._tell(current, view=str(view))

        yield told

    def _tell(self, current: Run, **more: Any) -> None:
        event: dict[str, Any] = {
            "state": current.state,
            "done": current.done,
            "total": current.total,
            "percent": _percent(current),
        }
        if current.state in ENDED:
            event |= {"error": current.error, "diagnosis": current.record()["diagnosis"]}
        current.events.append((len(current.events) + 1, event | more))

    def _end(self, current: Run, state: State) -> None:
        current.state = state
        self._tell(current)

    def _forget(self) -> None:
        ended = [each.id for each in self._all.values() if each.state in ENDED]
        for identity in ended[: max(0, len(ended) - _KEPT)]:
            del self._all[identity]


def _go_on(current: Run) -> None:
    """Raise KeyboardInterrupt, as the engine does, where the run was cancelled."""
    if current.cancel.is_set():
        raise KeyboardInterrupt


def _percent(current: Run) -> int:
    return min(100, 100 * current.done // current.total) if current.total else 0
