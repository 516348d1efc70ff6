"""Counts tokens with a model's own tokenizer, without loading its weights. Knows files and queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Query
from sway_gguf.engine import scoring
from sway_gguf.engine.llama import Model


@contextmanager
def counter(base: Path, settings: EngineSettings, trained: int) -> Iterator[Callable[[Query], int]]:
    """A function from a query to the tokens it feeds.

    Args:
        base: the base GGUF; its vocabulary alone is loaded.
        settings: for the width of windows.
        trained: the model's training context, from its header.
    """
    model = Model(base, vocabulary_only=True)
    try:
        width = settings.width(trained)
        yield cache(lambda query: sum(len(job.tokens) for job in scoring.plan(query, model, width).jobs))
    finally:
        model.close()
