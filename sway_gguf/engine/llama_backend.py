"""The llama.cpp backend: one base in memory, adapters swapped in, queries answered in packed batches.

Knows views, files and batches; nothing of probes, specs or statistics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.digest import sha256_of, sha256_of_all
from sway_gguf.artifacts.lora import LoraAdapter, fits
from sway_gguf.artifacts.rounding import rounding_adapter
from sway_gguf.core.answers import Answer, Generated, Tokens
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.queries import Compare, Embed, Generate, Query, Split
from sway_gguf.core.views import NullView, View, is_rerun
from sway_gguf.engine import llama, packed, scoring
from sway_gguf.engine.contexts import ContextPool
from sway_gguf.engine.doors import DoorBackend, OnTokens, Work, is_base
from sway_gguf.engine.embed import Embedder, FileEmbedder
from sway_gguf.engine.generate import generate_group
from sway_gguf.engine.layout import batches_of
from sway_gguf.engine.packing import Limits, group_jobs
from sway_gguf.engine.reduce import NotFiniteError
from sway_gguf.engine.timing import OnBatch
from sway_gguf.engine.workload import SCORED, limits_of, tokens_fed, work_of


class LlamaBackend(DoorBackend):
    """A base GGUF with, at choice, a LoRA GGUF, in llama.cpp.

    Args:
        base: its file, or its header where that was read already.
        adapter: a file or PEFT folder, or one that was read already and fits; None for the base alone.
        settings: of the engine.

    Raises:
        UserError: a file that cannot be used, or an adapter that does not fit the base.
        EngineError: llama.cpp refused what the checks let pass.
    """

    def __init__(
        self,
        base: Path | BaseModel,
        adapter: Path | LoraAdapter | None,
        settings: EngineSettings | None = None,
    ) -> None:
        super().__init__()
        self.base = read_base(base) if isinstance(base, Path) else base
        wanted = settings or EngineSettings()
        self.settings = wanted.model_copy(update={"threads": wanted.thread_count(self.base.parameters)})
        self.adapter = read_adapter(adapter, self.base) if isinstance(adapter, Path) else adapter
        self._model: llama.Model | None = llama.Model(self.base.path, gpu_layers=self.settings.gpu_layers)
        self._rounding = rounding_adapter(self.base)
        self._pool = ContextPool(self._model, self.settings, self.adapter, self._rounding)
        self._embedder: Embedder | None = None

    @property
    def model(self) -> llama.Model:
        """The loaded model.

        Raises:
            RuntimeError: the backend was closed.
        """
        if self._model is None:
            raise RuntimeError("the backend is closed")
        return self._model

    @property
    def width(self) -> int:
        """Tokens evaluated in one piece at most."""
        return self.settings.width(self.model.trained_context)

    def limits(self) -> Limits:
        """What a batch may hold."""
        return limits_of(self.model, self.settings, self.width)

    def layout(self) -> dict[str, Any]:
        """How batches are laid out, for the record."""
        limits = self.limits()
        return {
            "context": self.width,
            "batch": limits.batch,
            "ubatch": self.settings.ubatch,
            "outputs": limits.outputs,
            "streams": limits.streams,
            "cells": limits.cells,
            "shared_prefixes": limits.share,
            "kv_type": self.settings.kv_type,
            "flash_attention": self.settings.flash_attention,
            "threads": self.settings.threads,
            "gpu_layers": self.settings.gpu_layers,
        }

    def count_tokens(self, query: Query) -> int:
        """Tokens fed to answer `query` alone."""
        return self.count_tokens_of([query])

    def count_tokens_of(self, queries: Sequence[Query]) -> int:
        """Tokens fed to answer `queries` together: what they begin alike with counts once."""
        return tokens_fed([scoring.plan(query, self.model, self.width) for query in queries], self.limits())

    def shows_noise(self, queries: Sequence[Query]) -> bool:
        """Whether the base's rerun computes the answers to all of `queries` otherwise than the base does."""
        scored = [query for query in queries if not isinstance(query, Embed | Split)]
        if self._rounding is not None or not scored:
            return bool(scored)
        jobs = [job for query in scored for job in scoring.plan(query, self.model, self.width).jobs]
        once, again = (batches_of(jobs, self.limits(), rerun=rerun) for rerun in (False, True))
        return all(mine != other for mine, other in zip(once, again, strict=True))

    def work(self, view: View, queries: Sequence[Query], written: float = 1.0) -> Work:
        """Calls and tokens that answering `queries`, all of one kind, takes; `written` as `work_of` has it."""
        asks = [scoring.plan(query, self.model, self.width) for query in queries]
        return work_of(asks, self.limits(), written, rerun=is_rerun(view))

    def swap(self, adapter: LoraAdapter) -> bool:
        """Measure another adapter from now on; the base stays loaded.

        Raises:
            UserError: it does not fit the base.
            ViewError: a view is open.
        """
        self._check_closed()
        fits(adapter, self.base)
        self._pool.swap(adapter)
        self.adapter = adapter
        return True

    def trace(self, on_batch: OnBatch) -> None:
        """From now on, tell the time of each call of llama.cpp that evaluates a batch; embeddings are not told."""
        self._pool.on_batch = on_batch

    def cache_identity(self) -> str:
        """A digest of the files' contents, the engine's version and the settings."""
        digest = hashlib.sha256(f"{llama.version()} {self.settings}".encode())
        digest.update(sha256_of_all(self.base.shards).encode())
        if self.adapter is not None:
            digest.update(sha256_of(self.adapter.path).encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Release contexts, adapters and the model."""
        if self._model is not None:
            if self._embedder is not None:
                self._embedder.close()
            self._pool.close()
            self._model.close()
            self._model = None

    def _enter(self, view: View) -> None:
        if not is_base(view) and self.adapter is None:
            raise UserError("no adapter was given, so only the base view can be opened")

    def _leave(self, view: View) -> None:
        if isinstance(view, NullView):
            self._pool.drop_null()

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
                self._pool.kind = "+".join(sorted({type(queries[place]).__name__ for place in places}))
                asks = [scoring.plan(queries[place], self.model, self.width) for place in places]
                found |= zip(places, answered(view, asks, progress or _nothing), strict=True)
        return [found[place] for place in range(len(queries))]

    def _scored(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens) -> list[Answer]:
        with _naming(view, asks):
            jobs = [job for ask in asks for job in ask.jobs]
            found = iter(packed.score(self._pool, view, jobs, self.limits(), progress))
        return [scoring.answer(ask, [next(found) for _ in ask.jobs]) for ask in asks]

    def _compared(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens) -> list[Answer]:
        with _naming(view, asks):
            jobs = [job for ask in asks for job in ask.jobs]
            found = iter(packed.compare(self._pool, view, jobs, self.limits(), progress))
        return [scoring.joined([part for _ in ask.jobs for part in next(found)]) for ask in asks]

    def _generated(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens) -> list[Answer]:
        replies: list[Answer] = [Generated("")] * len(asks)
        limits = self.limits()
        for group in group_jobs([ask.jobs[0] for ask in asks], limits, whole=False):
            context = self._pool.cleared(view, group.streams + 1, group.length, limits)
            mates = [asks[index] for index in group.jobs]
            queries = [ask.query for ask in mates if isinstance(ask.query, Generate)]
            try:
                prompts = [ask.tokens for ask in mates]
                texts = generate_group(self.model, context, queries, prompts, limits, progress, rerun=is_rerun(view))
            except NotFiniteError as error:
                raise NonFiniteError(str(view), str(queries[error.row])) from error
            for index, text in zip(group.jobs, texts, strict=True):
                replies[index] = text
        return replies

    def _embedded(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens) -> list[Answer]:
        if self._embedder is None:
            path = self.settings.embedder
            self._embedder = FileEmbedder(path, self.settings) if path else Embedder(self.model, self.settings)
        found: list[Answer] = []
        for ask in asks:
            assert isinstance(ask.query, Embed)
            (embedding,) = self._embedder.embed([ask.query.text])
            if not np.isfinite(embedding.vector).all():
                raise NonFiniteError("embedding model's" if self.settings.embedder else "base", str(ask.query))
            found.append(embedding)
            progress(len(ask.tokens))
        return found

    def _split(self, view: View, asks: Sequence[scoring.Ask], progress: OnTokens) -> list[Answer]:
        def said(token: int) -> bytes:
            return self.model.piece(token, control=True)

        return [Tokens(ask.tokens, scoring.pieces([*map(said, ask.tokens)])) for ask in asks]


def _nothing(tokens: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def _naming(view: View, asks: Sequence[scoring.Ask]) -> Iterator[None]:
    """Turns the error of a job into one that names the view and the query."""
    try:
        yield
    except packed.JobError as error:
        owners = [ask for ask in asks for _ in ask.jobs]
        raise NonFiniteError(str(view), str(owners[error.job].query)) from error
