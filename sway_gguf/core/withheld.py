"""A result without the texts it is about, for those who may not hand them on. Knows records; nothing of what they mean.

Labels, notes and details quote what was asked: a stretch of twelve characters of any text is taken for a quotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sway_gguf.core.measurement import Item
from sway_gguf.core.result import ProbeResult, SuiteResult

QUOTED = 12
"""Characters in a row that make a quotation."""
_CUT = "…"


def without_texts(result: SuiteResult) -> SuiteResult:
    """The result without what was asked and what was replied; an item whose label quotes is known by number and key."""
    withheld = _Withheld(_texts(result))
    return replace(
        result,
        texts={},
        replies=(),
        heat=(),
        remarks=tuple(map(withheld.cut, result.remarks)),
        headline=withheld.cut(result.headline),
        axes=tuple(replace(axis, reason=withheld.cut(axis.reason)) for axis in result.axes),
        probes=tuple(map(withheld.probe, result.probes)),
    )


def _texts(result: SuiteResult) -> Iterable[str]:
    """All that was asked or answered in words."""
    for probe in result.probes:
        for item in (*probe.items, *probe.controls):
            yield from item.asked
    for asked in result.texts.values():
        yield from asked
    for reply in result.replies:
        yield from (reply.request, reply.prompt, reply.base, reply.tuned, reply.wanted)
    for heat in result.heat:
        yield from (heat.lead, "".join(heat.tokens))


class _Withheld:
    """Cuts quotations of `texts` out of what a result says."""

    def __init__(self, texts: Iterable[str]) -> None:
        spellings = {spelt for text in texts for spelt in (text, " ".join(text.split()))}
        self._known = {text[at : at + QUOTED] for text in spellings for at in range(len(text) - QUOTED + 1)}
        self._short = {text.strip() for text in spellings if 0 < len(text.strip()) < QUOTED}

    def cut(self, words: str) -> str:
        """`words` without what they quote."""
        quoted = [False] * len(words)
        for at in range(len(words) - QUOTED + 1):
            if words[at : at + QUOTED] in self._known:
                quoted[at : at + QUOTED] = [True] * QUOTED
        kept = []
        for at, letter in enumerate(words):
            if not quoted[at]:
                kept.append(letter)
            elif not at or not quoted[at - 1]:
                kept.append(_CUT)
        return "".join(kept)

    def probe(self, probe: ProbeResult) -> ProbeResult:
        """A probe's result without quotations."""
        return replace(
            probe,
            reason=self.cut(probe.reason),
            notes=tuple(map(self.cut, probe.notes)),
            checks=tuple(replace(check, text=self.cut(check.text)) for check in probe.checks),
            details=self._value(probe.details),
            items=self._items(probe.items),
            controls=self._items(probe.controls),
        )

    def _items(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(
            replace(item, asked=(), label=self._label(item, number), detail=self._value(item.detail))
            for number, item in enumerate(items, 1)
        )

    def _label(self, item: Item, number: int) -> str:
        """A label that says nothing of a text, such as a section's name, stays."""
        bare = item.label.strip("'\"")
        quotes = self.cut(item.label) != item.label or bare in self._short
        return f"item {number} ({item.key})" if quotes else item.label

    def _value(self, value: Any) -> Any:
        """Details, whatever they are made of."""
        if isinstance(value, str):
            return self.cut(value)
        if isinstance(value, Mapping):
            return {self._value(key): self._value(each) for key, each in value.items()}
        return tuple(map(self._value, value)) if isinstance(value, list | tuple) else value
