"""How a server is asked for log-probabilities of given tokens: in stretches that it can be made to write.

llama-server gives those of tokens that it writes, never of a prompt's. So a text is written once more, held to its own
tokens, and each step tells what the model gives to the token that has to come. What cannot be forced is asked by
itself. Knows tokens and steps; neither views nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import LogProbs, TokenDist
from sway_gguf.engine.bare import whole_row
from sway_gguf.engine.llama_server import Step
from sway_gguf.engine.packing import Job
from sway_gguf.engine.reduce import NotFiniteError
from sway_gguf.engine.scoring import Ask

TOP = 1024
"""Likeliest tokens that a distribution is asked for; what lies outside is told."""
_NO_MASS = 1e-12
"""Outside of the tokens told, where rounding leaves less."""


class Vocabulary(Protocol):
    """The part of a model that this file needs."""

    vocabulary: int

    def piece(self, token: int, *, control: bool = False) -> bytes:
        """The bytes of one token."""
        ...

    def ends_text(self, token: int) -> bool:
        """Whether generation stops at it."""
        ...


class Answering(Protocol):
    """A server with the scales of a view."""

    def forced(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[Step]:
        """As `LlamaServer.forced`."""
        ...

    def pushed(self, prompt: Sequence[int], token: int, top: int = 1) -> Step:
        """As `LlamaServer.pushed`."""
        ...


class Row(NamedTuple):
    """[V] log-probabilities, and the probability that lay outside the tokens that were told, spread evenly."""

    logprobs: LogProbs
    missing: float


class Scoring:
    """Scores jobs with a vocabulary.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._can_be_forced = cache(self._whole_and_going_on)
        self._plain = next(token for token in range(vocabulary.vocabulary) if _is_plain(vocabulary.piece(token)))

    def of(self, ask: Ask, server: Answering) -> list[NDArray[np.float64]]:
        """[targets] log-probabilities of the targets of each of an ask's jobs, nats; 0 for those between its stretches,
        which nobody reads.

        Raises:
            NotFiniteError: one is no finite number.
        """
        found: list[NDArray[np.float64]] = []
        at = ask.first_target
        for job in ask.jobs:
            places = range(at, at + len(job.targets))
            read = [not ask.stretches or any(start <= p < stop for start, stop in ask.stretches) for p in places]
            found.append(self._targets(job, read, server))
            at += len(job.targets)
        return found

    def _targets(self, job: Job, read: Sequence[bool], server: Answering) -> NDArray[np.float64]:
        whole = (*job.tokens, job.targets[-1])
        first = job.first_output + 1
        found = np.zeros(len(job.targets), np.float64)
        for start, stop in stretches(job.targets, read, self._can_be_forced):
            before, wanted = whole[: first + start], job.targets[start:stop]
            if self._can_be_forced(wanted[0]):
                found[start:stop] = [step.logprob for step in server.forced(before, wanted)]
            elif self._vocabulary.ends_text(wanted[0]):
                found[start] = server.pushed(before, wanted[0]).logprob
            else:
                found[start] = self._told(before, wanted[0], server)
        return found

    def row(self, job: Job, server: Answering) -> Row:
        """The distribution behind a job's tokens.

        Raises:
            NotFiniteError: one of its numbers is not finite.
        """
        size = self._vocabulary.vocabulary
        # A step is told only where its token is whole characters, so it is one that is.
        step = server.pushed(job.tokens, self._plain, min(TOP, size))
        ids = np.array([token for token, _ in step.top], np.int64)
        told = np.array([value for _, value in step.top], np.float64)
        rest = 1.0 - float(np.exp(told).sum())
        if ids.size == size:
            rest = 0.0
        elif rest <= 0.0:
            rest = _NO_MASS
        dist = TokenDist(ids, told.astype(np.float32), size, float(np.log(rest)) if rest else None)
        return Row(whole_row(dist), rest)

    def _told(self, before: Sequence[int], token: int, server: Answering) -> float:
        """Of a token that cannot be written: among the likeliest, or else among all."""
        for top in dict.fromkeys((min(TOP, self._vocabulary.vocabulary), self._vocabulary.vocabulary)):
            for one, value in server.pushed(before, self._plain, top).top:
                if one == token:
                    return value
        raise NotFiniteError(0)

    def _whole_and_going_on(self, token: int) -> bool:
        said = self._vocabulary.piece(token, control=True)
        return bool(said) and said[0] != 0 and not self._vocabulary.ends_text(token) and _is_whole(said)


def stretches(
    targets: Sequence[int], read: Sequence[bool], can_be_forced: Callable[[int], bool]
) -> Iterator[tuple[int, int]]:
    """(start, stop) of what is asked together: as many tokens that can be forced as stand behind each other, or one.

    Args:
        targets: token ids.
        read: whether anybody reads the target's number.
        can_be_forced: whether a token is.
    """
    start = 0
    while start < len(targets):
        stop = start + 1
        if read[start]:
            if can_be_forced(targets[start]):
                while stop < len(targets) and read[stop] and can_be_forced(targets[stop]):
                    stop += 1
            yield start, stop
        start = stop


def _is_plain(said: bytes) -> bool:
    """Whether a token is a letter or digits, of which no server makes anything else."""
    return said.isalnum() and said.isascii()


def _is_whole(said: bytes) -> bool:
    try:
        said.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
