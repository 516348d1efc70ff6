"""A backend kept between runs: the base stays loaded while its files and the settings are the same.

Knows files by size, time and place, and adapters by content; nothing of what is run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.settings import EngineSettings

Open = Callable[[Path, Path, EngineSettings], Any]
"""Opens a backend on a base and an adapter."""
Stamp = tuple[tuple[str, int, int, int], ...]


class Warm:
    """At most one loaded backend.

    Args:
        open_backend: opens one; a backend with `swap(adapter)` takes another adapter without loading the base again.
    """

    def __init__(self, open_backend: Open = LlamaBackend) -> None:
        self._open = open_backend
        self._backend: Any | None = None
        self._key: tuple[Stamp, EngineSettings] | None = None
        self._adapter = ""

    def backend(self, base: BaseModel, adapter: LoraAdapter, adapter_hash: str, settings: EngineSettings) -> Any:
        """A backend on these files as they are now.

        Args:
            base, adapter: as read just now; they fit.
            adapter_hash: digest of the adapter's content.
            settings: of the engine.
        """
        key = (_stamp(base, settings), settings)
        if self._backend is not None and self._key == key and self._adapter == adapter_hash:
            return self._backend
        if self._backend is not None and self._key == key and hasattr(self._backend, "swap"):
            self._backend.swap(adapter)
        else:
            self.drop()
            self._backend, self._key = self._open(base.path, adapter.path, settings), key
        self._adapter = adapter_hash
        return self._backend

    def drop(self) -> None:
        """Release what is loaded; for a backend that a run left halfway, or at the end."""
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()


def _stamp(base: BaseModel, settings: EngineSettings) -> Stamp:
    """What changes when a file is written anew. A base is too large to be hashed before every run."""
    paths = [*(base.shards or (base.path,)), *([settings.embedder] if settings.embedder else [])]
    found = ((str(path), path.stat()) for path in paths)
    return tuple((name, status.st_size, status.st_mtime_ns, status.st_ino) for name, status in found)
