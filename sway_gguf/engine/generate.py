"""Batched generation: prompts are read side by side, then a call writes one token of every reply.

Each prompt draws from its own generator, seeded by (seed, prompt), so its mates do not matter. A few tokens in a batch
run through other kernels than more of them, whose numbers agree bit for bit however many there are (on the CPU): where
few replies are written they are given mates, and a reply is the same alone and in company. Streams that llama.cpp
evaluates at once are neighbours: where one has ended, the last takes its place.
Knows contexts and tokens; nothing of views or adapters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Generated
from sway_gguf.core.queries import Generate
from sway_gguf.engine.batch import Piece
from sway_gguf.engine.llama import Model
from sway_gguf.engine.packing import Limits
from sway_gguf.engine.reading import LEAST, Call, Manner, Reading, reading_of
from sway_gguf.engine.reduce import NotFiniteError
from sway_gguf.engine.timing import Decoder


@dataclass(slots=True)
class _Reply:
    """One on its way: `length` tokens are in the cache, `latest` is the newest, not yet fed."""

    place: int
    length: int
    latest: int
    rng: np.random.Generator
    made: list[int] = field(default_factory=list)


def generate_group(
    model: Model,
    context: Decoder,
    asks: Sequence[Generate],
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    progress: Callable[[int], None],
    manner: Manner,
    *,
    rerun: bool = False,
) -> list[Generated]:
    """Continue tokenized prompts side by side in an empty context.

    Args:
        model: for the bytes of tokens and the end of text.
        context: with a stream for each prompt, and `LEAST` at least, each long enough for prompt and reply.
        asks: how, per prompt.
        prompts: token ids.
        limits: of a batch.
        progress: called with the tokens evaluated.
        manner: how prompts may be read.
        rerun: read the prompts in other batches, to show the numerical noise.

    Raises:
        NotFiniteError: the logits are not finite; `row` is the prompt's index.
    """
    replies = [
        _Reply(place, len(prompt) - 1, prompt[-1], prompt_rng(ask.seed, prompt))
        for place, (ask, prompt) in enumerate(zip(asks, prompts, strict=True))
    ]
    reading = reading_of(prompts, limits, manner, rerun=rerun)
    _read(context, prompts, reading, progress)
    active = [replies[place] for place in reading.order]
    while active:
        for reply, row in zip(active, _written(context, active), strict=True):
            reply.length += 1
            reply.latest = choose(row, asks[reply.place], reply.rng, reply.place)
        progress(len(active))
        _close_up(context, active, [_keep(model, reply, asks[reply.place]) for reply in active])
    return [_generated(model, reply) for reply in replies]


def _read(
    context: Decoder, prompts: Sequence[Sequence[int]], reading: Reading, progress: Callable[[int], None]
) -> None:
    """Feed the prompts, but for the last token of each."""
    streams = [prompts[place] for place in reading.order]
    filled: set[int] = set()
    for calls in (reading.beginning, reading.rest):
        for call in calls:
            fed = range(call.first, call.behind)
            context.decode([_piece(streams[stream], stream, call) for stream in fed])
            progress(call.tokens)
            filled |= {stream for stream in fed if len(streams[stream]) <= call.stop}
        if calls and calls is reading.beginning:
            for stream in range(1, len(streams)):
                context.copy(0, stream)
    for stream in filled:
        context.forget(stream, len(streams[stream]) - 1)


def _piece(prompt: Sequence[int], stream: int, call: Call) -> Piece:
    """What a call feeds to one stream: of the prompt, and behind its end whatever fills."""
    fed = prompt[call.start : min(call.stop, len(prompt) - 1)]
    tokens = [*fed, *[prompt[-1]] * (call.stop - call.start - len(fed))]
    return Piece((stream,), call.start, tokens, len(tokens))


def _written(context: Decoder, active: Sequence[_Reply]) -> NDArray[np.float32]:
    """Feed the latest token of each reply; the logits behind it. Few are given mates, in streams that hold nothing."""
    pieces = [Piece((stream,), reply.length, (reply.latest,), 0) for stream, reply in enumerate(active)]
    mates = range(len(active), LEAST)
    logits = context.decode([*pieces, *(Piece((stream,), 0, (active[0].latest,), 0) for stream in mates)])
    for stream in mates:
        context.forget(stream)
    return logits[: len(active)]


def _close_up(context: Decoder, active: list[_Reply], going: Sequence[bool]) -> None:
    """Take replies that are complete off their streams; the last ones move to where they stood."""
    for stream in reversed(range(len(active))):
        if not going[stream]:
            last = active.pop()
            if stream < len(active):
                context.copy(len(active), stream)
                active[stream] = last
            context.forget(len(active))


def _generated(model: Model, reply: _Reply) -> Generated:
    text = b"".join(map(model.piece, reply.made)).decode("utf-8", "replace")
    return Generated(text, tuple(reply.made))


def prompt_rng(seed: int, prompt: Sequence[int]) -> np.random.Generator:
    """The generator of one prompt: depends on the seed and its tokens alone."""
    digest = hashlib.sha256(np.asarray(prompt, "<i8").tobytes()).digest()
    return np.random.Generator(np.random.PCG64([seed, int.from_bytes(digest[:16], "little")]))


def choose(logits: NDArray[np.float32], sampling: Generate, rng: np.random.Generator, place: int = 0) -> int:
    """The next token from one row of logits [V]: the likeliest at temperature 0, else nucleus sampling.

    `top_p` keeps the fewest likeliest tokens whose probability reaches it (Holtzman et al. 2020).

    Raises:
        NotFiniteError: no logit is a number, or one is NaN or +∞; `row` is `place`.
    """
    best = int(np.argmax(logits))
    if not np.isfinite(logits[best]):
        raise NotFiniteError(place)
    if sampling.temperature <= 0:
        return best
    scaled = logits.astype(np.float64) / sampling.temperature
    weights = np.exp(scaled - scaled.max())
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    reached = np.searchsorted(np.cumsum(weights[order]), sampling.top_p) + 1
    kept = order[:reached]
    return int(rng.choice(kept, p=weights[kept] / weights[kept].sum()))


def _keep(model: Model, reply: _Reply, ask: Generate) -> bool:
    """Take the latest token into the reply; False when the reply is complete."""
    if len(reply.made) >= ask.max_new_tokens or model.ends_text(reply.latest):
        return False
    reply.made.append(reply.latest)
    return len(reply.made) < ask.max_new_tokens
