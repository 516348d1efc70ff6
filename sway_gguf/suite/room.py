"""Which prompts the context holds, and what to say of those that it does not. Counts with the vocabulary alone.

Text that is scored needs no room: it is read in windows. A prompt has to stand whole, with the reply that it asks for.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import cached_property

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.core.errors import EngineError
from sway_gguf.core.queries import Generate, NextToken, Query, shorten
from sway_gguf.engine import llama, scoring

_SPECIAL = 8
"""Tokens that a tokenizer may add to those of the text, at most."""
_SHOWN = 3


class Room:
    """Tells what fits into `width` tokens, and remembers what did not.

    Args:
        base: whose vocabulary counts, once something is long enough to need counting.
        width: tokens that the engine evaluates in one piece.
    """

    def __init__(self, base: BaseModel, width: int) -> None:
        self._base = base
        self.width = width
        self._lengths: dict[Query, int] = {}

    def holds(self, query: Query) -> bool:
        """Whether the context holds `query`; what cannot be counted is left to the engine."""
        if not isinstance(query, NextToken | Generate):
            return True
        if _at_most(query) <= self.width:
            return True
        if query not in self._lengths:
            self._lengths[query] = self._count(query)
        return self._lengths[query] <= self.width

    def left_out(self, origins: Mapping[str, str]) -> tuple[str, ...]:
        """A remark on the prompts that did not fit, if any; `origins` tells where a prompt stands."""
        over: dict[str, int] = {}
        for query, length in self._lengths.items():
            if length > self.width and isinstance(query, NextToken | Generate):
                over[query.prompt] = max(length, over.get(query.prompt, 0))
        if not over:
            return ()
        shown = [f"{origins.get(p, shorten(p))} (needs {length:,})" for p, length in list(over.items())[:_SHOWN]]
        more = f" and {len(over) - _SHOWN} more" if len(over) > _SHOWN else ""
        one = len(over) == 1
        what, after = ("1 prompt does", "it, and is") if one else (f"{len(over)} prompts do", "them, and are")
        return (
            f"{what} not fit into the context of {self.width:,} tokens with what is asked after {after} left out: "
            f"{'; '.join(shown)}{more}; {self._way_out(max(over.values()))}",
        )

    def _way_out(self, needed: int) -> str:
        trained = self._base.context_length
        return f"-c {needed} would hold all" if needed <= trained else f"the model was trained on {trained:,}: shorten"

    def _count(self, query: NextToken | Generate) -> int:
        try:
            written = query.max_new_tokens if isinstance(query, Generate) else 0
            return len(scoring.prompt_tokens(query, self._vocabulary)) + written
        except EngineError:
            return 0

    @cached_property
    def _vocabulary(self) -> llama.Model:
        model = llama.Model(self._base.path, vocabulary_only=True)
        weakref.finalize(self, model.close)
        return model


def _at_most(query: NextToken | Generate) -> int:
    """No token is shorter than a byte."""
    more = query.max_new_tokens if isinstance(query, Generate) else query.filler_tokens
    text = query.prompt if isinstance(query, Generate) else query.lead + query.prompt
    return len(text.encode("utf-8", "surrogatepass")) + _SPECIAL + more
