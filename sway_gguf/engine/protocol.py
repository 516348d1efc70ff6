"""The backend protocol, that of the `sway` project, and the proxy that puts a null in the tuned view's place.

Any backend of this shape can be measured; nothing here knows llama.cpp.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from sway_gguf.core.answers import RollingLogprob, TokenDist
from sway_gguf.core.views import DEFAULT_INIT_SCALE, Design, Energy


@runtime_checkable
class SingleView(Protocol):
    """The model through one choice of adapter, one question at a time."""

    id: str

    def generate(
        self, prompt: str, *, max_new_tokens: int, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
    ) -> str:
        """Continue `prompt`; greedy at temperature 0."""
        ...

    def logprob_of(self, prompt: str, completion: str) -> float:
        """Log-probability of `completion` after `prompt`, nats, summed over its tokens."""
        ...

    def rolling_logprob(self, text: str) -> RollingLogprob:
        """Log-probability of every token of `text` but the first."""
        ...

    def next_token_dist(self, prompt: str, *, top_k: int = 256) -> TokenDist:
        """The `top_k` most likely tokens after `prompt`."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A base model and an adapter, seen one view at a time."""

    def as_base(self) -> AbstractContextManager[SingleView]:
        """The base alone."""
        ...

    def as_finetuned(self) -> AbstractContextManager[SingleView]:
        """Base and adapter."""
        ...


@runtime_checkable
class ScalableBackend(Backend, Protocol):
    """A backend that can scale the adapter's update."""

    def as_scaled_adapter(self, lam: float) -> AbstractContextManager[SingleView]:
        """Base and `lam` times the update: 0 is the base, 1 the tuned model."""
        ...


@runtime_checkable
class NullBackend(Backend, Protocol):
    """A backend that can put a random adapter in the place of the real one."""

    def as_null_adapter(
        self, seed: int, *, init_scale: float = DEFAULT_INIT_SCALE, rank_scale: float = 1.0
    ) -> AbstractContextManager[SingleView]:
        """Base and a null adapter drawn with `seed`; both factors' deviation is init_scale · √rank_scale."""
        ...


class NullCalibrationProxy:
    """A backend whose tuned view is one null view, the same at every entry.

    It calibrates any probe that knows nothing of nulls. The bare protocol knows `gaussian` nulls alone; another design
    or energy needs a backend of ours. It offers neither scaling nor nulls of its own:
    ablating or re-calibrating a null makes no sense.
    """

    def __init__(
        self,
        backend: NullBackend,
        *,
        seed: int,
        init_scale: float = DEFAULT_INIT_SCALE,
        rank_scale: float = 1.0,
        design: Design = "gaussian",
        energy: Energy = "rank",
    ) -> None:
        self._backend = backend
        self._seed = seed
        self._how: dict[str, Any] = {"init_scale": init_scale, "rank_scale": rank_scale}
        if design != "gaussian":
            self._how["design"] = design
        if energy != "rank":
            self._how["energy"] = energy

    def as_base(self) -> AbstractContextManager[SingleView]:
        """The real base."""
        return self._backend.as_base()

    def as_finetuned(self) -> AbstractContextManager[SingleView]:
        """The null view."""
        return self._backend.as_null_adapter(self._seed, **self._how)
