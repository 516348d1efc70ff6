"""Measures one model file, with or without an adapter, in a process of its own. Knows files and queries.

A fresh process tells peak memory and load time honestly, and nothing of one model is left when the next is loaded.
"""

from __future__ import annotations

import io
import sys
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import CompletionScore, RollingLogprob
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Generate, NextToken, Query
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.engine.child import in_child
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.factory import open_backend

Floats = NDArray[np.float32]
_NEW_TOKENS, _REPLIES = 16, 4
_PARTS = ("sections", "general", "rows")


@dataclass(frozen=True)
class Asked:
    """What every model is asked: the same for all, in the same order.

    Attributes:
        sections: scores of the document.
        general: scores of unrelated text.
        prompts: next tokens.
    """

    sections: tuple[Query, ...]
    general: tuple[Query, ...]
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """One view's answers: mean log-probability per section and piece [n], and next-token rows [prompts, V]."""

    sections: Floats
    general: Floats
    rows: Floats


@dataclass(frozen=True)
class Measured:
    """A file's answers and its cost; `tuned` is None without an adapter."""

    base: Side
    tuned: Side | None
    load_seconds: float
    peak_memory: int | None
    prompt_speed: float
    generation_speed: float


def measured(base: Path, adapter: Path | None, asked: Asked, settings: EngineSettings) -> Measured:
    """Measure in a child process, which is gone afterwards.

    Raises:
        UserError, EngineError, NonFiniteError: as the backend does, and EngineError where the process dies.
    """
    return in_child(_measure, base, adapter, asked, settings)


def _measure(base: Path, adapter: Path | None, asked: Asked, settings: EngineSettings) -> Measured:
    start = time.perf_counter()
    with open_backend(base, adapter, settings) as backend:
        with backend.as_base() as view:
            view.answer([NextToken("The")])
        loaded = time.perf_counter() - start
        first = time.perf_counter()
        own = _side(backend, BASE, asked)
        seconds = time.perf_counter() - first
        read = backend.count_tokens_of(_queries(asked))
        tuned = _side(backend, TUNED, asked) if adapter else None
        written = _writing_speed(backend, TUNED if adapter else BASE, asked)
    return Measured(own, tuned, loaded, _peak_memory(), read / seconds, written)


def _queries(asked: Asked) -> list[Query]:
    return [*asked.sections, *asked.general, *map(NextToken, asked.prompts)]


def _side(backend: DoorBackend, view: View, asked: Asked) -> Side:
    with backend.open(view) as opened:
        answers = opened.answer(_queries(asked))
    scores = [found.mean_logprob for found in answers if isinstance(found, RollingLogprob | CompletionScore)]
    rows = [found for found in answers if isinstance(found, np.ndarray)]
    cut = len(asked.sections)
    return Side(np.array(scores[:cut], np.float32), np.array(scores[cut:], np.float32), np.stack(rows))


def written_to(prompt: str) -> Generate:
    """The reply whose speed is measured; whatever prompt is asked has to leave room for it."""
    return Generate(prompt, _NEW_TOKENS)


def _writing_speed(backend: DoorBackend, view: View, asked: Asked) -> float:
    """Tokens per second of one reply after the other, as a user at a prompt has it."""
    made, start = 0, time.perf_counter()
    with backend.open(view) as opened:
        for prompt in asked.prompts[:_REPLIES]:
            reply = opened.answer([written_to(prompt)])[0]
            made += len(getattr(reply, "token_ids", ())) or 1
    return made / (time.perf_counter() - start)


def _peak_memory() -> int | None:
    """Bytes that this process held at most; None on systems that do not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def written(found: Measured, size: int) -> bytes:
    """What was measured and the file's size, as arrays in a zip."""
    sides = {"base": found.base} | ({"tuned": found.tuned} if found.tuned else {})
    arrays = {f"{name}_{part}": getattr(side, part) for name, side in sides.items() for part in _PARTS}
    memory = -1 if found.peak_memory is None else found.peak_memory
    cost = np.array([found.load_seconds, memory, found.prompt_speed, found.generation_speed, size], np.float64)
    file = io.BytesIO()
    np.savez_compressed(file, cost=cost, **arrays)
    return file.getvalue()


def read(data: bytes, asked: Asked, *, with_tuned: bool) -> tuple[Measured, int]:
    """What `written` made of answers to `asked`.

    Raises:
        ValueError: it did not.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            load, memory, reading, writing, size = arrays["cost"].tolist()
            base = _side_in(arrays, "base", asked)
            tuned = _side_in(arrays, "tuned", asked) if with_tuned else None
    except (ValueError, TypeError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"not what was measured: {error}") from error
    peak = None if memory < 0 else int(memory)
    return Measured(base, tuned, load, peak, reading, writing), int(size)


def _side_in(arrays: Mapping[str, Floats], name: str, asked: Asked) -> Side:
    side = Side(*(arrays[f"{name}_{part}"] for part in _PARTS))
    lengths = [len(getattr(side, part)) for part in _PARTS]
    if lengths != [len(asked.sections), len(asked.general), len(asked.prompts)]:
        raise ValueError(f"{lengths} answers")
    if not all(np.isfinite(part).all() for part in (side.sections, side.general)):
        raise ValueError("a number is not finite")
    return side
