"""A base's model, as much of it as was needed so far: its vocabulary for text, its weights for numbers.

Knows a file and llama.cpp; nothing of views or of who asks.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sway_gguf.engine.llama import Model


class Loaded:
    """One base.

    Args:
        path: of its file.
        gpu_layers: -ngl.
        whole: load the weights at once; else the vocabulary alone, until the weights are asked for.

    Raises:
        EngineError: llama.cpp could not load it; for the weights, when they are first asked for.
    """

    def __init__(self, path: Path, gpu_layers: int, *, whole: bool) -> None:
        self._path = path
        self._gpu_layers = gpu_layers
        self._loading = threading.Lock()
        self._closed = False
        self._weights: Model | None = self._load() if whole else None
        self._vocabulary: Model | None = None if whole else Model(path, vocabulary_only=True)

    @property
    def has_weights(self) -> bool:
        """Whether they were loaded."""
        return self._weights is not None

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
            if self._closed:
                raise RuntimeError("the backend is closed")
            if self._weights is None:
                self._weights = self._load()
            return self._weights

    def close(self) -> None:
        """Release it. Closing twice does no harm."""
        self._closed = True
        for model in (self._weights, self._vocabulary):
            if model is not None:
                model.close()
        self._weights = self._vocabulary = None

    def _load(self) -> Model:
        return Model(self._path, gpu_layers=self._gpu_layers)
