"""The llama.cpp backend: one base in memory, adapters swapped in, queries answered in packed batches.

Knows views, files and batches; nothing of probes, specs or statistics.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.lora import fits
from sway_gguf.artifacts.rounding import rounding_adapter
from sway_gguf.artifacts.stack import Adapted, as_stack, read_stack
from sway_gguf.core.answers import Answer
from sway_gguf.core.engine_settings import EngineSettings, Workers
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.loras import Lora
from sway_gguf.core.queries import Compare, Embed, Generate, Query, Split
from sway_gguf.core.views import NullView, View, is_rerun
from sway_gguf.engine import llama, packed, scoring
from sway_gguf.engine.contexts import ContextPool
from sway_gguf.engine.crew import Crew
from sway_gguf.engine.doors import DoorBackend, Work, is_base
from sway_gguf.engine.embed import Vectors
from sway_gguf.engine.evaluate import evaluated
from sway_gguf.engine.footprint import twins_that_fit
from sway_gguf.engine.identity import Identity, standing
from sway_gguf.engine.keeping import Keeper, Kind, Sampling, Store, Text, Unit, asked_in, computed, request_of
from sway_gguf.engine.layout import batches_of, lay_out
from sway_gguf.engine.limits import limits_of, manner_of, record_of
from sway_gguf.engine.loaded import Loaded
from sway_gguf.engine.open_view import OnTokens
from sway_gguf.engine.packing import Limits, group_jobs
from sway_gguf.engine.timing import OnBatch
from sway_gguf.engine.workload import SCORED, tokens_fed, work_of

_PLANS = 8192  # Queries whose tokens are remembered from view to view.


class LlamaBackend(DoorBackend):
    """A base GGUF with, at choice, a LoRA GGUF or a set of them, in llama.cpp.

    Args:
        base: its file, or its header where that was read already.
        adapter: a file or PEFT folder, or one or a set of them that was read already and fits; None for the base alone.
        settings: of the engine.
        store: of answers. With one, weights are loaded when something is asked that was not kept.

    Raises:
        UserError: a file that cannot be used, or an adapter that does not fit the base.
        EngineError: llama.cpp refused what the checks let pass; of weights that are loaded later, it is raised then.
    """

    repack = True  # whether weights are laid out anew for this machine's processors

    def __init__(
        self,
        base: Path | BaseModel,
        adapter: Path | Adapted | None,
        settings: EngineSettings | None = None,
        store: Store | None = None,
    ) -> None:
        super().__init__()
        self.base = read_base(base) if isinstance(base, Path) else base
        self._wanted = settings or EngineSettings()
        self.settings = self._wanted.model_copy(update={"threads": self._wanted.thread_count(self.base.parameters)})
        given = read_stack([Lora(adapter)], self.base) if isinstance(adapter, Path) else adapter
        self.stack = None if given is None else as_stack(given)
        self._loaded = Loaded(self.base.path, self.settings, whole=store is None, repack=self.repack)
        self._rounding = rounding_adapter(self.base)
        self._keeper = Keeper(store, lambda: self._loaded.vocabulary.vocabulary)
        self._identity = self._identified()
        self._vectors = Vectors(self._loaded, self.settings)
        self._contexts: ContextPool | None = None
        self._crew: Crew | None = None
        self._on_batch: OnBatch | None = None
        self._kind, self._closed = "", False
        self._plan = lru_cache(_PLANS)(self._planned)

    @property
    def model(self) -> llama.Model:
        """The loaded model; its weights are loaded now if they were not before.

        Raises:
            RuntimeError: the backend was closed.
        """
        return self._loaded.weights

    @property
    def width(self) -> int:
        """Tokens evaluated in one piece at most."""
        return self.settings.width(self.base.context_length)

    def limits(self) -> Limits:
        """What a batch may hold."""
        return limits_of(self._loaded.vocabulary, self.settings, self.width)

    def layout(self) -> dict[str, Any]:
        """How batches are laid out, for the record."""
        return record_of(self.settings, self.limits(), self.width, self.workers(sys.maxsize))

    def count_tokens(self, query: Query) -> int:
        """Tokens fed to answer `query` alone."""
        return self.count_tokens_of([query])

    def count_tokens_of(self, queries: Sequence[Query]) -> int:
        """Tokens fed to answer `queries` together: what they begin alike with counts once."""
        return tokens_fed([self._plan(query) for query in queries], self.limits(), manner_of(self.settings))

    def shows_noise(self, queries: Sequence[Query]) -> bool:
        """Whether the base's rerun computes the answers to all of `queries` otherwise than the base does."""
        scored = [query for query in queries if not isinstance(query, Embed | Split)]
        if self._rounding is not None or not scored:
            return bool(scored)
        jobs = [job for query in scored for job in self._plan(query).jobs]
        once, again = (batches_of(jobs, self.limits(), rerun=rerun) for rerun in (False, True))
        return all(mine != other for mine, other in zip(once, again, strict=True))

    def work(self, view: View, queries: Sequence[Query], written: float = 1.0) -> Work:
        """Calls and tokens that answering `queries`, all of one kind, takes; `written` as `work_of` has it."""
        asks = [self._plan(query) for query in queries]
        return work_of(asks, self.limits(), manner_of(self.settings), written, rerun=is_rerun(view))

    def swap(self, adapter: Adapted) -> bool:
        """Measure another adapter, or set of them, from now on; the base stays loaded.

        Raises:
            UserError: one does not fit the base.
            ViewError: a view is open.
        """
        self._check_closed()
        stack = as_stack(adapter)
        for each in stack.adapters:
            fits(each, self.base)
        if self._contexts is not None:
            self._contexts.swap(stack)
        self.stack = stack
        self._identity = self._identified()
        return True

    def trace(self, on_batch: OnBatch) -> None:
        """From now on, tell the time of each call of llama.cpp that evaluates a batch; embeddings are not told."""
        self._on_batch = on_batch

    @property
    def tokens_from_store(self) -> int:
        """Tokens read from the store in place of being evaluated, where somebody counted; a twin counts its own."""
        return self._keeper.tokens

    def unkept(self) -> AbstractContextManager[None]:
        """A block in which everything is evaluated, whatever was kept."""
        return self._keeper.away()

    def again(self, request: bytes) -> bytes | None:
        """The value of a request that a store kept, computed anew; None where other files or libraries are at work."""
        found = asked_in(request)
        known = found is not None and request_of(self._identity_of(found[1]), found[1]) == request
        return computed(partial(self._computed, found[1]))[1] if found and known else None

    def cache_identity(self) -> str:
        """A digest of the files' contents, the engine's version and the settings."""
        return self._identity.digest()

    def workers(self, views: int) -> Workers:
        """As many as the settings say and memory holds, but no more than there are views; one on a GPU."""
        cells = self._contexts.cells if self._contexts is not None else 0
        fit = twins_that_fit(self.base, self.settings, cells or self.limits().cells, self.stack)
        found = self._wanted.workers(min(fit, views))
        return found if found.number > 1 else Workers(1, self.settings.threads)

    def twin(self, crew: Crew) -> LlamaBackend:
        """Another backend on the same loaded model and store, with contexts and adapters of its own, for a thread.

        Contexts of this backend are released: it rests while its twins work.

        Raises:
            ViewError: a view is open.
        """
        self._check_closed()
        if self._contexts is not None:
            self._contexts.rest()
        twin = copy(self)
        twin._loaded, twin._keeper, twin._crew = self._loaded.shared(), self._keeper.twin(), crew
        twin._contexts = None
        twin.settings = self.settings.model_copy(update={"threads": crew.least})
        twin._vectors = Vectors(twin._loaded, twin.settings)
        return twin

    def close(self) -> None:
        """Release contexts and adapters, and the model unless a twin still uses it."""
        if self._closed:
            return
        self._closed = True
        for owned in (self._vectors, self._contexts, self._loaded):
            if owned is not None:
                owned.close()
        self._contexts = None

    def _enter(self, view: View) -> None:
        if not is_base(view) and self.stack is None:
            raise UserError("no adapter was given, so only the base view can be opened")

    def _leave(self, view: View) -> None:
        if isinstance(view, NullView) and self._contexts is not None:
            self._contexts.drop_null()

    def _identified(self) -> Identity:
        return Identity(self.base, self.settings, self.stack)

    def _planned(self, query: Query) -> scoring.Ask:
        return scoring.plan(query, self._loaded.vocabulary, self.width)

    @property
    def _pool(self) -> ContextPool:
        """Contexts on the whole model; the first to ask for them has it loaded."""
        if self._contexts is None:
            self._contexts = ContextPool(self.model, self.settings, self.stack, self._rounding, self._crew)
        self._contexts.on_batch, self._contexts.kind = self._on_batch, self._kind
        return self._contexts

    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]:
        found: dict[int, Answer] = {}
        for kinds, answered in (
            (SCORED, self._scored),
            ((Compare,), self._compared),
            ((Generate,), self._generated),
            ((Embed,), self._embedded),
            ((Split,), self._split),
        ):
            places = [place for place, query in enumerate(queries) if isinstance(query, kinds)]
            if places:
                self._kind = "+".join(sorted({type(queries[place]).__name__ for place in places}))
                asks = [self._plan(queries[place]) for place in places]
                found |= zip(places, answered(view, asks, progress), strict=True)
        return [found[place] for place in range(len(queries))]

    def _scored(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens | None) -> list[Answer]:
        found = iter(self._by_units("scores", view, asks, progress))
        return [scoring.answer(ask, [next(found) for _ in ask.jobs]) for ask in asks]

    def _compared(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens | None) -> list[Answer]:
        found = iter(self._by_units("changes", view, asks, progress))
        return [scoring.compared(ask, [next(found) for _ in ask.jobs]) for ask in asks]

    def _generated(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens | None) -> list[Answer]:
        return self._by_units("replies", view, asks, progress)

    def _by_units(self, kind: Kind, view: View, asks: Sequence[scoring.Ask], progress: OnTokens | None) -> list[Any]:
        """An answer per job of all asks, in order, unit by unit.

        Raises:
            NonFiniteError: a number is not finite.
        """
        owned = [(ask, job) for ask in asks for job in ask.jobs]
        jobs, limits, found = [job for _, job in owned], self.limits(), dict[int, Any]()
        sampling = [Sampling.of(ask.query) for ask in asks if isinstance(ask.query, Generate)]
        groups = group_jobs(jobs, limits, whole=False) if kind == "replies" else lay_out(jobs, limits)
        for group in groups:
            unit = Unit.of(kind, view, limits, group, jobs, sampling)
            identity, compute = partial(self._identity.of, view), partial(self._computed, unit)
            try:
                answers = self._keeper.answered(replace(unit, view=standing(view)), identity, compute, progress)
            except packed.JobError as error:
                raise NonFiniteError(str(view), str(owned[group.jobs[error.job]][0].query)) from error
            found |= zip(group.jobs, answers, strict=True)
        return [found[index] for index in range(len(jobs))]

    def _identity_of(self, unit: Unit | Text) -> dict[str, Any]:
        return self._identity.of(unit.view) if isinstance(unit, Unit) else self._identity.of_embeddings()

    def _computed(self, unit: Unit | Text, progress: OnTokens) -> Sequence[Any]:
        """Evaluate a unit.

        Raises:
            JobError: a number is not finite.
        """
        if isinstance(unit, Text):
            found = self._vectors.of(unit.text)
            progress(len(self._plan(Embed(unit.text)).tokens))
            return [found]
        return evaluated(unit, self.model, self._pool, progress)

    def _embedded(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens | None) -> list[Answer]:
        found: list[Answer] = []
        for ask in asks:
            assert isinstance(ask.query, Embed)
            unit = Text(ask.query.text)
            identity, compute = partial(self._identity_of, unit), partial(self._computed, unit)
            found += self._keeper.answered(unit, identity, compute, progress)
        return found

    def _split(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens | None) -> list[Answer]:
        return [scoring.split(ask, self._loaded.vocabulary) for ask in asks]
