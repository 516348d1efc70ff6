"""Queries to token jobs and logits back to answers, for a model that can tokenize.

Knows queries, jobs and reductions; neither contexts nor adapters.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Answer, Changes, CompletionScore, RollingLogprob, Tokens
from sway_gguf.core.common import common
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Rolling, Spans, Split
from sway_gguf.engine.packing import Job, windows


class Tokenizer(Protocol):
    """The part of a model that this file needs."""

    bos: int | None

    def tokenize(self, text: str) -> list[int]:
        """Token ids, with BOS where the model adds one."""
        ...

    def piece(self, token: int, *, control: bool = False) -> bytes:
        """The bytes of one token."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """A query with the jobs that answer it.

    Attributes:
        query: as asked.
        tokens: of the whole text.
        first_target: index of the first scored token.
        stretches: (start, stop) in tokens of what is scored, where that is not everything from `first_target` on.
        jobs: one, or several windows of a long text; none for a text too short to score.
    """

    query: Query
    tokens: tuple[int, ...]
    first_target: int
    jobs: tuple[Job, ...]
    stretches: tuple[tuple[int, int], ...] = ()


def plan(query: Query, tokenizer: Tokenizer, width: int) -> Ask:
    """Tokenize `query` and lay out its jobs, with at most `width` tokens fed at a time.

    Raises:
        UserError: an empty prompt or completion, or a prompt longer than the context.
    """
    if isinstance(query, Rolling) or (isinstance(query, Compare) and not query.spans):
        tokens = tokenizer.tokenize(query.text)
        jobs = windows(tokens, 1, width, tokenizer.bos) if len(tokens) > 1 else []
        return Ask(query, tuple(tokens), 1, tuple(jobs))
    if isinstance(query, Completion):
        tokens, start = completion_tokens(query, tokenizer)
        return Ask(query, tuple(tokens), start, tuple(windows(tokens, start, width, tokenizer.bos)))
    if isinstance(query, Spans | Compare):
        tokens, stretches = spans_tokens(query, tokenizer)
        start = stretches[0][0]
        return Ask(query, tuple(tokens), start, tuple(windows(tokens, start, width, tokenizer.bos)), tuple(stretches))
    if isinstance(query, Split):
        tokens, start = completion_tokens(Completion(query.prompt, query.text), tokenizer)
        return Ask(query, tuple(tokens[start:]), start, ())
    if isinstance(query, Embed):
        tokens = tokenizer.tokenize(query.text)[:width]
        return Ask(query, tuple(tokens), 0, (Job(tuple(tokens), 0),) if tokens else ())
    tokens = prompt_tokens(query, tokenizer)
    room = query.max_new_tokens if isinstance(query, Generate) else 0
    if not tokens:
        raise UserError("a prompt of no tokens has no next token; give a prompt that is not empty")
    if len(tokens) + room > width:
        needed = f"{len(tokens)} tokens" + (f" and asks for {room} more" if room else "")
        raise UserError(
            f"{query}: the prompt has {needed}, the context holds {width}; shorten it, or raise -c "
            "as far as the model was trained"
        )
    return Ask(query, tuple(tokens), len(tokens), (Job((*tokens, *[0] * room), len(tokens) - 1),))


def prompt_tokens(query: NextToken | Generate, tokenizer: Tokenizer) -> list[int]:
    """Tokens of a prompt; with filler, exactly so many of its tokens stand between lead and prompt, behind BOS."""
    if isinstance(query, Generate) or query.filler_tokens == 0:
        return tokenizer.tokenize(query.prompt if isinstance(query, Generate) else query.lead + query.prompt)
    lead, filler, prompt = (tokenizer.tokenize(text) for text in (query.lead, query.filler, query.prompt))
    bos = [tokenizer.bos]
    opening = next((tokens[:1] for tokens in (lead, prompt) if tokens[:1] == bos), [])
    lead, filler, prompt = (tokens[tokens[:1] == bos :] for tokens in (lead, filler, prompt))
    if not filler:
        raise UserError(f"{query}: a filler of no tokens cannot be repeated; give a text that is not empty")
    repeats = -(-query.filler_tokens // len(filler))
    return [*opening, *lead, *(filler * repeats)[: query.filler_tokens], *prompt]


def completion_tokens(query: Completion, tokenizer: Tokenizer) -> tuple[list[int], int]:
    """Tokens of prompt + completion, and the index of the completion's first token.

    The joined text is tokenized, and the completion begins where the joint tokens part from those of the
    prompt alone: a token that straddles the boundary belongs to the completion.

    Raises:
        UserError: the completion adds no token that could be scored.
    """
    joint = tokenizer.tokenize(query.prompt + query.completion)
    start = _boundary(joint, query.prompt, tokenizer)
    if start >= len(joint):
        raise UserError(f"{query} adds no token to score; give a completion that is not empty")
    return joint, start


def spans_tokens(query: Spans | Compare, tokenizer: Tokenizer) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokens of the text up to the end of its last stretch, and (start, stop) of each stretch among them.

    A token that straddles a boundary belongs to what begins there.

    Raises:
        UserError: a stretch holds no token that could be scored.
    """
    tokens = tokenizer.tokenize(query.text[: query.spans[-1][1]])
    stretches = []
    for start, end in query.spans:
        first = _boundary(tokens, query.text[:start], tokenizer)
        stop = _boundary(tokens, query.text[:end], tokenizer)
        if stop <= first:
            raise UserError(f"{query}: one of them holds no token to score; give replies that are not empty")
        stretches.append((first, stop))
    return tokens, stretches


def _boundary(joint: Sequence[int], before: str, tokenizer: Tokenizer) -> int:
    """Index among the tokens of a whole text of the first that is not one of `before`, with which it begins."""
    return min(max(common(joint, tokenizer.tokenize(before)), 1), len(joint))


def split(ask: Ask, tokenizer: Tokenizer) -> Tokens:
    """The tokens of an ask, and what each says."""
    return Tokens(ask.tokens, pieces([tokenizer.piece(token, control=True) for token in ask.tokens]))


def pieces(tokens: Sequence[bytes]) -> tuple[str, ...]:
    """Tokens' bytes as text, token by token: a character that several share stands in the last of them."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return tuple(decoder.decode(each, final=place == len(tokens)) for place, each in enumerate(tokens, 1))


Scores = NDArray[np.float64] | NDArray[np.float32]


def answer(ask: Ask, scores: Sequence[Scores]) -> Answer:
    """Put the results of an ask's jobs together. Target scores are [targets] per job; rows are [V]."""
    if isinstance(ask.query, NextToken):
        return scores[0].astype(np.float32, copy=False)
    logprobs = np.concatenate(scores) if scores else np.empty(0)
    if ask.stretches:
        first = ask.first_target
        logprobs = np.concatenate([logprobs[start - first : stop - first] for start, stop in ask.stretches])
    total = float(logprobs.sum(dtype=np.float64))
    if isinstance(ask.query, Completion | Spans):
        return CompletionScore(total, int(logprobs.size), tuple(logprobs.tolist()))
    ids = np.asarray(ask.tokens, np.int64)
    return RollingLogprob(ids, logprobs.astype(np.float32), int(ids.size), total)


def compared(ask: Ask, parts: Sequence[Changes]) -> Changes:
    """The changes of an ask's jobs, end to end, at the positions that count."""
    whole = joined(parts)
    if not ask.stretches:
        return whole
    first = ask.first_target
    return joined([_cut(whole, slice(start - first, stop - first)) for start, stop in ask.stretches])


def joined(parts: Sequence[Changes]) -> Changes:
    """Pieces end to end."""
    if not parts:
        nothing = np.empty(0)
        return Changes(nothing, nothing, np.empty(0, np.bool_), nothing, nothing)
    return Changes(
        np.concatenate([part.kl for part in parts]),
        np.concatenate([part.back for part in parts]),
        np.concatenate([part.same_top for part in parts]),
        np.concatenate([part.base for part in parts]),
        np.concatenate([part.other for part in parts]),
    )


def _cut(whole: Changes, at: slice) -> Changes:
    return Changes(whole.kl[at], whole.back[at], whole.same_top[at], whole.base[at], whole.other[at])
