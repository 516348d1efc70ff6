"""What a view answers. Log-probabilities are natural logarithms (nats) throughout.

Knows the shapes; does not know how an answer was computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Rolling, Spans, Split

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
    """Scores of a completion after its prompt, or of several stretches of a text.

    Attributes:
        logprob: sum over the completion's tokens, nats.
        num_tokens: how many tokens were summed, at least 1.
        logprobs: [num_tokens] of each of them, nats; empty where a backend tells the sum alone.
    """

    logprob: float
    num_tokens: int
    logprobs: tuple[float, ...] = ()

    @property
    def mean_logprob(self) -> float:
        """Nats per token of the completion."""
        return self.logprob / self.num_tokens


@dataclass(frozen=True, slots=True)
class Changes:
    """A view against the base along a text, for its n scored positions.

    Attributes:
        kl: [n], KL(base ‖ view) of the next-token distributions, nats.
        back: [n], KL(view ‖ base): what a text of the view's own gains on the average, nats.
        same_top: [n], whether both find the same token likeliest.
        base, other: [n], log-probability of the text's own token in the base and in the view, nats.
    """

    kl: NDArray[np.float64]
    back: NDArray[np.float64]
    same_top: NDArray[np.bool_]
    base: NDArray[np.float64]
    other: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Generated:
    """A continuation.

    Attributes:
        text: without the end-of-text token.
        token_ids: of the text as generated; empty where a backend does not tell.
    """

    text: str
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a text, without BOS.

    Attributes:
        ids: [n] their ids.
        pieces: [n] what each says; a character that several tokens share stands in the last of them. Empty where a
            backend does not tell.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Embedding:
    """`vector` [d], of length 1 unless the text is empty."""

    vector: LogProbs


Answer = LogProbs | RollingLogprob | CompletionScore | Changes | Generated | Embedding | Tokens


class Answers:
    """One view's answers, looked up by query.

    A lookup of something that was not asked raises KeyError: a probe may only measure what it asked.
    """

    def __init__(self, pairs: Iterable[tuple[Query, Answer]]) -> None:
        self._by_query: Mapping[Query, Answer] = dict(pairs)

    def __contains__(self, query: Query) -> bool:
        return query in self._by_query

    def next_token(self, prompt: str | NextToken) -> LogProbs:
        """[vocabulary] log-probabilities of the token after `prompt`."""
        answer = self._by_query[prompt if isinstance(prompt, NextToken) else NextToken(prompt)]
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

    def spans(self, query: Spans) -> CompletionScore:
        """Scores of all stretches of `query` together."""
        answer = self._by_query[query]
        assert isinstance(answer, CompletionScore)
        return answer

    def changes(self, query: Compare) -> Changes:
        """This view against the base along a text, where `query` scores it."""
        answer = self._by_query[query]
        assert isinstance(answer, Changes)
        return answer

    def generated(self, query: Generate) -> Generated:
        """The reply to `query`."""
        answer = self._by_query[query]
        assert isinstance(answer, Generated)
        return answer

    def embedding(self, text: str) -> LogProbs:
        """[d] vector of `text`."""
        answer = self._by_query[Embed(text)]
        assert isinstance(answer, Embedding)
        return answer.vector

    def tokens(self, prompt: str, text: str) -> tuple[int, ...]:
        """Token ids of `text` after `prompt`."""
        return self.split(prompt, text).ids

    def split(self, prompt: str, text: str) -> Tokens:
        """Tokens of `text` after `prompt`."""
        answer = self._by_query[Split(prompt, text)]
        assert isinstance(answer, Tokens)
        return answer

    def only(self, queries: Iterable[Query]) -> Answers:
        """The answers to `queries` alone, of those that were asked."""
        return Answers([(query, self._by_query[query]) for query in queries if query in self])

    def merged(self, other: Answers) -> Answers:
        """These answers and `other`'s."""
        return Answers([*self._by_query.items(), *other._by_query.items()])
