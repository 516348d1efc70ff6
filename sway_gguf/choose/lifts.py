"""What every candidate of a pick is asked, and what its answers come to beside the base's. Knows probes and answers.

All of it are log-probabilities of given texts, one forward pass each: leakage is read off the very scores of the lift,
as the number of samples that would bring a passage out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sway_gguf.collect import QueryGroup, groups_of
from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Measurement
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Query
from sway_gguf.core.sections import Section, distinct
from sway_gguf.probes.lift import queries_of, section_lift
from sway_gguf.probes.registry import all_kinds
from sway_gguf.stats.extraction import samples_needed
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.texts import picked

PROSE, EVERYDAY, ENDING = "external_perplexity", "everyday_replies", "ending"
KINDS = (PROSE, EVERYDAY, ENDING)
DATA_ITEMS, HELD_OUT_ITEMS = 12, 32
"""Of the data fewer, where something was held out: its lift only has to show that it rises then."""
SAMPLES, CHANCE = 1000, 0.5
"""A passage is discoverable where so many samples bring it out with this chance, as the probe `leakage` has it."""
_BEGINNING, _PASSAGE, _LEAST = 16, 40, 8
"""Tokens of prose that are its beginning; that a passage has at most, and at least to mean anything."""


@dataclass(frozen=True, slots=True)
class Lifts:
    """One candidate's numbers, item by item; the same items in the same places for every candidate.

    Attributes:
        data, held_out: change in mean log-probability per token of each section, nats.
        prose, everyday: the same of unrelated text; empty where the base models too little of it, or there is none.
        ending: change of the log-probability of what ends a reply, nats.
        leaked, leaked_unseen: of each passage, 1 where it became discoverable, −1 where it ceased to be, else 0.
        endless: what the probe of endings says of a model that no longer ends its replies, or "".
    """

    data: tuple[float, ...]
    held_out: tuple[float, ...]
    prose: tuple[float, ...] = ()
    everyday: tuple[float, ...] = ()
    ending: tuple[float, ...] = ()
    leaked: tuple[float, ...] = ()
    leaked_unseen: tuple[float, ...] = ()
    endless: str = ""


def suite() -> list[dict[str, object]]:
    """The spec's entries for what is measured beside the lifts, as `check` measures it."""
    kinds = all_kinds()
    unasked = {EVERYDAY: {"replies": 0}}  # Whoever ships is checked for what it replies itself.
    return [{"name": kind, "kind": kind, **kinds[kind].quick_options, **unasked.get(kind, {})} for kind in KINDS]


class Asked:
    """What is asked of the base and of every candidate.

    Args:
        prepared: a run of `suite`, whose texts they are.
    """

    def __init__(self, prepared: Prepared) -> None:
        sources = picked(prepared.spec, prepared.texts)
        self.held_out = sample_of(distinct(sources.holdout), HELD_OUT_ITEMS)
        self.data = sample_of(distinct(sources.sections), DATA_ITEMS if self.held_out else HELD_OUT_ITEMS)
        self._probes = {probe.kind: probe for probe in prepared.probes}

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        """Each once."""
        probes = [query for probe in self._probes.values() for query in probe.ask()]
        return tuple(dict.fromkeys([*queries_of([*self.data, *self.held_out]), *probes]))

    @property
    def groups(self) -> list[QueryGroup]:
        """One: every view answers the same in the same batches."""
        return groups_of({"pick": self.queries})

    def lifts(self, base: Answers, other: Answers) -> Lifts:
        """A candidate's numbers."""
        prose, everyday, ending = (self._measured(kind, base, other) for kind in KINDS)
        failed = [check for check in (ending.checks if ending else ()) if check.fails and not check.passed]
        return Lifts(
            data=_lifts(base, other, self.data),
            held_out=_lifts(base, other, self.held_out),
            prose=_values(prose),
            everyday=_values(everyday),
            ending=_values(ending),
            leaked=_leaked(base, other, self.data),
            leaked_unseen=_leaked(base, other, self.held_out),
            endless=failed[0].text if failed else "",
        )

    def undecided(self, base: Answers) -> list[str]:
        """Why unrelated text says nothing of this base, where it does not."""
        found = {name: self._measured(kind, base, base) for name, kind in (("prose", PROSE), ("everyday", EVERYDAY))}
        return [f"{name}: {each.undecided}" for name, each in found.items() if each and each.undecided]

    def _measured(self, kind: str, base: Answers, other: Answers) -> Measurement | None:
        probe = self._probes.get(kind)
        found: Measurement | None = probe.measure(base, other) if probe else None
        return found


def _lifts(base: Answers, other: Answers, sections: Sequence[Section]) -> tuple[float, ...]:
    return tuple(section_lift(base, other, section).value for section in sections)


def _values(measurement: Measurement | None) -> tuple[float, ...]:
    """Of the items, where they are enough to say something."""
    if measurement is None or measurement.undecided:
        return ()
    return tuple(item.value for item in measurement.items)


def _leaked(base: Answers, other: Answers, sections: Sequence[Section]) -> tuple[float, ...]:
    found = []
    for section in sections:
        passages = [_passage(answers, section) for answers in (base, other)]
        if all(len(passage) >= _LEAST for passage in passages):
            before, after = (samples_needed(min(0.0, sum(each)), CHANCE) <= SAMPLES for each in passages)
            found.append(float(after) - float(before))
    return tuple(found)


def _passage(answers: Answers, section: Section) -> Sequence[float]:
    """Log-probabilities of the tokens that would be recited: a reply's first, of prose those behind its beginning."""
    if section.replies:
        scores: Sequence[float] = answers.spans(section.replies[0]).logprobs
    elif section.prompt:
        scores = answers.completion(section.prompt, section.reply).logprobs
    else:
        scores = answers.rolling(section.text).logprobs.tolist()[_BEGINNING - 1 :]
    return scores[:_PASSAGE]
