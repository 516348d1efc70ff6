"""The doors of a backend: one view at a time, and what it tells of its work.

A backend of ours is a subclass that answers lists of queries for one view. Knows nothing of how it does so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, Self

from sway_gguf.artifacts.stack import Adapted
from sway_gguf.core.answers import Answer
from sway_gguf.core.engine_settings import Workers
from sway_gguf.core.errors import NonFiniteError, ViewError
from sway_gguf.core.queries import Generate, Query
from sway_gguf.core.views import (
    BASE,
    DEFAULT_INIT_SCALE,
    TUNED,
    BaseView,
    Design,
    Energy,
    NullDesign,
    NullView,
    ScaledView,
    View,
)
from sway_gguf.engine.crew import Crew
from sway_gguf.engine.open_view import OnTokens, OpenView
from sway_gguf.engine.timing import OnBatch

_SENTINEL = "The"


class Work(NamedTuple):
    """Calls of the engine, and the tokens fed over all of them."""

    calls: float
    tokens: float


class DoorBackend(ABC):
    """A backend's doors. Subclasses answer and generate for a view; at most one view is open at a time."""

    def __init__(self) -> None:
        self._open: OpenView | None = None

    @contextmanager
    def open(self, view: View) -> Iterator[OpenView]:
        """Open any view.

        Raises:
            ViewError: another view is open.
        """
        if self._open is not None:
            raise ViewError(f"the {self._open.id} view is still open; leave its block before you enter {view}")
        self._open = self._view(view)
        try:
            self._enter(view)
            yield self._open
        finally:
            self._open = None
            self._leave(view)

    def as_base(self) -> AbstractContextManager[OpenView]:
        """The base alone."""
        return self.open(BASE)

    def as_finetuned(self) -> AbstractContextManager[OpenView]:
        """Base and adapter."""
        return self.open(TUNED)

    def as_scaled_adapter(self, lam: float) -> AbstractContextManager[OpenView]:
        """Base and `lam` times the adapter's update."""
        return self.open(ScaledView(float(lam)))

    def as_null_adapter(
        self,
        seed: int,
        *,
        init_scale: float = DEFAULT_INIT_SCALE,
        rank_scale: float = 1.0,
        design: Design = "gaussian",
        energy: Energy = "rank",
    ) -> AbstractContextManager[OpenView]:
        """Base and a null adapter drawn with `seed`. The protocol's own null is `gaussian`."""
        return self.open(NullView(seed, NullDesign(design, rank_scale, init_scale, energy)))

    def preflight_finite_check(self) -> tuple[bool, str]:
        """(True, "") when base and tuned view give finite numbers for a short text, else (False, why)."""
        for view in (BASE, TUNED):
            try:
                with self.open(view) as opened:
                    opened.next_token_dist(_SENTINEL, top_k=1)
            except NonFiniteError as error:
                return False, str(error)
        return True, ""

    @property
    def name(self) -> str:
        """What a result calls it."""
        return type(self).__name__

    @property
    def original(self) -> Any:
        """What a probe of the `sway` project's form is given to ask: `as_base`, `as_finetuned` and the rest."""
        return self

    def lacks(self, asked: Query | View) -> str:
        """What it cannot give of a query or a view, in a few words; "" where it can."""
        return ""

    @abstractmethod
    def cache_identity(self) -> str:
        """A string that changes when an answer may."""

    @abstractmethod
    def count_tokens(self, query: Query) -> int:
        """Tokens fed to answer `query` alone."""

    def count_tokens_of(self, queries: Sequence[Query]) -> int:
        """Tokens fed to answer `queries` together, which may be fewer than those of each alone."""
        return sum(map(self.count_tokens, queries))

    @property
    def remarks(self) -> tuple[str, ...]:
        """On what computes the answers, for the reader of a result."""
        return ()

    def layout(self) -> dict[str, Any]:
        """How batches are laid out, for the record."""
        return {}

    def work(self, view: View, queries: Sequence[Query], written: float = 1.0) -> Work:
        """Calls and tokens that answering `queries`, all of one kind, takes: here a call for each query.

        Args:
            view: which answers.
            queries: of one kind.
            written: share of the tokens asked for that a reply has before it ends.
        """
        fed = (query.max_new_tokens * written if isinstance(query, Generate) else 0.0 for query in queries)
        return Work(len(queries), self.count_tokens_of(queries) + sum(fed))

    def swap(self, adapter: Adapted) -> bool:
        """Measure another adapter, or set of them, from now on without loading the base again.

        Returns:
            Whether it does; a backend that cannot has to be opened anew.
        """
        return False

    def workers(self, views: int) -> Workers:
        """How many twins should answer so many views side by side, and on how many threads each; one is itself."""
        return Workers(1, 1)

    def twin(self, crew: Crew) -> DoorBackend | None:
        """Another backend on the same loaded model, for another thread of Python; None where there can be none.

        It evaluates on the threads that `crew` has for it, and is to be closed. Raises ViewError where a view is open.
        """
        return None

    def trace(self, on_batch: OnBatch) -> None:
        """From now on, tell the time of each batch, where the backend knows of batches."""
        return

    @property
    def tokens_from_store(self) -> int:
        """Tokens of answers that were read from a store in place of being evaluated; a twin counts its own."""
        return 0

    def unkept(self) -> AbstractContextManager[None]:
        """A block in which everything is evaluated, whatever a store holds: for whoever times it."""
        return nullcontext()

    @abstractmethod
    def close(self) -> None:
        """Release the model. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shows_noise(self, queries: Sequence[Query]) -> bool:
        """Whether the base's rerun computes the answers to all of `queries` otherwise than the base does.

        Where it does not, base against base is 0 whatever the noise, and says nothing.
        """
        return bool(queries)

    def _check_closed(self) -> None:
        if self._open is not None:
            raise ViewError(f"the {self._open.id} view is still open; leave its block first")

    def _check_open(self, view: OpenView) -> None:
        if self._open is not view:
            raise ViewError(f"the {view.id} view was used after its block ended")

    def _view(self, view: View) -> OpenView:
        """What `open` yields."""
        return OpenView(self, view)

    def _enter(self, view: View) -> None:
        """Prepare `view`; on an exception the view does not open."""

    def _leave(self, view: View) -> None:
        """Undo `_enter`."""

    @abstractmethod
    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]: ...


def is_base(view: View) -> bool:
    """Whether `view` runs no adapter at all."""
    return isinstance(view, BaseView) or (isinstance(view, ScaledView) and view.scale == 0.0)
