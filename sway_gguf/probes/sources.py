"""What probes draw on: the text of a run, what is known of its adapters, and how its format puts things.

Holds values and functions that others gave; reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sway_gguf.core.adapter_facts import AdapterFacts
from sway_gguf.core.candidates import Candidate, Thought
from sway_gguf.core.dialogue import Render
from sway_gguf.core.queries import Query
from sway_gguf.core.sections import Canary, Paraphrase, Preference, Section
from sway_gguf.core.training import Training

Thing = TypeVar("Thing")


def no_checkpoint(folder: Path) -> Training:
    """For a suite in which nothing reads one."""
    raise FileNotFoundError(folder)


def always(query: Query) -> bool:
    """For a context of unknown size."""
    return True


def nothing(count: int) -> tuple[()]:
    """For a run without templates.

    Returns:
        ().
    """
    return ()


def as_it_is(given: Thing) -> Thing:
    """For a run in plain text.

    Returns:
        `given`.
    """
    return given


def in_other_words(prompt: str, words: str) -> str:
    """The same.

    Returns:
        `words`.
    """
    return words


@dataclass(frozen=True, slots=True)
class SetMember:
    """An adapter of a set.

    Attributes:
        name: what reports call it.
        sections: the text of its own that tells what it taught: what was kept out of its training where there is
            enough of it, and else what it was trained on; empty where the set shares its text.
        owned: what all of its own text says, that which is not asked among it.
    """

    name: str
    sections: tuple[Section, ...] = ()
    owned: frozenset[tuple[str, ...]] = frozenset()


def unlike(one: int, other: int) -> float:
    """For adapters of which nothing is known.

    Returns:
        0.
    """
    return 0.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Text that probes may draw on when their own options give none.

    Attributes:
        sections: of the user's training material.
        preferences: of the same.
        paraphrases, canaries: of the same.
        holdout: text like the material that was kept out of training.
        general: unrelated text, one piece each.
        controls: unrelated text in the form of the material; general text as prose where none is given.
        everyday: unrelated requests with replies, as the model speaks with its users; none without a chat template.
        prompts: that stop in mid-sentence; from the material where there is any.
        request: makes a prompt of what a user asks, as the run's format has it.
        spoken: the same for a unit that a probe's own options give.
        requests: what the user asks, by the prompt.
        reworded: a prompt once more with other words for what is asked last in it.
        candidates: so many replies as each of several templates puts them, the run's own first; rendered when called.
        thoughts: so many requests with thinking asked for and not; none where the template knows no thinking.
        seed: of everything random in a probe.
        adapter: tells what the adapter's factors say of it, or those of each of a set; None where there is none.
        adapter_hash: sha256 of the adapter's file; of a set with the scales.
        members: of a set of several adapters; empty for one.
        likeness: cosine of the updates of two members, by their places.
        chat: renders dialogues as the run's format has them, or else the model's own template; None without one.
        checkpoint: reads a trainer's folder.
        embedder: name of what embeds texts; "" for the base's own hidden states.
        context: tokens that the engine evaluates in one piece at most; None where that is not known.
        holds: whether the context holds a query.
        folder: paths in a probe's options start here.
    """

    sections: tuple[Section, ...] = ()
    preferences: tuple[Preference, ...] = ()
    paraphrases: tuple[Paraphrase, ...] = ()
    canaries: tuple[Canary, ...] = ()
    holdout: tuple[Section, ...] = ()
    general: tuple[str, ...] = ()
    controls: tuple[Section, ...] = ()
    everyday: Sequence[Section] = ()
    prompts: tuple[str, ...] = ()
    request: Callable[[str], str] = as_it_is
    spoken: Callable[[Any], Any] = as_it_is
    requests: Mapping[str, str] = field(default_factory=dict)
    reworded: Callable[[str, str], str] = in_other_words
    candidates: Callable[[int], tuple[Candidate, ...]] = nothing
    thoughts: Callable[[int], tuple[Thought, ...]] = nothing
    seed: int = 0
    adapter: Callable[[], Sequence[AdapterFacts]] | None = None
    adapter_hash: str = ""
    members: tuple[SetMember, ...] = ()
    likeness: Callable[[int, int], float] = unlike
    chat: Render | None = None
    checkpoint: Callable[[Path], Training] = no_checkpoint
    embedder: str = ""
    context: int | None = None
    holds: Callable[[Query], bool] = always
    folder: Path = Path()


def embedded_by(sources: Sources) -> str:
    """A note on where embeddings come from."""
    return f"embeddings by {sources.embedder or 'the mean of the base model’s own last hidden states'}"
