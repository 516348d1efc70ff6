"""What a view answers. Log-probabilities are natural logarithms (nats) throughout.

Knows the shapes; does not know how an answer was computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.queries import Completion, NextToken, Query, Rolling

LogProbs = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RollingLogprob:
    """Scores of a whole text.

    Attributes:
        token_ids: [N], the text's tokens, with BOS where the model adds one.
        logprobs: [N-1], log p(token i | tokens before i) for i ≥ 1, nats.
        num_tokens: N.
        total_logprob: sum of `logprobs`, nats.
    """

    token_ids: NDArray[np.int64]
    logprobs: LogProbs
    num_tokens: int
    total_logprob: float

    @property
    def mean_logprob(self) -> float:
        """Nats per scored token; 0 for a text of fewer than two tokens."""
        return self.total_logprob / self.logprobs.size if self.logprobs.size else 0.0

    @property
    def perplexity(self) -> float:
        """exp(-mean_logprob)."""
        return float(np.exp(-self.mean_logprob))


@dataclass(frozen=True, slots=True)
class TokenDist:
    """The `top_k` most likely next tokens.

    Attributes:
        token_ids: [k], by descending probability.
        logprobs: [k], nats.
        vocab_size: number of tokens in the vocabulary.
        tail_logprob: log of the probability outside the k tokens; None when nothing is outside.
    """

    token_ids: NDArray[np.int64]
    logprobs: LogProbs
    vocab_size: int
    tail_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class CompletionScore:
    """Scores of a completion after its prompt.

    Attributes:
        logprob: sum over the completion's tokens, nats.
        num_tokens: how many tokens were summed, at least 1.
    """

    logprob: float
    num_tokens: int

    @property
    def mean_logprob(self) -> float:
        """Nats per token of the completion."""
        return self.logprob / self.num_tokens


Answer = LogProbs | RollingLogprob | CompletionScore


class Answers:
    """One view's answers, looked up by query.

    A lookup of something that was not asked raises KeyError: a probe may only measure what it asked.
    """

    def __init__(self, pairs: Iterable[tuple[Query, Answer]]) -> None:
        self._by_query: Mapping[Query, Answer] = dict(pairs)

    def next_token(self, prompt: str) -> LogProbs:
        """[vocabulary] log-probabilities of the token after `prompt`."""
        answer = self._by_query[NextToken(prompt)]
        assert isinstance(answer, np.ndarray)
        return answer

    def rolling(self, text: str) -> RollingLogprob:
        """Scores of `text`."""
        answer = self._by_query[Rolling(text)]
        assert isinstance(answer, RollingLogprob)
        return answer

    def completion(self, prompt: str, completion: str) -> CompletionScore:
        """Scores of `completion` after `prompt`."""
        answer = self._by_query[Completion(prompt, completion)]
        assert isinstance(answer, CompletionScore)
        return answer

    def merged(self, other: Answers) -> Answers:
        """These answers and `other`'s."""
        return Answers([*self._by_query.items(), *other._by_query.items()])
