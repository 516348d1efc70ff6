"""Holds kept answers against the model once more. Knows requests and values as bytes; computes nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sway_gguf.engine.store import AnswerStore

Recompute = Callable[[bytes], bytes | None]
"""The value of a request, computed anew; None where its model, or the build that answered, is not at hand."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a sample.

    Attributes:
        agreed: values that came out bit for bit the same.
        differed: those that did not; they are gone from the store.
        unknown: those that could not be computed here.
    """

    agreed: int = 0
    differed: int = 0
    unknown: int = 0


def checked(
    store: AnswerStore, count: int, recompute: Recompute, on_answer: Callable[[], None] = lambda: None
) -> Checked:
    """Compute up to `count` answers again, drawn at random, and remove those that differ.

    Args:
        store: of answers, in use.
        count: answers to draw.
        recompute: computes one.
        on_answer: called behind each.
    """
    agreed = differed = unknown = 0
    # Requests begin with what they hang on: in their order, each model is loaded once.
    for request, value in sorted(store.sample(count)):
        again = recompute(request)
        if again is None:
            unknown += 1
        elif again == value:
            agreed += 1
        else:
            differed += 1
            store.remove(request)
        on_answer()
    return Checked(agreed, differed, unknown)
