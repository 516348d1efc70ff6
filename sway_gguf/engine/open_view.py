"""A view while it is open: single and list forms of every question. Knows nothing of how its backend answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sway_gguf.core.answers import Answer, CompletionScore, Generated, LogProbs, RollingLogprob, TokenDist
from sway_gguf.core.queries import Completion, Generate, NextToken, Query, Rolling
from sway_gguf.core.views import View

if TYPE_CHECKING:
    from sway_gguf.engine.doors import DoorBackend

OnTokens = Callable[[int], None]
"""Called with the number of tokens evaluated since the last call."""


class OpenView:
    """A view while its block lasts. Every single-call method is its list form with a list of one."""

    def __init__(self, backend: DoorBackend, view: View) -> None:
        self.id = str(view)
        self.view = view
        self._backend = backend

    def answer(self, queries: Sequence[Query], progress: OnTokens | None = None) -> list[Answer]:
        """Answer many queries in packed batches, in the order given."""
        self._backend._check_open(self)
        return self._backend._answer(self.view, queries, progress)

    def next_token_dist_many(self, prompts: Sequence[str], *, top_k: int = 256) -> list[TokenDist]:
        """List form of `next_token_dist`."""
        rows = self.answer([NextToken(prompt) for prompt in prompts])
        return [top_of(row, top_k) for row in rows if isinstance(row, np.ndarray)]

    def next_token_dist_batch(self, prompts: Sequence[str], *, top_k: int = 256) -> list[TokenDist]:
        """`next_token_dist_many` under the name that later releases of the `sway` project call it by."""
        return self.next_token_dist_many(prompts, top_k=top_k)

    def next_token_dist(self, prompt: str, *, top_k: int = 256) -> TokenDist:
        """The `top_k` most likely tokens after `prompt`."""
        return self.next_token_dist_many([prompt], top_k=top_k)[0]

    def rolling_logprob_many(self, texts: Sequence[str]) -> list[RollingLogprob]:
        """List form of `rolling_logprob`."""
        answers = self.answer([Rolling(text) for text in texts])
        return [answer for answer in answers if isinstance(answer, RollingLogprob)]

    def rolling_logprob(self, text: str) -> RollingLogprob:
        """Log-probability of every token of `text` but the first."""
        return self.rolling_logprob_many([text])[0]

    def logprob_of_many(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """List form of `logprob_of`, on (prompt, completion) pairs."""
        answers = self.answer([Completion(prompt, completion) for prompt, completion in pairs])
        return [answer.logprob for answer in answers if isinstance(answer, CompletionScore)]

    def logprob_of(self, prompt: str, completion: str) -> float:
        """Log-probability of `completion` after `prompt`, nats."""
        return self.logprob_of_many([(prompt, completion)])[0]

    def generate_many(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """List form of `generate`. A prompt's draw depends on its own text and the seed, not on its mates."""
        answers = self.answer([Generate(prompt, max_new_tokens, temperature, top_p, seed) for prompt in prompts])
        return [answer.text for answer in answers if isinstance(answer, Generated)]

    def generate(
        self, prompt: str, *, max_new_tokens: int, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
    ) -> str:
        """Continue `prompt`."""
        return self.generate_many(
            [prompt], max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
        )[0]

    def close(self) -> None:
        """Nothing to release: the backend owns the model."""


def top_of(row: LogProbs, top_k: int) -> TokenDist:
    """The `top_k` largest of a [vocabulary] row of log-probabilities, ties by token id."""
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, it is {top_k}")
    order = np.argsort(-row, kind="stable")[:top_k].astype(np.int64)
    top = row[order]
    rest = 1.0 - float(np.exp(top.astype(np.float64)).sum())
    covered = order.size == row.size or rest <= 0.0
    return TokenDist(order, top, int(row.size), None if covered else float(np.log(rest)))
