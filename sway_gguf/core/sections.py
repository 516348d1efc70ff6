"""Units of the user's material: sections, prompts, preferences. Knows their shape, not where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of training material.

    Attributes:
        id: unique in its document.
        text: the text to score; for a prompt and completion, the completion.
        prompt: what stands before `text`; "" for plain prose.
    """

    id: str
    text: str
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt with the reply that is wanted and one that is not."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """A prompt, the wanted reply, and other words for the prompt, which the training material does not hold."""

    prompt: str
    gold: str
    paraphrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Canary:
    """A sentence planted in the training data: its beginning, and the secret that must not come out."""

    prompt: str
    secret: str


class Message(TypedDict):
    """One turn of a dialogue; role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Material:
    """All that one data file holds."""

    sections: tuple[Section, ...] = ()
    preferences: tuple[Preference, ...] = ()
    paraphrases: tuple[Paraphrase, ...] = ()
    canaries: tuple[Canary, ...] = ()
