"""A backend that asks another one nothing twice: one set of answers for many runs of the product's own path.

Knows views and queries. Answers of the base outlive an adapter; those of the tuned view and of its nulls go with it. A
query is answered beside other mates than it would have in a run of its own, which on a base of floats moves a
log-probability by 1e-5 or less, so it is meant for such bases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sway_gguf.artifacts.stack import Adapted
from sway_gguf.core.answers import Answer
from sway_gguf.core.queries import Query
from sway_gguf.core.views import View
from sway_gguf.engine.doors import DoorBackend, is_base
from sway_gguf.engine.open_view import OnTokens


class Remembering(DoorBackend):
    """`inner`, with a memory."""

    def __init__(self, inner: DoorBackend) -> None:
        super().__init__()
        self.inner = inner
        self._known: dict[View, dict[Query, Answer]] = {}

    def swap(self, adapter: Adapted) -> bool:
        """Measure another adapter from now on; what is known of the base stays."""
        self._known = {view: answers for view, answers in self._known.items() if is_base(view)}
        return self.inner.swap(adapter)

    def forget(self) -> None:
        """All of it, as for another text."""
        self._known.clear()

    @property
    def name(self) -> str:
        """The inner one's."""
        return self.inner.name

    def cache_identity(self) -> str:
        """The inner one's."""
        return self.inner.cache_identity()

    def count_tokens(self, query: Query) -> int:
        """The inner one's."""
        return self.inner.count_tokens(query)

    def layout(self) -> dict[str, Any]:
        """The inner one's."""
        return self.inner.layout()

    def shows_noise(self, queries: Sequence[Query]) -> bool:
        """The inner one's."""
        return self.inner.shows_noise(queries)

    def close(self) -> None:
        """Close the inner one."""
        self.inner.close()

    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]:
        known = self._known.setdefault(view, {})
        new = [query for query in dict.fromkeys(queries) if query not in known]
        if new:
            with self.inner.open(view) as opened:
                known.update(zip(new, opened.answer(new, progress), strict=True))
        return [known[query] for query in queries]
