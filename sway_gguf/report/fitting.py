"""Sections of a text that has to stay under a length: rows are left out from what matters least, and it is told.

Knows lengths; not what the sections say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_NOTE_ROOM = 400


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a report.

    Attributes:
        title: by which it is told that it was cut.
        head, tail: stand before and after the rows; a section without rows is its head.
        rows: a line or a block each; the last ones go first.
        rank: sections of small rank are kept before those of larger.
    """

    title: str
    head: str
    rows: tuple[str, ...] = ()
    tail: str = ""
    rank: int = 0

    def text(self, kept: int) -> str:
        """With so many of its rows."""
        return "\n".join(part for part in (self.head, *self.rows[:kept], self.tail) if part)


def fitted(sections: Sequence[Section], limit: int) -> str:
    """The sections in their order, a blank line between them, in at most `limit` characters.

    Where something was left out, the last paragraph says of which section how much.
    """
    room = limit - _NOTE_ROOM
    kept: dict[int, int] = {}
    for place in sorted(range(len(sections)), key=lambda place: (sections[place].rank, place)):
        section = sections[place]
        left = room - len(section.text(0)) - 2
        if left < 0:
            continue
        count = 0
        for each in section.rows:
            if left < len(each) + 1:
                break
            left -= len(each) + 1
            count += 1
        if section.rows and not count:
            continue
        kept[place] = count
        room = left
    parts = [sections[place].text(count) for place, count in sorted(kept.items())]
    cut = [_cut(section, kept.get(place)) for place, section in enumerate(sections)]
    if any(cut):
        told = "; ".join(filter(None, cut))
        parts.append(f"_Left out, for the length: {told[: _NOTE_ROOM - 60]}. result.json has it all._")
    return "\n\n".join(parts) + "\n"


def _cut(section: Section, kept: int | None) -> str:
    if kept is None:
        return section.title
    left_out = len(section.rows) - kept
    return f"{left_out} of {len(section.rows)} in {section.title}" if left_out else ""
