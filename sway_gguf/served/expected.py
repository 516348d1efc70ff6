"""What base and adapter predict here: the prompts on which they differ most, and each candidate's answers to them.

Everything comes from the backend that the run's files open, and is asked once. Knows views and prompts; no server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from sway_gguf.collect import collect, groups_of
from sway_gguf.core.answers import LogProbs
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Generate, NextToken, Query
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.served.asking import REPLY_TOKENS
from sway_gguf.served.candidates import HALF, Candidate, part_view
from sway_gguf.served.prompts import CHAT, TEXT, Prompt, chat_pool, picked, text_pool
from sway_gguf.suite.prepare import Prepared

Advance = Callable[[str, int], None]
Progress = Callable[..., AbstractContextManager[Advance]]
"""Shows how far work of a total is, in a unit, while a block lasts."""


class Expected:
    """Predictions of a run's base and adapter.

    Args:
        prepared: the run.
        backend: of its files, open.
        progress: shows how far it is.
    """

    def __init__(self, prepared: Prepared, backend: DoorBackend, progress: Progress) -> None:
        self.prepared = prepared
        self._backend, self._progress = backend, progress
        self._rows: dict[tuple[View, str], LogProbs] = {}
        self._replies: dict[tuple[View, str], str] = {}

    def prompts(self, others: Sequence[str], count: int, seed: int) -> dict[str, tuple[Prompt, ...]]:
        """At most `count` prompts for each way of asking, those that tell most first; none where it says nothing.

        Raises:
            UserError: there is nothing to ask.
        """
        texts, room = self.prepared.texts, self.prepared.room
        speech = texts.speech
        pools = {TEXT: text_pool(texts.material.sections, others, speech, seed)}
        if speech.template is not None:
            pools[CHAT] = chat_pool(speech, seed)
        pools = {way: [p for p in pool if room.holds(NextToken(p.text))] for way, pool in pools.items()}
        asked = list(dict.fromkeys(prompt.text for pool in pools.values() for prompt in pool))
        if not asked:
            raise UserError("no prompt fits into the context; give more of it with -c")
        places = range(len(self.prepared.stack.members))
        lacking = [part_view([other for other in places if other != place]) for place in places if len(places) > 1]
        views: list[View] = [BASE, HALF, TUNED, *lacking]
        self._ask([(view, NextToken(text)) for view in views for text in asked])
        base, half, tuned, *without = ({text: self._rows[view, text] for text in asked} for view in views)
        found = {way: picked(pool, count, base, half, tuned, without) for way, pool in pools.items()}
        kept = {prompt.text for prompts in found.values() for prompt in prompts}
        self._rows = {key: row for key, row in self._rows.items() if key[1] in kept}
        return found

    def answer(self, candidates: Sequence[Candidate], prompts: Sequence[Prompt], *, replies: bool = False) -> None:
        """Have what `row`, or `text` for replies, gives of all of these."""
        have = self._replies if replies else self._rows
        needed = dict.fromkeys((each.view, each.text(prompt)) for each in candidates for prompt in prompts)
        missing = [key for key in needed if key not in have]
        self._ask([(view, Generate(text, REPLY_TOKENS) if replies else NextToken(text)) for view, text in missing])

    def row(self, candidate: Candidate, prompt: Prompt) -> LogProbs:
        """[V] log-probabilities of the first token as the candidate predicts them, not shaped by its temperature."""
        return self._rows[candidate.view, candidate.text(prompt)]

    def reply(self, candidate: Candidate, prompt: Prompt) -> str:
        """The beginning of the candidate's greedy reply."""
        return self._replies[candidate.view, candidate.text(prompt)]

    def _ask(self, wanted: Sequence[tuple[View, Query]]) -> None:
        by_view: dict[View, list[Query]] = {}
        for view, query in wanted:
            by_view.setdefault(view, []).append(query)
        total = sum(self._backend.count_tokens_of(queries) for queries in by_view.values())
        if not total:
            return
        with self._progress(total) as advance:
            for view, queries in by_view.items():
                self._take(view, queries, advance)

    def _take(self, view: View, queries: Sequence[Query], advance: Advance) -> None:
        answers = collect(self._backend, view, groups_of({"served": queries}), lambda done: advance(str(view), done))
        for query in queries:
            if isinstance(query, Generate):
                self._replies[view, query.prompt] = answers.generated(query).text
            elif isinstance(query, NextToken):
                self._rows[view, query.prompt] = np.asarray(answers.next_token(query), np.float32)
