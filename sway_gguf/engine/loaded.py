"""The models of a backend and its twins, as much of them as was needed so far: of the base its vocabulary for text and
its weights for numbers, and a model that embeds.

Knows files and llama.cpp; nothing of views or of who asks.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sway_gguf.artifacts.base import read_base
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.llama import Model


class Loaded:
    """One base, and what embeds beside it; any number of backends may use it, from several threads.

    Args:
        path: of its file.
        settings: of the engine: the layers that lie elsewhere, and where. What embeds leaves RPC servers alone.
        whole: load the weights at once; else the vocabulary alone, until the weights are asked for.
        repack: as of `Model`.

    Raises:
        EngineError: llama.cpp could not load it; for the weights, when they are first asked for.
    """

    def __init__(self, path: Path, settings: EngineSettings, *, whole: bool, repack: bool = True) -> None:
        self._path, self._settings, self._repack = path, settings, repack
        self._loading = threading.Lock()
        self._users = 1
        self._embedder: Model | None = None
        self._weights: Model | None = self._load() if whole else None
        self._vocabulary: Model | None = None if whole else Model(path, vocabulary_only=True)

    @property
    def vocabulary(self) -> Model:
        """A model that can tokenize; whether it can evaluate is another matter.

        Raises:
            RuntimeError: it was closed.
        """
        return self._vocabulary or self.weights

    @property
    def weights(self) -> Model:
        """The whole model, loaded now if it was not before.

        Raises:
            EngineError: llama.cpp could not load it.
            RuntimeError: it was closed.
        """
        with self._loading:
            if not self._users:
                raise RuntimeError("the backend is closed")
            if self._weights is None:
                self._weights = self._load()
            return self._weights

    def embedder(self, path: Path | None) -> Model:
        """What embeds: the model in `path`, loaded when it is first asked for, or without one the base.

        Raises:
            UserError: the file is no model.
            EngineError, RuntimeError: as `weights`.
        """
        if path is None:
            return self.weights
        with self._loading:
            if self._embedder is None:
                read_base(path)
                self._embedder = Model(path, gpu_layers=self._settings.gpu_layers)
            return self._embedder

    def shared(self) -> Loaded:
        """Itself, for one more user, who closes it too."""
        with self._loading:
            self._users += 1
        return self

    def close(self) -> None:
        """To be called once by each user: the last one releases the models."""
        with self._loading:
            self._users -= 1
            if self._users:
                return
            for model in (self._embedder, self._weights, self._vocabulary):
                if model is not None:
                    model.close()
            self._embedder = self._weights = self._vocabulary = None

    def _load(self) -> Model:
        layers, servers = self._settings.layers, self._settings.rpc
        return Model(self._path, gpu_layers=layers, servers=servers, repack=self._repack)
