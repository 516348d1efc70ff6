"""Vectors of texts: from a GGUF embedding model, or from the base's own hidden states. No adapter takes part.

One text at a time, so that a vector does not depend on its mates. Knows texts and a model; nothing of views.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sway_gguf.core.answers import Embedding
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.context import Context
from sway_gguf.engine.llama import Model

LONGEST = 256
"""Tokens of a text that count; llama.cpp keeps logits for all of them, so a long text would cost memory."""


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
