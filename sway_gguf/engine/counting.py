"""Counts tokens with a model's own tokenizer, without loading its weights. Knows files and queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Query
from sway_gguf.engine import scoring
from sway_gguf.engine.limits import limits_of, manner_of
from sway_gguf.engine.llama import Model
from sway_gguf.engine.workload import tokens_fed


@contextmanager
def counter(base: Path, settings: EngineSettings, trained: int) -> Iterator[Callable[[tuple[Query, ...]], int]]:
    """A function from queries that are answered together to the tokens they feed.

    Args:
        base: the base GGUF; its vocabulary alone is loaded.
        settings: for the width of windows and what a batch holds.
        trained: the model's training context, from its header.
    """
    model = Model(base, vocabulary_only=True)
    try:
        width = settings.width(trained)
        limits = limits_of(model, settings, width)
        manner = manner_of(settings)

        def count(queries: tuple[Query, ...]) -> int:
            return tokens_fed([scoring.plan(query, model, width) for query in queries], limits, manner)

        yield cache(count)
    finally:
        model.close()
