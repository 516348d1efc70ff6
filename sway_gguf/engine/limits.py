"""What a batch may hold under given settings, and how a result records the layout. Knows settings and sizes."""

from __future__ import annotations

from typing import Any

from sway_gguf.core.engine_settings import EngineSettings, Workers
from sway_gguf.engine.packing import CELL, Limits, stream_length

_OUTPUT_BYTES = 48 << 20
"""Bounds the logits that llama.cpp holds at a time, whatever the vocabulary."""
_CONTEXT_CELLS = 32 * CELL
"""Tokens of KV cache per context, where one text needs no more."""


def limits_of(settings: EngineSettings, vocabulary: int, width: int) -> Limits:
    """What a batch may hold.

    Args:
        settings: of the engine.
        vocabulary: tokens in it.
        width: tokens evaluated in one piece at most.
    """
    batch = settings.batch
    streams = min(settings.streams, batch)
    outputs = max(streams, min(batch, _OUTPUT_BYTES // (4 * vocabulary)))
    return Limits(batch, outputs, streams, max(_CONTEXT_CELLS, stream_length(width)))


def record_of(settings: EngineSettings, limits: Limits, width: int, workers: Workers) -> dict[str, Any]:
    """The layout for the record; threads and parallel change the time a run takes, and no number in it."""
    return {
        "context": width,
        "batch": limits.batch,
        "ubatch": settings.ubatch,
        "outputs": limits.outputs,
        "streams": limits.streams,
        "cells": limits.cells,
        "kv_type": settings.kv_type,
        "flash_attention": settings.flash_attention,
        "threads": settings.threads,
        "parallel": workers.number,
        "gpu_layers": settings.gpu_layers,
    }
