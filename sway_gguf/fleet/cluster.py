"""A pool on Dask: workers on this machine, or those of any cluster.

A worker has one cell at a time, and a cell belongs to one worker, so that a base stays where it is loaded; who is lost
gives its cell back. Knows Dask's client; nothing of what is measured.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from sway_gguf.core.errors import UserError
from sway_gguf.engine.child import signals_kept_from_children
from sway_gguf.fleet.assign import Assignment
from sway_gguf.fleet.at_worker import RESOURCE, build_there, outcome_of, stopped, welcomed
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.dask_quiet import local_cluster, quiet_client
from sway_gguf.fleet.hand import Build, Measure, Outcome, build_of
from sway_gguf.fleet.pools import Watcher

if TYPE_CHECKING:
    from distributed import Client, Future

_LOOK_EVERY = 0.5
_STARTS_WITHIN = 60.0
"""Seconds in which a cluster's first worker has to be there."""
_MOST_LOST = 3
"""Workers that a cell may cost: one that ends every worker is not handed on for ever."""
_GATHER = 5.0


class Cluster:
    """Dask workers that measure cells.

    Args:
        measure: measures a cell.
        local: so many workers, which are started on this machine.
        address: of a scheduler, where they are not.
        mixed: whether builds may differ.
        say: told, in a line, of what is worth knowing.
        build: of a worker, looked at in the process that measures there.
    """

    def __init__(
        self,
        measure: Measure,
        *,
        local: int = 0,
        address: str = "",
        mixed: bool = False,
        say: Callable[[str], None] = lambda line: None,
        build: Callable[[], Build] = build_of,
    ) -> None:
        self._measure, self._mixed, self._say, self._build_of = measure, mixed, say, build
        self._local, self._address = local, address
        self._opened = ExitStack()
        self._ready: set[str] = set()
        self._running: dict[str, tuple[Cell, Future[Outcome]]] = {}
        self._threads: dict[str, int] = {}
        self._refused: set[str] = set()
        self._build: Build | None = None
        self._looked, self._started, self._told = 0.0, False, False
        self.client: Client | None = None

    @property
    def workers(self) -> int:
        """How many are ready."""
        return max(1, len(self._ready))

    def build(self) -> str | None:
        """Digest of what computes on the workers; None where they may differ in it.

        Raises:
            UserError: they differ in it, have no sway-gguf, or none comes.
        """
        until = time.monotonic() + _STARTS_WITHIN
        wanted = max(1, self._local)
        while len(self._addresses()) < wanted and time.monotonic() < until:
            time.sleep(0.05)
        self._look()
        if self._build is None:
            raise UserError(f"{self._address}: no worker came within {_STARTS_WITHIN:.0f} s; start one (dask worker …)")
        self._started = True
        return None if self._mixed else self._build.digest

    def run(self, cells: Sequence[Cell], watcher: Watcher) -> None:
        """Measure all of them.

        Raises:
            UserError: the scheduler is gone.
        """
        waiting, lost = Assignment(cells), Counter[str]()
        running = self._running
        ended: queue.SimpleQueue[tuple[str, Future[Outcome]]] = queue.SimpleQueue()
        while len(waiting) or running:
            if time.monotonic() - self._looked > _LOOK_EVERY:
                self._look()
                for worker in running.keys() - self._ready:
                    cell, future = running.pop(worker)
                    future.cancel()
                    self._lose(cell, worker, lost, waiting, watcher)
                if not self._ready:
                    watcher.waiting("no worker is there; the sweep goes on once one comes")
            for worker in sorted(self._ready - running.keys()):
                if (next_one := waiting.take(worker)) is not None:
                    running[worker] = next_one, self._sent(worker, next_one, ended)
                    watcher.began(next_one, worker)
            with suppress(queue.Empty):
                worker, future = ended.get(timeout=_LOOK_EVERY)
                if worker in running and running[worker][1] is future:
                    if (found := self._result(future, worker)) is None:
                        continue  # Its worker went with it, as the next look tells.
                    cell, _ = running.pop(worker)
                    watcher.ended(cell, found)

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            keys = None
            if self._local:
                self._say(f"starting {self._local} workers")
                # Ctrl-C at a terminal reaches them too; what to end is ours to say.
                with signals_kept_from_children():
                    self._address, keys = opening.enter_context(local_cluster(self._local, {RESOURCE: 1}))
            self.client = opening.enter_context(quiet_client(self._address, keys))
            opening.callback(self._release)
            self._opened = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def _sent(self, worker: str, cell: Cell, ended: queue.SimpleQueue[tuple[str, Future[Outcome]]]) -> Future[Outcome]:
        future = self._submit(worker, outcome_of, self._measure, cell, self._threads[worker])
        future.add_done_callback(lambda done: ended.put((worker, done)))
        return future

    def _submit(self, worker: str, function: Callable[..., Any], *args: Any) -> Future[Any]:
        with self._there() as client:
            return client.submit(function, *args, workers=[worker], resources={RESOURCE: 1}, pure=False)

    def _result(self, future: Future[Outcome], worker: str) -> Outcome | None:
        """What a future that ended holds; None where its worker was lost with it."""
        from distributed.scheduler import KilledWorker

        while True:
            try:
                return cast(Outcome, future.result(timeout=_GATHER))
            except TimeoutError:
                if worker not in self._addresses():
                    self._looked = 0.0
                    return None
            except KilledWorker:
                return Outcome(error="its workers were lost one after the other", worker=worker)
            except Exception as error:
                if future.cancelled() or future.status in ("lost", "cancelled"):
                    raise self._gone() from None
                return Outcome(error=f"{type(error).__name__}: {error}", worker=worker)

    def _lose(self, cell: Cell, worker: str, lost: Counter[str], waiting: Assignment, watcher: Watcher) -> None:
        lost[cell.key] += 1
        if lost[cell.key] < _MOST_LOST:
            waiting.give_back(cell, worker)
            return
        words = f"{_MOST_LOST} workers were lost while they measured it; memory may be short there"
        watcher.ended(cell, Outcome(error=words, worker=worker))

    def _addresses(self) -> set[str]:
        with self._there() as client:
            found = client.nthreads()
        self._threads |= found
        return set(found)

    def _look(self) -> None:
        """Who came, and who is gone.

        Raises:
            UserError: who came does not match who is there.
        """
        there = self._addresses()
        self._looked = time.monotonic()
        self._ready &= there
        self._refused &= there
        if new := sorted(there - self._ready - self._refused):
            for worker, build in self._asked(new).items():
                self._admit(worker, build)

    def _asked(self, workers: list[str]) -> dict[str, Build]:
        """The builds of workers; one that is lost meanwhile is left out.

        Raises:
            UserError: one has no sway-gguf of this version, or no llama.cpp that loads.
        """
        with self._there() as client:
            answers = client.run(welcomed, workers=workers, on_error="return")
        futures = {}
        for worker, answer in answers.items():
            if isinstance(answer, ImportError | AttributeError):
                raise UserError(f"{worker}: {answer}; install there the sway-gguf that is installed here")
            if not isinstance(answer, BaseException):
                futures[worker] = self._submit(worker, build_there, self._build_of)
        found = {}
        for worker, future in futures.items():
            while worker in self._addresses():
                try:
                    found[worker] = future.result(timeout=_GATHER)
                except TimeoutError:
                    continue
                except Exception as error:
                    raise UserError(f"{worker}: {type(error).__name__}: {error}") from error
                break
        return found

    def _admit(self, worker: str, build: Build) -> None:
        """Let a worker take part.

        Raises:
            UserError: it computes otherwise than those before it, and no cell was sent yet.
        """
        first = self._build or build
        wrong = [name for name, ours in first.versions.items() if build.versions.get(name) != ours]
        if wrong and not self._mixed:
            name = wrong[0]
            words = f"{worker} has {name} {build.versions.get(name)}, the others have {first.versions[name]}"
            if not self._started:
                raise UserError(f"{words}; install the same everywhere, or add --mixed-builds")
            self._refused.add(worker)
            self._say(f"{words}: it gets no cell")
            return
        if build.machine != first.machine and not self._told:
            self._told = True
            self._say(f"{worker} is another kind of machine: numbers may differ from the others' by rounding")
        self._build = first
        self._ready.add(worker)

    def _release(self) -> None:
        """Let the workers let go of their models, and of what they measure for us; others may use them too."""
        with suppress(Exception), self._there() as client:
            client.run(stopped, [cell.key for cell, _ in self._running.values()], on_error="ignore")

    @contextmanager
    def _there(self) -> Iterator[Client]:
        """The client.

        Raises:
            UserError: its scheduler is gone.
        """
        assert self.client is not None
        try:
            yield self.client
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> UserError:
        return UserError(
            f"{self._address}: the scheduler is gone; what was measured is kept: start the sweep again to go on"
        )
