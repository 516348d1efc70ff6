"""Which of many adapters and scales ships: measures all on one base, chooses, and holds the choice against noise.

Knows the order of things. The base is asked once, every candidate once, and nulls are asked of the chosen one alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sway_gguf.choose.choice import Choice, Halves, added, choose, halves_of, overtrained, standings
from sway_gguf.choose.confirm import Confirmed, confirmed, confirming
from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.fixed import NOTHING, Fixed
from sway_gguf.choose.lifts import Asked, Lifts, suite
from sway_gguf.choose.rows import alone_row, lift_of, rows_of
from sway_gguf.choose.visits import OnTold, Visits
from sway_gguf.choose.words import Told, refusal, summary_of
from sway_gguf.core.answers import Answers
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.pick import Estimate, Pick, PickRow, Standing
from sway_gguf.core.result import Verdict
from sway_gguf.core.sections import Section
from sway_gguf.core.views import View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.material.files import Files
from sway_gguf.spec.model import Defaults, Spec
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.suite.prepare import FIRST_CHARS, Prepared, default_spec, prepare
from sway_gguf.suite.run import run

_ITEMS, _PROMPTS = 32, 8
_TRIES = 3
"""Candidates that are held against nulls at most: where the best is none, the next may be; the level pays for all."""
TOLERANCE = -0.15
"""Accepted change of unrelated text, nats per token; that of the probes of damage."""


def pick_spec(
    base: Path,
    adapter: Path,
    *,
    data: Files = None,
    holdout: Files = None,
    general: Files = None,
    engine: EngineSettings | None = None,
) -> Spec:
    """The spec of a pick: what unrelated text and endings are held to, on few items; any one of the adapters in it."""
    few = Defaults(items=_ITEMS, prompts=_PROMPTS, chunk_chars=FIRST_CHARS)
    spec = default_spec(base, adapter, data=data, holdout=holdout, general=general, defaults=few, engine=engine)
    return spec.model_copy(update={"suite": suite()})


def prepared_pick(spec: Spec) -> tuple[Prepared, Asked]:
    """Everything that can be checked before a model is loaded.

    Raises:
        UserError: a wrong file, or too little text to choose by.
    """
    prepared = prepare(spec)
    asked = Asked(prepared)
    for option, given, sections in (("--data", spec.data, asked.data), ("--holdout", spec.holdout, asked.held_out)):
        if (given or option == "--data") and len(sections) < MIN_ITEMS:
            seen = next((f" ({told})" for told in prepared.texts.remarks if option[2:] in told), "")
            raise UserError(
                f"{option}: {len(sections)} items{seen} leave no interval; give {MIN_ITEMS} or more"
                + (", or leave it out" if option == "--holdout" else " of what the adapters were trained on")
            )
    return prepared, asked


@dataclass
class Picking:
    """A pick at work: candidates are measured as they come, and chosen among at any time.

    Attributes:
        prepared: of `prepared_pick`.
        asked: what every view is asked.
        tolerance: accepted change of unrelated text.
        remarks: on what was left out.
        fixed: what is loaded beside every candidate.
        alone: its numbers without any; None where there is nothing, and until that was asked.
        contenders: so far.
        measured: numbers of those that gave some, by place.
        broken: why the others gave none, by place.
    """

    prepared: Prepared
    asked: Asked
    tolerance: float = TOLERANCE
    remarks: Sequence[str] = ()
    fixed: Fixed = NOTHING
    alone: Lifts | None = None
    contenders: list[Contender] = field(default_factory=list)
    measured: dict[int, Lifts] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    base: Answers | None = None
    tokens: int = 0
    stored: int = 0
    seconds: float = 0.0

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.prepared.spec.defaults.seed

    @property
    def speaking(self) -> Sequence[Section]:
        """Items that speak for a candidate: the held-out ones, or the data's where there are none."""
        return self.asked.held_out or self.asked.data

    @property
    def halves(self) -> Halves:
        """On which of them is chosen and on which reported."""
        return halves_of([section.asked for section in self.speaking], self.seed)

    def measure(self, backend: DoorBackend, contenders: Sequence[Contender], on_progress: OnTold | None = None) -> None:
        """Ask the base and what is loaded in any case, if that was not done, and every one of `contenders`.

        Raises:
            UserError: the backend takes one adapter alone.
            NonFiniteError: the base itself gives numbers that are not finite.
        """
        began, stored = time.perf_counter(), backend.tokens_from_store
        visits = Visits(backend, self.prepared.base, self.asked.groups, on_progress, self.fixed)
        if self.base is None:
            self.base, alone = visits.of_base(), visits.of_fixed()
            self.alone = None if alone is None else self.asked.lifts(self.base, alone)
            self.remarks = [*self.remarks, *self.asked.undecided(self.base)]
        for contender, answers in visits.of_each(contenders):
            place = len(self.contenders)
            self.contenders.append(contender)
            if isinstance(answers, NonFiniteError):
                self.broken[place] = str(answers)
            else:
                self.measured[place] = self.asked.lifts(self.base, answers)
        self.tokens += visits.tokens
        self.stored += backend.tokens_from_store - stored
        self.seconds += time.perf_counter() - began

    def forget_gone(self) -> None:
        """Take out of the choice what a trainer has removed since it was measured."""
        for place in [place for place in self.measured if not self.contenders[place].path.exists()]:
            del self.measured[place]
            self.broken[place] = "its files are gone; have the trainer keep its checkpoints"

    def speaks(self, lifts: Lifts) -> Sequence[float]:
        """What is to be large."""
        return lifts.held_out or lifts.data

    def choice(self, left: Mapping[int, Lifts]) -> tuple[Choice, Mapping[int, Standing]]:
        """The choice among those that are left of what was measured, and where all collateral lies."""
        standing = standings(self.measured, self.tolerance, self.seed)
        return choose(self.contenders, left, standing, self.speaks, self.halves, self.seed, self.alone), standing

    def confirmation(self, contender: Contender, among: int) -> Prepared:
        """The run that holds a candidate against nulls, chosen among so many."""
        unseen = [self.asked.held_out[i] for i in self._reporting()] if self.asked.held_out else []
        trained = self.asked.data if self.asked.held_out else [self.asked.data[i] for i in self._reporting()]
        return confirming(self.prepared, contender, unseen, trained, among, self.fixed)

    def _reporting(self) -> Sequence[int]:
        return self.halves.reporting or self.halves.choosing

    def result(self, backend: DoorBackend | None, on_progress: OnTold | None = None) -> Pick:
        """Choose, hold the chosen one against nulls, and say what was found.

        Args:
            backend: None leaves the nulls out.
            on_progress: called as tokens are evaluated.
        """
        left, refused = dict(self.measured), dict[int, str]()
        while True:
            choice, standing = self.choice(left)
            if choice.taken is None or backend is None or not self.prepared.spec.defaults.nulls:
                return self._record(choice, standing, refused, None)
            found = self._confirmed(choice.taken, backend, on_progress)
            why = refusal(found.axes, self._added(choice.taken), found.skills)
            if not why or len(refused) + 1 == _TRIES:
                return self._record(choice, standing, refused, found)
            # A direction is that of all scales; what it takes from the others a smaller one may leave.
            tried, smaller = self.contenders[choice.taken], not refusal(found.axes, self._added(choice.taken))
            others = {
                place: lifts
                for place, lifts in left.items()
                if (it := self.contenders[place]).path != tried.path or (smaller and it.scale < tried.scale)
            }
            if self.choice(others)[0].taken is None:
                return self._record(choice, standing, refused, found)
            refused[choice.taken], left = why, others

    def _confirmed(self, place: int, backend: DoorBackend, on_progress: OnTold | None) -> Confirmed:
        began, stored = time.perf_counter(), backend.tokens_from_store
        ready = self.confirmation(self.contenders[place], len(self.contenders))
        if not backend.swap(ready.stack):
            raise UserError(f"{backend.name} takes one adapter alone; run `check` on each")

        def told(view: View, tokens: int) -> None:
            self.tokens += tokens
            if on_progress:
                on_progress(str(view), tokens)

        found = run(ready, backend, told)
        self.stored += backend.tokens_from_store - stored
        self.seconds += time.perf_counter() - began
        return confirmed(found, self.contenders[place], self.fixed)

    def _record(
        self, choice: Choice, standing: Mapping[int, Standing], refused: Mapping[int, str], against: Confirmed | None
    ) -> Pick:
        told = self._told(choice, standing, refused, against)
        verdict, sentences, command = summary_of(told)
        ships = verdict in (Verdict.PASS, Verdict.WARN)
        names = [contender.name for contender in self.contenders]
        taken = "" if choice.taken is None else names[choice.taken]
        return Pick(
            rows=tuple(told.rows),
            winner=taken if ships else "",
            favourite=taken,
            verdict=verdict,
            summary=sentences,
            command=command if ships else (),
            band=tuple(names[place] for place in choice.band),
            refused=tuple(names[place] for place in refused),
            overtrained=names[told.over[1]] if told.over else "",
            reported=told.reported,
            chosen_on=len(self.halves.choosing),
            tolerance=self.tolerance,
            held_out=bool(self.asked.held_out),
            axes=tuple(told.axes),
            nulls=against.nulls if against else 0,
            remarks=(*self.remarks, *self.prepared.spec.remarks, *self.prepared.left_out),
            base=str(self.prepared.base.path),
            timings={
                "run_seconds": self.seconds,
                "tokens": float(self.tokens - self.stored),
                "tokens_from_store": float(self.stored),
            },
            fixed=tuple(map(str, self.fixed.loras)),
            alone=told.alone,
            added=told.added,
            skills=told.skills.texts if told.skills else (),
        )

    def _told(
        self, choice: Choice, standing: Mapping[int, Standing], refused: Mapping[int, str], against: Confirmed | None
    ) -> Told:
        return Told(
            self.prepared,
            self.contenders,
            self.measured,
            self.rows(choice, standing),
            choice,
            refused,
            overtrained(self.contenders, self.measured, self.seed) if self.asked.held_out else None,
            against.axes if against else (),
            self._reported(choice.taken),
            self.tolerance,
            fixed=self.fixed,
            without=self.alone,
            alone=alone_row(self.fixed.name, self.alone, self.tolerance, self.seed) if self.alone else None,
            before=lift_of(self.alone, self._shown(self.alone)) if self.alone else None,
            added=self._added(choice.taken),
            skills=against.skills if against else None,
        )

    def _added(self, place: int | None) -> Estimate | None:
        """What the taken one adds to what is loaded in any case, on the items that it is reported on."""
        if place is None or self.alone is None:
            return None
        # The same items answer for each one that is tried, so that the level is shared among the tries.
        paths = {contender.path for contender in self.contenders}
        tries = min(_TRIES, len(self.contenders if self.fixed.own else paths))
        return added(self.measured[place], self.alone, self._shown, 1 - 0.05 / tries)

    def _shown(self, lifts: Lifts) -> Sequence[float]:
        """What speaks for it, on those items."""
        values = self.speaks(lifts)
        return [values[i] for i in self._reporting()]

    def _reported(self, place: int | None) -> Estimate | None:
        """The taken one's lift on the items that took no part in the choice."""
        if place is None or not self.halves.reporting:
            return None
        lifts = self.measured[place]
        values = self.speaks(lifts)
        return lift_of(lifts, [values[i] for i in self.halves.reporting])

    def rows(self, choice: Choice | None = None, standing: Mapping[int, Standing] | None = None) -> tuple[PickRow, ...]:
        """Every candidate so far, with what was chosen among them where that is known."""
        standing = standings(self.measured, self.tolerance, self.seed) if standing is None else standing
        band = choice.band if choice else ()
        return rows_of(self.contenders, self.measured, self.broken, standing, band, self.tolerance)
