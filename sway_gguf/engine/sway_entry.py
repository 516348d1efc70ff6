"""The entry point by which the `sway` project (PyPI `dlm-sway`) builds our backend.

In its sway.yaml: `kind: custom`, `entry_point: sway_gguf.engine.sway_entry:SwayBackend`, `base:` the base GGUF,
`adapter:` the LoRA GGUF and, where wanted, `endpoint:` settings. Knows that project's constructor by shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sway_gguf.core.answers import Answer, RollingLogprob, TokenDist
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import at_home
from sway_gguf.core.queries import Completion, Generate, NextToken, Query, Rolling
from sway_gguf.core.views import (
    DEFAULT_INIT_SCALE,
    BaseView,
    Design,
    Energy,
    NullDesign,
    ScaledView,
    SetPart,
    View,
)
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.open_view import OnTokens, OpenView
from sway_gguf.engine.sway_family import as_theirs, instrumentation
from sway_gguf.engine.sway_settings import BaseSpec, settings_of

_DOORS = {
    NextToken: "next_token_dist",
    Rolling: "rolling_logprob",
    Completion: "logprob_of",
    Generate: "generate",
}


class SwayView(OpenView):
    """A view whose scores pass through dlm-sway's cache, trace and counters where they are."""

    def __init__(self, backend: SwayBackend, view: View) -> None:
        super().__init__(backend, view)
        self.id = _label(view)
        self._inst = backend._inst

    def answer(self, queries: Sequence[Query], progress: OnTokens | None = None) -> list[Answer]:
        """As `OpenView.answer`, with errors that are dlm-sway's too."""
        with as_theirs(_DOORS.get(type(queries[0]), "answer") if queries else ""):
            return super().answer(queries, progress)

    def next_token_dist_many(self, prompts: Sequence[str], *, top_k: int = 256) -> list[TokenDist]:
        """List form of `next_token_dist`."""
        compute = super().next_token_dist_many
        return self._recorded("next_token_dist", prompts, top_k, lambda at: compute(at, top_k=top_k), prompts)

    def rolling_logprob_many(self, texts: Sequence[str]) -> list[RollingLogprob]:
        """List form of `rolling_logprob`."""
        return self._recorded("rolling_logprob", texts, 0, super().rolling_logprob_many, texts)

    def logprob_of_many(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """List form of `logprob_of`, on (prompt, completion) pairs."""
        keys = ["\0".join(pair) for pair in pairs]
        return self._recorded("logprob_of", keys, 0, super().logprob_of_many, pairs)

    def _recorded(
        self,
        door: str,
        keys: Sequence[str],
        top_k: int,
        compute: Callable[[list[Any]], list[Any]],
        given: Sequence[Any],
    ) -> list[Any]:
        """`compute` of what the cache does not hold; releases before the batch door know single calls alone."""
        self._backend._check_open(self)
        if self._inst is None:
            return compute(list(given))
        inst = self._inst
        if len(keys) > 1 and hasattr(inst, "cached_batch"):
            return list(
                inst.cached_batch(door, self.id, keys, top_k, lambda at: compute([given[place] for place in at]))
            )
        return [
            inst.cached(door, self.id, key, top_k, lambda one=one: compute([one])[0])
            for key, one in zip(keys, given, strict=True)
        ]


class SwayBackend(LlamaBackend):
    """`LlamaBackend` under the constructor that `dlm-sway` calls.

    Without an adapter it has a base view alone, which is what `differential: false` asks of its base side.

    Raises:
        UserError: a file or a setting that cannot be used.
        EngineError: llama.cpp refused what the checks let pass. Both are dlm-sway's SwayError where it is installed.
    """

    def __init__(self, base_spec: BaseSpec, adapter_path: Path | None) -> None:
        self._inst = instrumentation()
        with as_theirs():
            settings, self.energy = settings_of(base_spec)
            super().__init__(at_home(base_spec.base), adapter_path, settings)

    @contextmanager
    def open(self, view: View) -> Iterator[OpenView]:
        """As `DoorBackend.open`, with errors that are dlm-sway's too."""
        with as_theirs(), super().open(view) as opened:
            yield opened

    def as_null_adapter(
        self,
        seed: int,
        *,
        init_scale: float = DEFAULT_INIT_SCALE,
        rank_scale: float = 1.0,
        design: Design = "gaussian",
        energy: Energy | None = None,
    ) -> AbstractContextManager[OpenView]:
        """As `DoorBackend.as_null_adapter`, with the energy that the settings name."""
        return super().as_null_adapter(
            seed, init_scale=init_scale, rank_scale=rank_scale, design=design, energy=energy or self.energy
        )

    def cache_identity(self) -> str:
        """Of the files, the engine and the settings; null statistics are kept under it."""
        return f"{super().cache_identity()} {self.energy}"

    def close(self) -> None:
        """Release the model and end the trace."""
        super().close()
        if self._inst is not None:
            self._inst.close()

    def _view(self, view: View) -> OpenView:
        return SwayView(self, view)

    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]:
        for query in queries:
            if isinstance(query, NextToken | Generate):
                self._check_length(query)
        return super()._answer(view, queries, progress)

    def _check_length(self, query: NextToken | Generate) -> None:
        """Before the engine's own check, whose way out is a flag that dlm-sway does not have."""
        room = query.max_new_tokens if isinstance(query, Generate) else 0
        tokens = len(self.model.tokenize(query.prompt))
        if tokens + room > self.width:
            more = f" and asks for {room} more" if room else ""
            raise UserError(
                f"{query}: the prompt has {tokens} tokens{more}, the context holds {self.width}; shorten it (of "
                f"prompt_collapse the context_lengths){self._longer()}"
            )

    def _longer(self) -> str:
        trained = self.model.trained_context
        return f', or set endpoint: "context={trained}"' if trained > self.width else ""


def _label(view: View) -> str:
    """dlm-sway's name of a view, under which it caches: unlike for whatever could answer unlike."""
    if isinstance(view, BaseView):
        return "base_rerun" if view.rerun else "base"
    if isinstance(view, ScaledView):
        return "ft" if view.scale == 1.0 else f"scaled_{view.scale!r}"
    if isinstance(view, SetPart):
        return f"member_{'_'.join(map(str, view.places))}"
    label, design = f"null_{view.seed}", view.design
    if design.rank_scale != 1.0:
        label += f"_rank{design.rank_scale!r}"
    if design != replace(NullDesign("gaussian"), rank_scale=design.rank_scale):
        label += f"_{design.design}_{design.init_scale!r}_{design.energy}"
    return label
