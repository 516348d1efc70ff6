"""Unrelated text without what the adapter was trained on. Knows sections; neither files nor what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sway_gguf.core.sections import Section, words_of

_TELLING = 40
"""Characters of a text that stands word for word in a longer one by more than chance."""


def apart(general: Sequence[Section], trained: Iterable[Section]) -> tuple[Section, ...]:
    """The sections of `general` that `trained` does not hold, as sections of its own or inside of its prose.

    What the adapter learned is lifted with the material, so it is neither a control nor something to be left alone.
    """
    known = list(trained)
    seen = set(map(_words, known))
    prose = "\n".join(_even(section.prompt + section.text) for section in known if section.dialogue is None)
    return tuple(one for one in general if _words(one) not in seen and not _inside(one, prose))


def _inside(section: Section, prose: str) -> bool:
    text = _even(section.prompt + section.text)
    return section.dialogue is None and len(text) >= _TELLING and text in prose


def _words(section: Section) -> tuple[str, ...]:
    return tuple(map(_even, words_of(section)))


def _even(text: str) -> str:
    """With single spaces between words."""
    return " ".join(text.split())
