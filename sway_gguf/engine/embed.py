"""Vectors of texts: from a GGUF embedding model, or from the base's own hidden states. No adapter takes part.

One text at a time, so that a vector does not depend on its mates. Knows texts and a model; nothing of views.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sway_gguf.core.answers import Embedding
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.queries import Embed
from sway_gguf.engine.context import Context
from sway_gguf.engine.llama import Model
from sway_gguf.engine.loaded import Loaded

LONGEST = 256
"""Tokens of a text that count; llama.cpp keeps logits for all of them, so a long text would cost memory."""


class Vectors:
    """Vectors of texts from what a backend has loaded; what embeds is made ready when the first one is asked for.

    Args:
        loaded: the base, and where the settings name one an embedding model. They are the caller's.
        settings: threads and the like.
    """

    def __init__(self, loaded: Loaded, settings: EngineSettings) -> None:
        self._loaded = loaded
        self._settings = settings
        self._embedder: Embedder | None = None

    def of(self, text: str) -> Embedding:
        """That of one text.

        Raises:
            NonFiniteError: a number of it is not finite.
            UserError, EngineError: the model that embeds cannot be loaded.
        """
        named = self._settings.embedder
        if self._embedder is None:
            self._embedder = Embedder(self._loaded.embedder(named), self._settings)
        found = self._embedder.embed([text])[0]
        if not np.isfinite(found.vector).all():
            raise NonFiniteError("embedding model's" if named else "base", str(Embed(text)))
        return found

    def close(self) -> None:
        """Release the context; the models are the caller's."""
        if self._embedder is not None:
            self._embedder.close()
            self._embedder = None


class Embedder:
    """Embeds texts, each once.

    Args:
        model: the base, whose hidden states are averaged, or an embedding model, which pools as it was made to.
        settings: threads and the like.
    """

    def __init__(self, model: Model, settings: EngineSettings) -> None:
        self._model = model
        self._settings = settings
        self._context: Context | None = None
        self._known: dict[str, Embedding] = {}

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """One vector per text, of length 1; zeros for a text of no tokens."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self._one(text)
        return [self._known[text] for text in texts]

    def close(self) -> None:
        """Release the context; the model is the caller's."""
        if self._context is not None:
            self._context.close()
            self._context = None

    def _one(self, text: str) -> Embedding:
        tokens = self._model.tokenize(text)[:LONGEST]
        if not text.strip() or not tokens:
            return Embedding(np.zeros(self._model.width, np.float32))
        if self._context is None:
            self._context = self._new()
        vector = self._context.embed(tokens)
        length = float(np.linalg.norm(vector))
        return Embedding(vector / np.float32(length) if length > 0 else vector)

    def _new(self) -> Context:
        return self._model.context(
            streams=1,
            length=LONGEST,
            batch=LONGEST,
            ubatch=LONGEST,
            outputs=LONGEST,
            threads=self._settings.threads,
            kv_type="f16",
            flash_attention=False,
            embeddings=True,
        )
