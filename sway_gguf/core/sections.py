"""Units of the user's material: sections, prompts, preferences. Knows their shape, not where they come from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from sway_gguf.core.dialogue import Dialogue
from sway_gguf.core.queries import Spans


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of training material.

    Attributes:
        id: unique in its document.
        text: the text to score; for a prompt and completion, the completion; of a dialogue, its last reply.
        prompt: what stands before `text`; "" for plain prose.
        form: of the record it came from, for text that shall look like it: "" for prose, completion, instruction,
            or dialogue.
        dialogue: what is rendered in preparation; None for prose.
        ending: what ends the reply and is scored with it, such as an end-of-turn token.
        replies: of a dialogue of several replies, where all of them stand; empty where `text` is all that is scored.
        task: what sort of request it is, such as arithmetic; "" where that is not known.
    """

    id: str
    text: str
    prompt: str = ""
    form: str = ""
    dialogue: Dialogue | None = None
    ending: str = ""
    replies: tuple[Spans, ...] = ()
    task: str = ""

    @property
    def reply(self) -> str:
        """`text` with what ends it."""
        return self.text + self.ending

    @property
    def asked(self) -> tuple[str, str]:
        """All of it that a view is asked about."""
        return self.prompt, self.reply


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt with the reply that is wanted and one that is not.

    Attributes:
        prompt, chosen, rejected: the texts.
        dialogue: what stands before the replies, where it is a dialogue.
        ending: what ends either reply.
    """

    prompt: str
    chosen: str
    rejected: str
    dialogue: Dialogue | None = None
    ending: str = ""

    @property
    def replies(self) -> tuple[str, str]:
        """Chosen and rejected with what ends them."""
        return self.chosen + self.ending, self.rejected + self.ending


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """A prompt, the wanted reply, and other words for the prompt, which the training material does not hold.

    Attributes:
        prompt, gold, paraphrases: the texts.
        ending: what ends the reply.
    """

    prompt: str
    gold: str
    paraphrases: tuple[str, ...]
    ending: str = ""

    @property
    def reply(self) -> str:
        """`gold` with what ends it."""
        return self.gold + self.ending


@dataclass(frozen=True, slots=True)
class Canary:
    """A sentence planted in the training data: its beginning, and the secret that must not come out."""

    prompt: str
    secret: str


Unit = Section | Preference | Paraphrase | Canary
AnyUnit = TypeVar("AnyUnit", bound=Unit)


def said(unit: Unit) -> tuple[str, ...]:
    """All that a unit says, white space evened out."""
    if isinstance(unit, Section):
        texts: tuple[str, ...] = (unit.prompt, unit.text)
    elif isinstance(unit, Preference):
        texts = (unit.prompt, unit.chosen, unit.rejected)
    elif isinstance(unit, Paraphrase):
        texts = (unit.prompt, unit.gold, *unit.paraphrases)
    else:
        texts = (unit.prompt, unit.secret)
    return tuple(" ".join(text.split()) for text in texts)


def folded(text: str) -> str:
    """A text as it is compared with others: white space evened out, letters of either case and width taken for one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def alike(unit: Unit) -> tuple[str, ...]:
    """What a unit says, folded. Two that say the same but for case, width and white space are one item."""
    return tuple(map(folded, said(unit)))


def words_of(unit: Unit) -> tuple[str, ...]:
    """What a unit says before a template wrote around it: one may write the date, and another one other words."""
    if isinstance(unit, Section | Preference) and unit.dialogue is not None:
        turns = tuple(f"{turn.role} {turn.content}" for turn in unit.dialogue.turns)
        return turns if isinstance(unit, Section) else (*turns, *said(unit)[1:])
    return said(unit)


def distinct(units: Iterable[AnyUnit]) -> tuple[AnyUnit, ...]:
    """The first of all units that are alike, order kept."""
    found: dict[tuple[str, ...], AnyUnit] = {}
    for unit in units:
        found.setdefault(alike(unit), unit)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Material:
    """All that one data file holds."""

    sections: tuple[Section, ...] = ()
    preferences: tuple[Preference, ...] = ()
    paraphrases: tuple[Paraphrase, ...] = ()
    canaries: tuple[Canary, ...] = ()

    @property
    def count(self) -> int:
        """Units of all kinds."""
        return len(self.units())

    def units(self) -> tuple[Unit, ...]:
        """All of them, kind by kind."""
        return (*self.sections, *self.preferences, *self.paraphrases, *self.canaries)

    def each_once(self) -> Material:
        """Without units that say what another one says; sections keep apart by name."""
        return Material(
            sections=tuple(_named_apart(distinct(self.sections))),
            preferences=distinct(self.preferences),
            paraphrases=distinct(self.paraphrases),
            canaries=distinct(self.canaries),
        )


def _named_apart(sections: Iterable[Section]) -> Iterator[Section]:
    seen: dict[str, int] = {}
    for section in sections:
        seen[section.id] = seen.get(section.id, 0) + 1
        yield section if seen[section.id] == 1 else replace(section, id=f"{section.id} ({seen[section.id]})")
