"""Fits a run into a time: measures the machine on the model at hand, and cuts in a stated order.

First the null profile goes, then items down to eight of each kind, then nulls down to five; every cut is told in the
report. Knows specs, schedules and a backend's speed; nothing of what a probe means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.queries import Generate, Query, Rolling
from sway_gguf.core.views import TUNED
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import general_prompts, general_sections
from sway_gguf.spec.model import Spec
from sway_gguf.suite.prepare import Prepared, prepare
from sway_gguf.suite.run import plan

_ITEMS = (24, 16, 8)
_NULLS = (14, 9, 5)
_TEXTS, _PROMPTS, _NEW_TOKENS = 3, 8, 8
_FULL, _PATIENCE = 4, 4.0


class Speed(NamedTuple):
    """Seconds per token, read and written."""

    reading: float
    writing: float

    def of(self, query: Query, tokens: int) -> float:
        """Seconds that a query of so many tokens takes."""
        written = query.max_new_tokens if isinstance(query, Generate) else 0
        return (tokens - written) * self.reading + written * self.writing


def measured_speed(backend: LlamaBackend) -> Speed:
    """Time some reading and some writing on the tuned view; more of both where that was over in a moment.

    Small batches are slower per token than the run's own, so a fast model is timed on batches as full as those. A
    model whose numbers are not finite takes no time: its run ends at once and says so.
    """
    try:
        speed = _timed(backend, 1)
    except NonFiniteError:
        return Speed(0.0, 0.0)
    small = seconds_for(speed, backend, 1)
    return _timed(backend, _FULL) if small * _FULL < _PATIENCE else speed


def seconds_for(speed: Speed, backend: LlamaBackend, times: int) -> float:
    """How long the timing itself takes."""
    return sum(speed.of(query, backend.count_tokens(query)) for query in _queries(times))


def _queries(times: int) -> list[Query]:
    texts = general_sections()[: _TEXTS * times]
    prompts = general_prompts()[: _PROMPTS * times]
    return [*map(Rolling, texts), *(Generate(prompt, _NEW_TOKENS) for prompt in prompts)]


def _timed(backend: LlamaBackend, times: int) -> Speed:
    texts = [query for query in _queries(times) if isinstance(query, Rolling)]
    replies = [query for query in _queries(times) if isinstance(query, Generate)]
    read = sum(map(backend.count_tokens, texts))
    with backend.open(TUNED) as view:
        view.answer([texts[0], replies[0]])
        start = time.perf_counter()
        view.answer(texts)
        middle = time.perf_counter()
        view.answer(replies)
        end = time.perf_counter()
    return Speed((middle - start) / read, (end - middle) / (len(replies) * _NEW_TOKENS))


def seconds_of(prepared: Prepared, backend: LlamaBackend, speed: Speed) -> float:
    """How long the run will take, about."""

    @cache
    def cost(query: Query) -> float:
        return speed.of(query, backend.count_tokens(query))

    visits = plan(prepared).visits
    return sum(sum(cost(q) for unit in v.units for q in unit.queries) + sum(map(cost, v.foreseen)) for v in visits)


def within(prepared: Prepared, seconds: float, estimate: Callable[[Prepared], float]) -> Prepared:
    """The run, cut until `estimate` fits into `seconds`; its spec carries a remark for every cut.

    A run that does not fit even so is left at its shortest, and the last remark says how long it will take.
    """
    spec, told, needed = prepared.spec, dict[str, str](), estimate(prepared)
    for field, value, remark in _cuts(spec):
        if needed <= seconds:
            break
        spec = spec.model_copy(update={"defaults": spec.defaults.model_copy(update={field: value})})
        told[field] = remark
        prepared = prepare(spec)
        needed = estimate(prepared)
    remarks = list(spec.remarks)
    if told:
        remarks.append(f"cut to keep to {seconds:g} s: {', '.join(told.values())}")
    if needed > seconds:
        remarks.append(f"nothing more can be cut: about {needed:.0f} s where {seconds:g} s were asked for")
    return prepared.with_remarks(tuple(remarks))


def _cuts(spec: Spec) -> Iterator[tuple[str, object, str]]:
    """(field of the defaults, its value, words) of the cuts that change something, in order."""
    if spec.defaults.null_profile:
        yield "null_profile", [], "nulls of other ranks dropped"
    for most in _ITEMS:
        if spec.defaults.items is None or spec.defaults.items > most:
            yield "items", most, f"at most {most} items of each kind"
    for nulls in _NULLS:
        if spec.defaults.nulls > nulls:
            yield "nulls", nulls, f"{nulls} nulls"
