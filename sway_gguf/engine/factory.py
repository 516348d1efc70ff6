"""From the kind that a spec names to a backend. Knows which kinds there are; nothing of how one works.

It alone, outside the backends' own files, names one: whoever runs a model opens it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.stack import Adapted
from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Query
from sway_gguf.core.views import View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.keeping import Store
from sway_gguf.engine.store import AnswerStore

GGUF, SERVER = "gguf", "server"
Base = Path | BaseModel
Adapter = Path | Adapted
Opener = Callable[[Base, Adapter | None, EngineSettings | None, Store | None, Endpoint | None], DoorBackend]
Lacks = Callable[[Query | View], str]
"""What of a query or a view is not given, in a few words; "" where it is."""


def open_backend(
    base: Base,
    adapter: Adapter | None = None,
    settings: EngineSettings | None = None,
    *,
    kind: str = GGUF,
    store: AnswerStore | None = None,
    endpoint: Endpoint | None = None,
) -> DoorBackend:
    """A model that answers; used in a `with` block it is released at its end.

    Args:
        base: a base's file, or its header where that was read already.
        adapter: a LoRA's file or PEFT folder, or the same or a set of them as read already and known to fit; None for
            the base alone.
        settings: of the engine; its defaults where None.
        kind: what `models.kind` of a spec says.
        store: of answers, which has to stay open as long. With one, weights are loaded when something is asked that
            was not kept; without one, or with one that is off, at once. A server's answers are not kept.
        endpoint: of the server that answers, where the kind is one.

    Raises:
        UserError: an unknown kind, a file that cannot be used, or an adapter that does not fit the base.
        EngineError: the engine refused what the checks let pass.
    """
    if kind not in BACKENDS:
        raise UserError(f"models.kind: {kind!r} is none of {', '.join(BACKENDS)}")
    return BACKENDS[kind](base, adapter, settings, store if store is not None and store.on else None, endpoint)


def _llama(
    base: Base, adapter: Adapter | None, settings: EngineSettings | None, store: Store | None, _: Endpoint | None
) -> DoorBackend:
    from sway_gguf.engine.llama_backend import LlamaBackend  # loads llama.cpp

    if settings is not None and settings.rpc:
        from sway_gguf.engine.rpc_trial import opened

        return opened(base, adapter, settings, store)
    return LlamaBackend(base, adapter, settings, store)


def _server(
    base: Base, adapter: Adapter | None, settings: EngineSettings | None, _: Store | None, endpoint: Endpoint | None
) -> DoorBackend:
    from sway_gguf.engine.server_backend import ServerBackend

    if settings is not None and settings.rpc:
        raise UserError(
            "kind: server leaves the weights where they are, so --rpc has nothing to hold; give one of them"
        )
    if endpoint is None:
        raise UserError("models.base: kind: server wants the url of a running llama-server")
    return ServerBackend(base, adapter, settings, endpoint)


BACKENDS: Mapping[str, Opener] = {GGUF: _llama, SERVER: _server}


class Gives(NamedTuple):
    """What a kind of backend that lacks something gives, as far as that is known before it is opened.

    Attributes:
        name: of the backend.
        lacks: what of a query or a view it does not give.
        margin: tokens of its context that no text may fill.
    """

    name: str
    lacks: Lacks
    margin: int


def gives(kind: str) -> Gives | None:
    """What a kind gives; None where it lacks nothing."""
    if kind == SERVER:
        from sway_gguf.engine.server_limits import MARGIN, NAME, lacks

        return Gives(NAME, lacks, MARGIN)
    return None
