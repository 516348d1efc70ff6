"""interaction: what does each adapter of a set do alone, what do they do together, and what does one cost the other?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.listing import too_few
from sway_gguf.core.measurement import Check, Measurement, Row, Table
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Query
from sway_gguf.core.rules import Findings
from sway_gguf.core.sections import Section, alike, distinct
from sway_gguf.probes.base import Probe
from sway_gguf.probes.lift import UNRELATED, controls_of, queries_of, section_lift, unrelated_of
from sway_gguf.probes.together import Found, Text, two_decimals
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.stats.standing import standings

_ALIKE = 0.5
"""Cosine of two updates from which on they are told to point the same way, or against each other."""


class InteractionOptions(ProbeOptions):
    """Fields of `interaction`."""

    kind: Literal["interaction"] = "interaction"
    max_sections: int = Field(default=24, ge=MIN_ITEMS, description="of each adapter's text, drawn by their content")
    max_controls: int = Field(default=8, ge=1, description="pieces of other text, of each sort")
    tolerance: float = Field(default=0.1, ge=0, lt=0.5, description="share of an adapter's lift that may be lost")


class Interaction(Probe[InteractionOptions]):
    """lift(A + B) − lift(A) − lift(B), the mean over the adapters' texts, nats per token.

    The lift of a text is the change in its mean log-probability per token from the base. On the text of each adapter
    (what was kept out of its training where there are five items of it, else what it was trained on, else the text that
    the set shares) it is measured for each adapter alone, at its scale, and for all together, paired item by item. On
    unrelated text the same is shown, to see which of them does what damage. An adapter has a skill where it lifts its
    text by more than unrelated text, and than that text's own words and letters in another order.

    A set does not keep an adapter's skill where it lifts that adapter's text by less than the adapter alone does: by
    more than `tolerance` it warns, by more than half it fails. It is said only where the lower bound of the loss, taken
    over all that is compared at once, lies above zero. The cosine of two updates tells why an interaction is large: two
    of the same direction do together little more than one (1), and two opposite ones undo each other (−1).
    """

    kind = "interaction"
    axis = "direction"
    question = "Does each adapter of the set keep beside the others what it taught?"
    unit = "nats/token"
    passing = (
        "the set lifts each adapter's text by what that adapter alone does or more (warns where more than `tolerance` "
        "of it is surely lost, or an adapter alone does not surely lift its own text; fails where more than half is)"
    )
    caveat = (
        "lift is not yet skill: each adapter alone is held against noise by a run of its own, not here; and an "
        "interaction below zero is no damage where both adapters taught the same."
    )
    options_type = InteractionOptions
    quick = False
    of_sets: ClassVar[bool] = True
    rule = Findings(answers=False)  # It qualifies what others found of the set.
    shows_nulls = False  # The set as a whole is held against nulls, by other probes.

    @property
    def members(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(range(len(self.sources.members)))

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """Each adapter's own, what the others share, and unrelated text."""
        owners: dict[tuple[Section, ...], list[int]] = {}
        for place, member in enumerate(self.sources.members):
            if member.sections:
                owners.setdefault(self._some(member.sections), []).append(place)
        found = [self._text(self._text_of(places), places, sections) for sections, places in owners.items()]
        owned = {each for member in self.sources.members for each in (*member.owned, *map(alike, member.sections))}
        sharing = tuple(place for place, member in enumerate(self.sources.members) if not member.sections)
        lead = self.sources.holdout if len(self.sources.holdout) >= MIN_ITEMS else self.sources.sections
        shared = self._some([section for section in lead if alike(section) not in owned]) if sharing else ()
        if shared:
            found.append(self._text("the data", sharing, shared, own=False))
        unrelated = tuple(unrelated_of(self.sources, self.options.max_controls))
        return (*found, Text(UNRELATED, (), unrelated)) if found and unrelated else tuple(found)

    def _text(self, name: str, owners: Sequence[int], sections: tuple[Section, ...], *, own: bool = True) -> Text:
        groups = controls_of(self.sources, sections, self.options.max_controls).values()
        controls = tuple(tuple(group) for group in groups if len(group) >= MIN_ITEMS)
        return Text(name, tuple(owners), sections, controls, own)

    def _text_of(self, places: Sequence[int]) -> str:
        names = [self._names[place] for place in places]
        return f"{names[0]}'s text" if len(names) == 1 else f"the text of {' and '.join(names)}"

    def _some(self, sections: Sequence[Section]) -> tuple[Section, ...]:
        return tuple(sample_of(distinct(sections), self.options.max_sections))

    def missing(self) -> str:
        """Several adapters, and text of theirs."""
        if len(self.sources.members) < 2:
            return "one adapter alone has nothing to interact with"
        return (
            "" if self.texts else "give --data FILE, or --data-of ADAPTER FILE, with what the adapters were trained on"
        )

    def ask(self) -> Sequence[Query]:
        """Scores of all sections."""
        return queries_of(section for text in self.texts for section in text.asked)

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Lifts under one view, text after text."""
        items = tuple(section_lift(base, other, section) for text in self.texts for section in text.asked)
        return Measurement(float(np.mean([item.value for item in items])), items)

    def over_members(self, together: Measurement, alone: Mapping[int, Measurement]) -> Measurement:
        """What each does alone, what they do together, and what that costs whom."""
        found = list(self._found(together, alone))
        owned = [each for each in found if each.text.owners]
        items = tuple({item.key: item for each in owned for item in each.items}.values())
        checks, open_ = list[Check](), list[str]()
        for each in owned:
            self._judge(each, checks, open_)
        judged = {place for each in owned for place in each.text.owners}
        open_ += [
            f"no text tells what {self._names[place]} taught; give --data-of for it"
            for place in self.members
            if place not in judged
        ]
        missed = any(not check.passed for check in checks)
        return Measurement(
            float(np.mean([item.value for item in items])),
            items,
            checks=tuple(checks),
            undecided="" if missed else "; ".join(open_),
            notes=(*(check.text for check in checks), *(each.told() for each in found), *self._alike()),
            details={"texts": [each.record() for each in found]},
            headline=self._headline(checks),
            table=self._table(found),
        )

    def _found(self, together: Measurement, alone: Mapping[int, Measurement]) -> Iterator[Found]:
        lifts = np.array([[item.value for item in alone[place].items] for place in self.members])
        whole, start = np.array([item.value for item in together.items]), 0
        for text in self.texts:
            ends = start + np.cumsum([len(text.sections), *map(len, text.controls)])
            own, *controls = np.split(lifts[:, start : ends[-1]], ends[:-1] - start, axis=1)
            part = slice(start, start + len(text.sections))
            yield Found(text, self._names, own, whole[part], tuple(controls), together.items[part])
            start = int(ends[-1])

    def _judge(self, found: Found, checks: list[Check], open_: list[str]) -> None:
        """Whether the adapters that a text speaks of keep their lift there; adds to checks, and to what is open."""
        text, seed, level = found.text, self.sources.seed, 0.05 / self._judged
        own = found.alone[list(text.owners)]
        known = standings(own, found.together, self.options.tolerance, seed=seed, confidence=1 - level)
        if known is None:
            count = len(found.together)
            open_.append(too_few(count, MIN_ITEMS, f"item of {text.name}", f"items of {text.name}"))
            return
        # Noise lifts unlikely text too; what an adapter taught lies beyond other text.
        skills = {place: found.skill(place, confidence=1 - level / len(text.owners)) for place in text.owners}
        if not (text.own or any(skill.sure for skill in skills.values())):
            open_.append(f"no adapter alone surely lifts {text.name} beyond other text, so there is nothing to keep")
        for place, lifts, each in zip(text.owners, own, known, strict=True):
            name, others = self._names[place], self._others(place)
            if not skills[place].sure:
                if text.own:
                    why = f"alone does not surely lift its own text beyond other text ({skills[place]})"
                    checks.append(Check(name, False, f"{name} {why}"))
                continue
            alone = text.own and len(text.owners) == 1
            whose = f"the lift on {text.name}" if alone else f"the lift of {name} on {text.name}"
            both = f"from {two_decimals(lifts.mean())} to {two_decimals(found.together.mean())} nats/token"
            moved = two_decimals(lifts.mean()) != two_decimals(found.together.mean())
            how = "falls" if each.falls and moved else "rises" if each.rises and moved else "is kept,"
            if each.loses or each.keeps:
                checks.append(Check(name, each.keeps, f"with {others} {whose} {how} {both}", fails=each.gone))
            elif each.falls:
                share = f"{self.options.tolerance:.0%}"
                open_.append(
                    f"with {others} {whose} falls {both}; whether by more than {share} is open, give more items"
                )
            else:
                open_.append(f"whether {others} takes something of {whose} is open, {both}; give more items")

    @property
    def _judged(self) -> int:
        """Texts over which what is said has to hold at once."""
        return max(1, sum(bool(text.owners) for text in self.texts))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.sources.members)

    def _others(self, place: int) -> str:
        others = [name for other, name in enumerate(self._names) if other != place]
        return others[0] if len(others) == 1 else "the others"

    def _headline(self, checks: Sequence[Check]) -> str:
        gone = [check.text for check in checks if not check.passed and check.fails]
        return f"What an adapter taught is mostly gone beside the others: {'; '.join(gone)}." if gone else ""

    def _alike(self) -> Iterator[str]:
        """Why an interaction is large, where the updates themselves tell."""
        for one, other in combinations(self.members, 2):
            cosine = self.sources.likeness(one, other)
            if abs(cosine) >= _ALIKE:
                why = (
                    "the same way: what one does the other does as well, and together they do less than the sum"
                    if cosine > 0
                    else "against each other: what one does the other takes back"
                )
                yield f"the updates of {self._names[one]} and {self._names[other]} (cosine {cosine:.2f}) point {why}"

    def _table(self, found: Sequence[Found]) -> Table:
        columns = (*(f"{name} alone" for name in self._names), "together", "interaction")
        rows = (
            Row(each.text.name, tuple(float(row.mean()) for row in (*each.alone, each.together, each.interaction)))
            for each in found
        )
        return Table(columns, tuple(rows))
