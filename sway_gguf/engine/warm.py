"""A backend kept between runs: the base stays loaded while its files and the settings are the same.

Knows files by size, time and place, and adapters by content; nothing of what is run.
"""

from __future__ import annotations

from collections.abc import Callable

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.digest import Stamp, stamp_of
from sway_gguf.artifacts.stack import Adapted
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.factory import open_backend

Open = Callable[[BaseModel, Adapted, EngineSettings], DoorBackend]
"""Opens a backend on a base and an adapter, or a set of them."""


class Warm:
    """At most one loaded backend.

    Args:
        opens: opens one.
    """

    def __init__(self, opens: Open = open_backend) -> None:
        self._open = opens
        self._backend: DoorBackend | None = None
        self._key: tuple[Stamp, EngineSettings] | None = None
        self._adapter = ""

    def backend(self, base: BaseModel, adapter: Adapted, adapter_hash: str, settings: EngineSettings) -> DoorBackend:
        """A backend on these files as they are now.

        Args:
            base, adapter: as read just now; they fit.
            adapter_hash: digest of the adapter's content; of a set with the scales.
            settings: of the engine.
        """
        key = (_stamp(base, settings), settings)
        kept = self._backend if self._key == key else None
        if kept is not None and (self._adapter == adapter_hash or kept.swap(adapter)):
            self._adapter = adapter_hash
            return kept
        self.drop()
        self._backend, self._key, self._adapter = self._open(base, adapter, settings), key, adapter_hash
        return self._backend

    def drop(self) -> None:
        """Release what is loaded; for a backend that a run left halfway, or at the end."""
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()


def _stamp(base: BaseModel, settings: EngineSettings) -> Stamp:
    """What changes when a file is written anew. A base is too large to be hashed before every run."""
    return stamp_of([*(base.shards or (base.path,)), *([settings.embedder] if settings.embedder else [])])
