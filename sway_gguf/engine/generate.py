"""Batched generation: one stream per prompt, one token per stream and step.

Each prompt draws from its own generator, seeded by (seed, prompt), so its mates do not matter. A token alone in a
batch runs through other kernels than one among several, whose numbers agree bit for bit however many there are (on
the CPU): a lone token is therefore given a mate in a spare stream, and a reply is the same alone and in company.
Knows contexts and tokens; nothing of views or adapters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Generated
from sway_gguf.core.queries import Generate
from sway_gguf.engine.batch import Piece
from sway_gguf.engine.llama import Model
from sway_gguf.engine.packing import Job, Limits, parts_of, steps
from sway_gguf.engine.reduce import NotFiniteError
from sway_gguf.engine.timing import Decoder


@dataclass(slots=True)
class _Stream:
    """One prompt on its way: `length` tokens are in the cache, `latest` is the newest, not yet fed."""

    place: int
    length: int
    latest: int
    rng: np.random.Generator
    made: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Spare:
    """A stream that holds no prompt; whatever it is fed is forgotten before it is fed again."""

    context: Decoder
    stream: int

    def beside(self, pieces: list[Piece]) -> list[Piece]:
        """The pieces, with a mate from the spare stream where they hold a single token."""
        if sum(len(piece.tokens) for piece in pieces) != 1:
            return pieces
        self.context.forget(self.stream)
        return [*pieces, Piece((self.stream,), 0, pieces[0].tokens, 1)]


def generate_group(
    model: Model,
    context: Decoder,
    asks: Sequence[Generate],
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    progress: Callable[[int], None],
    *,
    rerun: bool = False,
) -> list[Generated]:
    """Continue tokenized prompts side by side in an empty context.

    Args:
        model: for the bytes of tokens and the end of text.
        context: with at least one stream more than prompts, each long enough for prompt and reply.
        asks: how, per prompt.
        prompts: token ids, the longest first.
        limits: of a batch.
        progress: called with the tokens evaluated.
        rerun: read the prompts in other batches, to show the numerical noise.

    Raises:
        NotFiniteError: the logits are not finite; `row` is the prompt's index.
    """
    streams = [
        _Stream(place, len(prompt), -1, prompt_rng(ask.seed, prompt))
        for place, (ask, prompt) in enumerate(zip(asks, prompts, strict=True))
    ]
    spare = _Spare(context, len(prompts))
    for place, row in _read_prompts(context, prompts, limits, spare, rerun):
        streams[place].latest = choose(row, asks[place], streams[place].rng, place)
    progress(sum(map(len, prompts)))
    active = [stream for stream in streams if _keep(model, stream, asks[stream.place])]
    while active:
        pieces = [Piece((stream.place,), stream.length, (stream.latest,), 0) for stream in active]
        logits = context.decode(spare.beside(pieces))
        for stream, row in zip(active, logits, strict=True):
            stream.length += 1
            stream.latest = choose(row, asks[stream.place], stream.rng, stream.place)
        progress(len(active))
        active = [stream for stream in active if _keep(model, stream, asks[stream.place])]
    return [_reply(model, stream) for stream in streams]


def _reply(model: Model, stream: _Stream) -> Generated:
    text = b"".join(map(model.piece, stream.made)).decode("utf-8", "replace")
    return Generated(text, tuple(stream.made))


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


def _read_prompts(
    context: Decoder, prompts: Sequence[Sequence[int]], limits: Limits, spare: _Spare, rerun: bool
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Feed the prompts one after the other, each in the batches it would have alone; yields (place, its logits)."""
    for place, prompt in enumerate(prompts):
        job = Job(tuple(prompt), len(prompt) - 1)
        calls = (part for call in steps([job], limits) for part in parts_of(call, rerun))
        for (stretch,) in calls:
            wanted = job.first_output - stretch.start
            piece = Piece((place,), stretch.start, job.tokens[stretch.start : stretch.stop], wanted)
            logits = context.decode(spare.beside([piece]))
        yield place, logits[0].copy()


def _keep(model: Model, stream: _Stream, ask: Generate) -> bool:
    """Take the latest token into the reply; False when the reply is complete."""
    if len(stream.made) >= ask.max_new_tokens or model.ends_text(stream.latest):
        return False
    stream.made.append(stream.latest)
    return len(stream.made) < ask.max_new_tokens
