"""Text that was not trained on, without what was. Knows units; neither files nor what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sway_gguf.core.sections import Section, Unit, folded, words_of

_TELLING = 40
"""Characters of a text that stands word for word in a longer one by more than chance."""


def apart(others: Sequence[Section], trained: Iterable[Section]) -> tuple[Section, ...]:
    """The sections of `others` that `trained` does not hold, as sections of its own or inside of its prose.

    What the adapter learned is lifted with the material: it is no control, nothing to be left alone, and nothing that
    was held out.
    """
    unseen = Unseen(others)
    for section in trained:
        unseen.see(section)
    return tuple(section for section in unseen.left if isinstance(section, Section))


class Unseen:
    """Units, less those that turn up in what was trained on, which is shown piece by piece.

    Case, width and white space tell no text from another. Prose is found inside of other prose too, also where it
    reaches from one piece into the next.

    Args:
        units: to begin with.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self._left = dict(enumerate(units))
        self._alike: dict[tuple[str, ...], list[int]] = {}
        self._within: dict[str, list[tuple[int, str]]] = {}
        for number, unit in self._left.items():
            self._alike.setdefault(_words(unit), []).append(number)
            text = _prose(unit)
            if len(text) >= _TELLING:
                self._within.setdefault(_telling(text), []).append((number, text))
        self.count, self._before = len(self._left), ""

    @property
    def left(self) -> tuple[Unit, ...]:
        """Those that have not turned up, in order."""
        return tuple(self._left.values())

    def see(self, unit: Unit) -> None:
        """Take out what this trained unit holds."""
        for number in self._alike.get(_words(unit), ()):
            self._left.pop(number, None)
        text = _prose(unit)
        if not text:
            return
        both, self._before = f"{self._before} {text}", text
        for word in self._within.keys() & {"", *both.split()}:
            for number, inside in self._within[word]:
                if inside in both:
                    self._left.pop(number, None)


def _words(unit: Unit) -> tuple[str, ...]:
    return tuple(map(folded, words_of(unit)))


def _prose(unit: Unit) -> str:
    """All of a section that is no dialogue, folded."""
    if not isinstance(unit, Section) or unit.dialogue is not None:
        return ""
    return folded(unit.prompt + unit.text)


def _telling(text: str) -> str:
    """The longest word, by which a text is looked for; "" where it is written without spaces."""
    word = max(text.split(), key=len)
    return word if len(word) < _TELLING else ""
