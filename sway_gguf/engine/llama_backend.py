"""The llama.cpp backend: one base in memory, adapters swapped in, queries answered in packed batches.

Knows views, files and batches; nothing of probes, specs or statistics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora import fits, read_lora
from sway_gguf.core.answers import Answer
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.queries import NextToken, Query
from sway_gguf.core.views import BaseView, NullView, View
from sway_gguf.engine import llama, scoring
from sway_gguf.engine.contexts import ContextPool
from sway_gguf.engine.doors import DoorBackend, Progress, Sampling, is_base
from sway_gguf.engine.generate import generate_group
from sway_gguf.engine.packing import CELL, Job, Limits, Stretch, group_jobs, steps, stream_length
from sway_gguf.engine.reduce import NotFiniteError, log_softmax_row, target_logprobs
from sway_gguf.engine.settings import EngineSettings

_OUTPUT_BYTES = 64 << 20
"""Bounds the logits that llama.cpp holds at a time, whatever the vocabulary."""

_CONTEXT_CELLS = 32 * CELL
"""Tokens of KV cache per context, where one text needs no more."""


class LlamaBackend(DoorBackend):
    """A base GGUF with, at choice, a LoRA GGUF, in llama.cpp.

    Raises:
        UserError: a file that cannot be used, or an adapter that does not fit the base.
        EngineError: llama.cpp refused what the checks let pass.
    """

    def __init__(self, base: Path, adapter: Path | None, settings: EngineSettings | None = None) -> None:
        super().__init__()
        self.base = read_base(base)
        wanted = settings or EngineSettings()
        self.settings = replace(wanted, threads=wanted.thread_count(self.base.parameters))
        self.adapter = read_lora(adapter) if adapter else None
        if self.adapter:
            fits(self.adapter, self.base)
        self._model: llama.Model | None = llama.Model(base, gpu_layers=self.settings.gpu_layers)
        self._pool = ContextPool(self._model, self.settings, self.adapter)

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

    def limits(self, rerun: bool = False) -> Limits:
        """What a batch may hold; another layout for `rerun`, so that base against base shows the noise."""
        streams, batch = self.settings.streams, self.settings.batch
        if rerun:
            streams, batch = max(1, streams // 3), max(1, batch // 2)
        streams = min(streams, batch)
        outputs = max(streams, min(batch, _OUTPUT_BYTES // (4 * self.model.vocabulary)))
        return Limits(batch, outputs, streams, max(_CONTEXT_CELLS, stream_length(self.width)))

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
            "kv_type": self.settings.kv_type,
            "flash_attention": self.settings.flash_attention,
            "threads": self.settings.threads,
            "gpu_layers": self.settings.gpu_layers,
        }

    def count_tokens(self, query: Query) -> int:
        """Tokens fed to answer `query` once."""
        return sum(len(job.tokens) for job in scoring.plan(query, self.model, self.width).jobs)

    def cache_identity(self) -> str:
        """A digest of the files' contents, the engine's version and the settings."""
        digest = hashlib.sha256(f"{llama.version()} {self.settings}".encode())
        for path in (self.base.path, self.adapter.path if self.adapter else None):
            if path is not None:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def close(self) -> None:
        """Release contexts, adapters and the model."""
        if self._model is not None:
            self._pool.close()
            self._model.close()
            self._model = None

    def __enter__(self) -> LlamaBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enter(self, view: View) -> None:
        if not is_base(view) and self.adapter is None:
            raise UserError("no adapter was given, so only the base view can be opened")

    def _leave(self, view: View) -> None:
        if isinstance(view, NullView):
            self._pool.drop_null()

    def _answer(self, view: View, queries: Sequence[Query], progress: Progress | None) -> list[Answer]:
        asks = [scoring.plan(query, self.model, self.width) for query in queries]
        jobs = [job for ask in asks for job in ask.jobs]
        limits = self.limits(rerun=isinstance(view, BaseView) and view.rerun)
        found: list[list[NDArray[Any]]] = [[] for _ in jobs]
        for group in group_jobs(jobs, limits):
            context = self._pool.cleared(view, group.streams, group.length, limits)
            mates = [jobs[index] for index in group.jobs]
            for stretches in steps(mates, limits):
                scores = _evaluate(context, mates, stretches, _naming(view, asks, group.jobs))
                for stretch, score in zip(stretches, scores, strict=True):
                    if score is not None:
                        found[group.jobs[stretch.place]].append(score)
                if progress:
                    progress(sum(stretch.stop - stretch.start for stretch in stretches))
        whole = iter([np.concatenate(parts) for parts in found])
        return [scoring.answer(ask, [next(whole) for _ in ask.jobs]) for ask in asks]

    def _generate(self, view: View, prompts: Sequence[str], sampling: Sampling) -> list[str]:
        tokens = [list(scoring.plan(NextToken(prompt), self.model, self.width).tokens) for prompt in prompts]
        replies = [""] * len(prompts)
        limits = self.limits()
        jobs = [Job((*ids, *[0] * sampling.max_new_tokens), len(ids) - 1) for ids in tokens]
        for group in group_jobs(jobs, limits):
            context = self._pool.cleared(view, group.streams, group.length, limits)
            mates = [tokens[index] for index in group.jobs]
            try:
                texts = generate_group(self.model, context, mates, sampling, limits)
            except NotFiniteError as error:
                query = NextToken(prompts[group.jobs[error.row]])
                raise NonFiniteError(str(view), str(query)) from error
            for index, text in zip(group.jobs, texts, strict=True):
                replies[index] = text
        return replies


def _evaluate(
    context: llama.Context,
    mates: Sequence[Job],
    stretches: Sequence[Stretch],
    blame: Callable[[int], NonFiniteError],
) -> list[NDArray[Any] | None]:
    """Run one call; for each stretch what its logits reduce to, or None where none were wanted."""
    pieces = [
        llama.Piece(s.place, s.start, mates[s.place].tokens[s.start : s.stop], mates[s.place].first_output - s.start)
        for s in stretches
    ]
    logits = context.decode(pieces)
    scores: list[NDArray[Any] | None] = []
    row = 0
    for stretch in stretches:
        job = mates[stretch.place]
        first = max(stretch.start, job.first_output)
        count = max(0, stretch.stop - first)
        try:
            scores.append(_reduce(logits[row : row + count], job, first - job.first_output))
        except NotFiniteError as error:
            raise blame(stretch.place) from error
        row += count
    return scores


def _reduce(logits: NDArray[np.float32], job: Job, done: int) -> NDArray[Any] | None:
    if not len(logits):
        return None
    if not job.targets:
        return log_softmax_row(logits[0])
    return target_logprobs(logits, job.targets[done : done + len(logits)])


def _naming(view: View, asks: Sequence[scoring.Ask], group: Sequence[int]) -> Callable[[int], NonFiniteError]:
    """Builds the error that names the view and the query of the job in a given place."""

    def blame(place: int) -> NonFiniteError:
        owners = [ask for ask in asks for _ in ask.jobs]
        return NonFiniteError(str(view), str(owners[group[place]].query))

    return blame
