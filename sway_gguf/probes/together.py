"""What a set of adapters did on one text: lifts of each alone and of all together, as numbers, words and records.

Knows lifts; neither views nor verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sway_gguf.core.measurement import Item
from sway_gguf.core.sections import Section
from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.interval import Interval, mean_interval
from sway_gguf.stats.standing import Lifts


@dataclass(frozen=True)
class Text:
    """Sections on which a set is looked at.

    Attributes:
        name: whose text it is.
        owners: adapters of which it speaks; none for unrelated text.
        sections: of it.
        controls: other text, in groups, against which a lift of it is held.
        own: whether it is the owners' own, and not one that the set shares.
    """

    name: str
    owners: tuple[int, ...]
    sections: tuple[Section, ...]
    controls: tuple[tuple[Section, ...], ...] = ()
    own: bool = True

    @property
    def asked(self) -> tuple[Section, ...]:
        """All that is asked, the sections first."""
        return (*self.sections, *(section for group in self.controls for section in group))


@dataclass(frozen=True)
class Skill:
    """What an adapter alone does to a text beyond other text, nats per token, with its interval where there is one."""

    value: float
    interval: Interval | None

    @property
    def sure(self) -> bool:
        """Whether it is beyond zero."""
        return self.interval is not None and self.interval.low > 0

    def __str__(self) -> str:
        return _spanned(self.value, self.interval)


@dataclass(frozen=True)
class Found:
    """Lifts on one text, nats per token.

    Attributes:
        text: it.
        names: of the adapters.
        alone: [k, n] of each alone.
        together: [n] of the set.
        controls: [k, m] of each alone on each group of other text.
        lifted: the items of the set, in the order of the text's sections.
    """

    text: Text
    names: tuple[str, ...]
    alone: Lifts
    together: Lifts
    controls: tuple[Lifts, ...]
    lifted: tuple[Item, ...]

    @property
    def interaction(self) -> Lifts:
        """[n] lift of the set less the sum of the lifts of each alone."""
        return np.asarray(self.together - self.alone.sum(axis=0))

    @property
    def items(self) -> Iterator[Item]:
        """The interaction, section by section."""
        for number, (item, value) in enumerate(zip(self.lifted, self.interaction, strict=True)):
            alone = dict(zip(self.names, map(float, self.alone[:, number]), strict=True))
            detail = {"text": self.text.name, "alone": alone, "together": item.value}
            yield Item(item.label, float(value), detail, asked=item.asked)

    def skill(self, place: int, *, confidence: float) -> Skill:
        """Of one adapter: its lift less what the group of other text gained that gained most."""
        own, groups = self.alone[place].tolist(), [group[place].tolist() for group in self.controls]
        interval = mean_interval(own, groups, confidence=confidence)
        return Skill(float(contrast(own, groups)), interval)

    def told(self) -> str:
        """All of it in a sentence, each number with its interval."""
        alone = (f"{name} alone {self._shown(row)}" for name, row in zip(self.names, self.alone, strict=True))
        both = f"together {self._shown(self.together)}, interaction {self._shown(self.interaction)} nats/token"
        return f"on {self.text.name}: {', '.join(alone)}, {both}"

    def record(self) -> dict[str, Any]:
        """The same for result.json."""
        return {
            "text": self.text.name,
            "items": len(self.together),
            "alone": {name: self._record(row) for name, row in zip(self.names, self.alone, strict=True)},
            "together": self._record(self.together),
            "interaction": self._record(self.interaction),
        }

    def _shown(self, values: Lifts) -> str:
        return _spanned(float(values.mean()), mean_interval(values.tolist()))

    def _record(self, values: Lifts) -> dict[str, Any]:
        span = mean_interval(values.tolist())
        return {"value": float(values.mean()), "interval": None if span is None else [span.low, span.high]}


def two_decimals(value: float) -> str:
    """With two decimals, and no sign before nothing."""
    return f"{round(float(value), 2) + 0.0:.2f}"


def _spanned(value: float, span: Interval | None) -> str:
    return two_decimals(value) + (f" [{two_decimals(span.low)}, {two_decimals(span.high)}]" if span else "")
