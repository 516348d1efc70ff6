"""What becomes of think blocks, for a template that knows them. Knows answers; part of the probe `ending`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sway_gguf.core.answers import Answers
from sway_gguf.core.candidates import Thought
from sway_gguf.core.measurement import Check, checked
from sway_gguf.core.queries import Completion, Query

_OPENS, _CLOSES = "<think>", "</think>"
_THOUGHT = "\nThe question is plain, and I can answer it at once.\n"
_TURNED = 0.5
"""A probability that changes by this much says that the mode is another one now."""


def thinking_queries(thoughts: Sequence[Thought]) -> list[Query]:
    """How likely a block is opened, and closed after a short thought, in both modes."""
    return [
        Completion(*query) for thought in thoughts for prompt in (thought.on, thought.off) for query in _two(prompt)
    ]


def thinking_checks(base: Answers, other: Answers, thoughts: Sequence[Thought]) -> tuple[Check, ...]:
    """Misses where blocks are opened or closed otherwise than by the base; they warn."""
    return tuple(_checks(base, other, thoughts)) if thoughts else ()


def _checks(base: Answers, other: Answers, thoughts: Sequence[Thought]) -> Iterator[Check]:
    modes = {"on": [thought.on for thought in thoughts], "off": [thought.off for thought in thoughts]}
    for mode, prompts in modes.items():
        for place, does in enumerate(("opens", "closes")):
            before, after = (_mean(answers, [_two(prompt)[place] for prompt in prompts]) for answers in (base, other))
            told = f"with thinking {mode}, it {does} a think block in {after:.0%} (base {before:.0%})"
            yield checked(f"{does} {mode}", abs(after - before) < _TURNED, told, told)


def _two(prompt: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """(prompt, tag) of opening and of closing; a template may have opened the block already."""
    opened = prompt.rstrip().endswith(_OPENS)
    inside = prompt.rstrip() if opened else prompt + _OPENS
    return (prompt, _OPENS), (inside + _THOUGHT, _CLOSES)


def _mean(answers: Answers, queries: Sequence[tuple[str, str]]) -> float:
    return sum(math.exp(answers.completion(*query).logprob) for query in queries) / len(queries)
