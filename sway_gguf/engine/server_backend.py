"""A running llama-server as a backend: views by the scale that each request gives to the adapter.

The base's and the adapter's files are read here for their vocabulary and their names; weights stay with the server.
Knows views and queries; what a request looks like is `llama_server.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.stack import Adapted, Stack, as_stack, read_stack
from sway_gguf.core.answers import Answer, Generated
from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.loras import Lora
from sway_gguf.core.queries import Generate, NextToken, Query, Split
from sway_gguf.core.views import TUNED, BaseView, ScaledView, SetPart, View, is_rerun
from sway_gguf.engine import llama, scoring
from sway_gguf.engine.doors import DoorBackend, Work
from sway_gguf.engine.http import Server
from sway_gguf.engine.llama_server import About, Draw, LlamaServer, Scales, Step
from sway_gguf.engine.open_view import OnTokens
from sway_gguf.engine.reduce import NotFiniteError
from sway_gguf.engine.server_checks import checked
from sway_gguf.engine.server_limits import MARGIN, NAME, lacks
from sway_gguf.engine.server_scores import TOP, Row, Scoring
from sway_gguf.engine.side_by_side import side_by_side

KEY = "SWAY_GGUF_API_KEY"
_RERUN = 2.0**-10
"""Of the adapter's scale in the base's rerun: small enough to change little, large enough to round otherwise."""
_WAITS = (1.0,)
_PLANS = 8192


class ServerBackend(DoorBackend):
    """A llama-server that runs a base with, at choice, an adapter or a set of them.

    Args:
        base: the file that it serves, or its header where that was read already.
        adapter: that it was started with, by the name of its file, or a set; None for the base alone.
        settings: of the engine; only the context and `parallel`, the requests under way at once, mean anything here.
        endpoint: where it is.

    Raises:
        UserError: it is not there, is no llama-server, serves other tokens or adapters, or does not follow the scale.
    """

    def __init__(
        self,
        base: Path | BaseModel,
        adapter: Path | Adapted | None,
        settings: EngineSettings | None,
        endpoint: Endpoint,
    ) -> None:
        super().__init__()
        self.base = read_base(base) if isinstance(base, Path) else base
        self.settings = settings or EngineSettings()
        given = read_stack([Lora(adapter)], self.base) if isinstance(adapter, Path) else adapter
        self.stack = Stack(()) if given is None else as_stack(given)
        way_out = "give `timeout` in models.base more seconds"
        http = Server(endpoint.url, os.environ.get(KEY, ""), endpoint.timeout, waits=_WAITS, way_out=way_out)
        self._server, self._http = LlamaServer(http), http
        self._vocabulary = llama.Model(self.base.path, vocabulary_only=True)
        self._scoring = Scoring(self._vocabulary)
        self.width = self.settings.width(self.base.context_length) - MARGIN
        self._missing: list[float] = []
        self._plan = lru_cache(_PLANS)(self._planned)
        try:
            self._checked = checked(self._server, self.base, self.stack, self._vocabulary, self.width + MARGIN)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """What a result calls it."""
        return NAME

    @property
    def about(self) -> About:
        """What the server says of itself."""
        return self._checked.about

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the result has to know of the server."""
        if not self._missing or max(self._missing) <= 0.0:
            return self._checked.remarks
        mean, most = float(np.mean(self._missing)), max(self._missing)
        told = (
            f"of first-token distributions the server tells the likeliest {TOP:,} tokens: {mean:.1%} of the "
            f"probability lay outside them, {most:.1%} at most, and was spread evenly"
        )
        return (*self._checked.remarks, told)

    def lacks(self, asked: Query | View) -> str:
        """Null adapters, embeddings and whole distributions along a text."""
        return lacks(asked)

    def cache_identity(self) -> str:
        """Of the server: its address, model, build and adapters. What it will answer tomorrow is not known."""
        about = self.about
        return f"{self._server.root} {about.model} {about.build} {sorted(self._checked.numbers)}"

    def count_tokens(self, query: Query) -> int:
        """Tokens of the text, and those that are written."""
        ask = self._plan(query)
        return len(ask.tokens) + (query.max_new_tokens if isinstance(query, Generate) else 0)

    def work(self, view: View, queries: Sequence[Query], written: float = 1.0) -> Work:
        """A request for each query, and the tokens read and written."""
        asks = [self._plan(query) for query in queries]
        made = (ask.query.max_new_tokens * written for ask in asks if isinstance(ask.query, Generate))
        return Work(len(asks), sum(len(ask.tokens) for ask in asks) + sum(made))

    def layout(self) -> dict[str, Any]:
        """Where the answers came from, for the record."""
        about = self.about
        told = {"url": self._server.root, "model": about.model, "build": about.build, "context": about.context}
        return {**told, "requests at once": self._workers, "requests": self._http.requests, "top tokens": TOP}

    def close(self) -> None:
        """Release the vocabulary; the server goes on."""
        self._vocabulary.close()

    @property
    def _workers(self) -> int:
        """Requests under way at once: as many as the server has slots, unless the settings say less."""
        return min(self.settings.parallel or self.about.slots, self.about.slots)

    def _planned(self, query: Query) -> scoring.Ask:
        return scoring.plan(query, self._vocabulary, self.width)

    def _enter(self, view: View) -> None:
        if missing := lacks(view):
            raise UserError(f"{NAME} cannot give the view {view}: it has no {missing}")
        if not isinstance(view, BaseView) and not self.stack.members:
            raise UserError("no adapter was given, so only the base view can be opened")

    def _scales(self, view: View) -> Scales:
        """Of every adapter that the server has; one that is not told stands at 0 there as well."""
        scales = dict.fromkeys(self._checked.all_numbers, 0.0)
        for place, (member, number) in enumerate(zip(self.stack.members, self._checked.numbers, strict=True)):
            scales[number] += member.scale * _share(view, place)
        return scales

    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]:
        asked = _Asked(self._server, self._scales(view))
        answer = partial(self._one, view, asked)
        # A rerun meets other neighbours in the server's batches.
        order = range(len(queries)) if not is_rerun(view) else range(len(queries) - 1, -1, -1)
        found: dict[int, Answer] = {}
        row = [queries[place] for place in order]
        # Slots may share one cache: together they hold no more than one of them may.
        weights = [self.count_tokens(query) + MARGIN for query in row]
        answers = side_by_side(answer, row, self._workers, weights, self.about.context)
        for place, got in zip(order, answers, strict=True):
            found[place] = got
            if progress:
                progress(self.count_tokens(queries[place]))
        return [found[place] for place in range(len(queries))]

    def _one(self, view: View, asked: _Asked, query: Query) -> Answer:
        ask = self._plan(query)
        try:
            if isinstance(query, Generate):
                return self._reply(query, ask, asked)
            if isinstance(query, Split):
                return scoring.split(ask, self._vocabulary)
            if isinstance(query, NextToken):
                return self._row(ask, asked).logprobs
            if missing := lacks(query):
                raise UserError(f"{NAME} cannot tell {query}: it has no {missing}")
            return scoring.answer(ask, self._scoring.of(ask, asked))
        except NotFiniteError as error:
            # In the base's rerun it is the adapter's, which is there at a thousandth of its scale.
            raise NonFiniteError(str(TUNED if is_rerun(view) else view), str(query)) from error

    def _row(self, ask: scoring.Ask, asked: _Asked) -> Row:
        row = self._scoring.row(ask.jobs[0], asked)
        self._missing.append(row.missing)
        return row

    def _reply(self, query: Generate, ask: scoring.Ask, asked: _Asked) -> Generated:
        draw = Draw(query.temperature, query.top_p, query.seed)
        tokens = self._server.reply(ask.tokens, query.max_new_tokens, asked.scales, draw)[: query.max_new_tokens]
        if tokens and self._vocabulary.ends_text(tokens[-1]):
            tokens = tokens[:-1]
        text = b"".join(map(self._vocabulary.piece, tokens)).decode("utf-8", "replace")
        return Generated(text, tuple(tokens))


class _Asked(NamedTuple):
    """A server with the scales of a view."""

    server: LlamaServer
    scales: Scales

    def forced(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[Step]:
        return self.server.forced(prompt, wanted, self.scales)

    def pushed(self, prompt: Sequence[int], token: int, top: int = 1) -> Step:
        return self.server.pushed(prompt, token, self.scales, top)


def _share(view: View, place: int) -> float:
    """What of an adapter's own scale a view gives to it."""
    if isinstance(view, SetPart):
        return float(place in view.places)
    if isinstance(view, ScaledView):
        return view.scale
    return _RERUN if is_rerun(view) else 0.0
