"""From the kind that a spec names to a backend. Knows which kinds there are; nothing of how one works.

It alone, outside the backends' own files, names one: whoever runs a model opens it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.stack import Adapted
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.keeping import Store
from sway_gguf.engine.store import AnswerStore

GGUF = "gguf"
Base = Path | BaseModel
Adapter = Path | Adapted
Opener = Callable[[Base, Adapter | None, EngineSettings | None, Store | None], DoorBackend]


def open_backend(
    base: Base,
    adapter: Adapter | None = None,
    settings: EngineSettings | None = None,
    *,
    kind: str = GGUF,
    store: AnswerStore | None = None,
) -> DoorBackend:
    """A model that answers; used in a `with` block it is released at its end.

    Args:
        base: a base's file, or its header where that was read already.
        adapter: a LoRA's file or PEFT folder, or the same or a set of them as read already and known to fit; None for
            the base alone.
        settings: of the engine; its defaults where None.
        kind: what `models.kind` of a spec says.
        store: of answers, which has to stay open as long. With one, weights are loaded when something is asked that
            was not kept; without one, or with one that is off, at once.

    Raises:
        UserError: an unknown kind, a file that cannot be used, or an adapter that does not fit the base.
        EngineError: the engine refused what the checks let pass.
    """
    if kind not in BACKENDS:
        raise UserError(f"models.kind: {kind!r} is none of {', '.join(BACKENDS)}")
    return BACKENDS[kind](base, adapter, settings, store if store is not None and store.on else None)


def _llama(base: Base, adapter: Adapter | None, settings: EngineSettings | None, store: Store | None) -> DoorBackend:
    from sway_gguf.engine.llama_backend import LlamaBackend  # loads llama.cpp

    if settings is not None and settings.rpc:
        from sway_gguf.engine.rpc_trial import opened

        return opened(base, adapter, settings, store)
    return LlamaBackend(base, adapter, settings, store)


BACKENDS: Mapping[str, Opener] = {GGUF: _llama}
