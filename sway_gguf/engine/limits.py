"""What a batch may hold under given settings, and how a result records the layout. Knows settings and sizes."""

from __future__ import annotations

from typing import Any, Protocol

from sway_gguf.core.engine_settings import EngineSettings, Workers
from sway_gguf.engine.packing import CELL, Limits, stream_length
from sway_gguf.engine.reading import Manner

_OUTPUT_BYTES = 48 << 20
"""Bounds the logits that llama.cpp holds at a time, whatever the vocabulary."""
_CONTEXT_CELLS = 32 * CELL
"""Tokens of KV cache per context, where one text needs no more."""


class Kind(Protocol):
    """The part of a model that decides what a batch may hold; its vocabulary alone tells both."""

    vocabulary: int
    recurrent: bool


def limits_of(model: Kind, settings: EngineSettings, width: int) -> Limits:
    """What a batch may hold where at most `width` tokens are evaluated in one piece."""
    streams = min(settings.streams, settings.batch)
    outputs = max(streams, min(settings.batch, _OUTPUT_BYTES // (4 * model.vocabulary)))
    cells = max(_CONTEXT_CELLS, stream_length(width))
    return Limits(settings.batch, outputs, streams, cells, share=not model.recurrent)


def manner_of(settings: EngineSettings) -> Manner:
    """How prompts of replies are read: side by side wherever the bits of one do not hang on its mates.

    With flash attention on the CPU they do, by how many of a prompt's tokens stand in one step. On a GPU they hang on
    the width of each step that writes, too, whatever reads.
    """
    return Manner(not settings.flash_attention or settings.layers != 0, min(settings.ubatch, settings.batch))


def record_of(settings: EngineSettings, limits: Limits, width: int, workers: Workers) -> dict[str, Any]:
    """The layout for the record; threads and parallel change the time a run takes, and no number in it."""
    return {
        "context": width,
        "batch": limits.batch,
        "ubatch": settings.ubatch,
        "outputs": limits.outputs,
        "streams": limits.streams,
        "cells": limits.cells,
        "shared_prefixes": limits.share,
        "kv_type": settings.kv_type,
        "flash_attention": settings.flash_attention,
        "threads": settings.threads,
        "parallel": workers.number,
        "gpu_layers": settings.gpu_layers,
    }
