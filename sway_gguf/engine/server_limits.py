"""What a llama-server cannot give, as far as that is known before one is asked. Knows queries and views alone."""

from __future__ import annotations

from sway_gguf.core.queries import Compare, Embed, Query
from sway_gguf.core.views import NullView, View

NAME = "llama-server"
MARGIN = 2
"""Tokens of a text's context that it keeps free: it ends a reply one short of the end."""


def lacks(asked: Query | View) -> str:
    """What of a query or a view it does not give, in a few words; "" where it gives all."""
    if isinstance(asked, NullView):
        return "null adapters, without which an effect is not told from noise of its size; kind: gguf has them"
    if isinstance(asked, Compare):
        return "whole distributions along a text"
    return "embeddings beside its replies" if isinstance(asked, Embed) else ""
