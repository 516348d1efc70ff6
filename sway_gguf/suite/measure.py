"""Runs a schedule on a backend and turns every view's answers into measurements at once.

Nulls are asked look by look, for as long as one of them could change a verdict. Holds the base's answers, one view's
and the first look's; where a caller keeps the base's for another run, those of its rerun too. Knows probes and views;
judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event, Lock
from typing import Any, NamedTuple

from sway_gguf.collect import collect
from sway_gguf.core.answers import Answers
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.queries import Query
from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.core.views import TUNED, NullView, ScaledView, View, is_rerun
from sway_gguf.engine.doors import DoorBackend, is_base
from sway_gguf.engine.interrupt import go_on
from sway_gguf.engine.protocol import NullCalibrationProxy
from sway_gguf.probes.base import Probe
from sway_gguf.probes.foreign import ForeignProbe
from sway_gguf.suite.abreast import Abreast, Outcome
from sway_gguf.suite.decisions import TO_THE_END, Decisions
from sway_gguf.suite.gathering import Gathered, note, over_views, reading_of
from sway_gguf.suite.schedule import Schedule
from sway_gguf.suite.standing import Standing
from sway_gguf.suite.tally import Tally
from sway_gguf.suite.visit import Visit
from sway_gguf.verdict.reading import Reading

_NOTHING = Answers([])
_TICK = 0.1
"""Seconds after which one who waits asks whether to go on."""
OnProgress = Callable[[View, int], None]
"""Called with the view at work and the tokens evaluated since the last call."""
OnAnswers = Callable[[View, Answers], None]
"""Called with a view that was visited and its answers."""
BaseAnswers = dict[View, Answers]
"""What the base said, by its views: run as usual, and in another layout."""


class Measured(NamedTuple):
    """One reading per probe that could measure, and a result for each that could not."""

    readings: list[Reading]
    failed: list[ProbeResult]


def measure(
    backend: DoorBackend | None,
    probes: Sequence[Probe[Any]],
    plan: Schedule,
    on_progress: OnProgress | None = None,
    rank_scale: float = 1.0,
    nulls: Sequence[NullView] = (),
    on_answers: OnAnswers | None = None,
    base_answers: BaseAnswers | None = None,
    decisions: Decisions = TO_THE_END,
    tally: Tally | None = None,
) -> Measured:
    """Visit the views of `plan`, each once.

    Args:
        backend: may be None where the plan visits nothing.
        probes: in the plan's order.
        plan: what to visit.
        on_progress: called as tokens are evaluated.
        rank_scale: of the nulls that calibrate; those of other scales go into the profile.
        nulls: for probes that measure on a backend themselves.
        on_answers: called with each view's answers while they are there.
        base_answers: of the same loaded base. What stands there is not asked again; what is asked is added.
        decisions: when looks end.
        tally: counts the tokens, also where an error ends the run.

    Raises:
        NonFiniteError: base, tuned model or a null gave a NaN or an infinity. At another λ that is a finding.
    """
    gathered = [Gathered() for _ in probes]
    for probe, found in zip(probes, gathered, strict=True):
        if probe.static:
            note(probe, found, TUNED, partial(probe.measure, _NOTHING, _NOTHING))
    if plan.visits:
        assert backend is not None
        told = on_answers or _unheard
        with Abreast(backend) as abreast:
            counts = tally or Tally()
            run = _Run(backend, abreast, probes, plan, gathered, on_progress, told, base_answers, rank_scale, counts)
            run.make(decisions)
    for probe, found in zip(probes, gathered, strict=True):
        if isinstance(probe, ForeignProbe):
            assert backend is not None
            _run_foreign(backend, probe, found, nulls)
    for probe, found in zip(probes, gathered, strict=True):
        note(probe, found, None, partial(over_views, probe, found))
    pairs = list(zip(probes, gathered, strict=True))
    return Measured(
        [reading_of(probe, found, rank_scale) for probe, found in pairs if not found.failed],
        [probe.result(Verdict.ERROR, found.failed) for probe, found in pairs if found.failed],
    )


def _run_foreign(backend: DoorBackend, probe: ForeignProbe, found: Gathered, nulls: Sequence[NullView]) -> None:
    note(probe, found, TUNED, partial(probe.run_on, backend.original))
    for view in nulls:
        proxy = NullCalibrationProxy(
            backend.original,
            seed=view.seed,
            init_scale=view.design.init_scale,
            rank_scale=view.design.rank_scale,
            design=view.design.design,
            energy=view.design.energy,
        )
        note(probe, found, view, partial(probe.run_on, proxy))


@dataclass
class _Run:
    """Visits, measured one after the other, the base first. A view's answers go once they are measured, unless
    it is asked again."""

    backend: DoorBackend
    abreast: Abreast
    probes: Sequence[Probe[Any]]
    plan: Schedule
    gathered: Sequence[Gathered]
    on_progress: OnProgress | None
    on_answers: OnAnswers
    kept: BaseAnswers | None
    rank_scale: float
    tally: Tally
    base: Answers | None = None
    early: dict[View, Answers] = field(default_factory=dict)
    led: Event = field(default_factory=Event)
    following: Lock = field(default_factory=Lock)

    def make(self, decisions: Decisions) -> None:
        """The visits that are always made, the looks, and what size alone does to what did not pass."""
        # The first look is always made whole, so its nulls go beside what comes before them.
        base, *others = *self.plan.visits, *self.plan.first
        for visits in [[base, *others]] if self._idle_beside_one(len(others) + 1) else [[base], others]:
            for _ in self._made(visits):
                pass
        self._first_look(decisions)
        self._last_look(decisions)
        if self.plan.sizes:
            self._sizes(set(decisions.damaged(self._readings())))

    def _idle_beside_one(self, views: int) -> bool:
        """Whether the base alone would leave threads idle, as that of a small model does.

        Otherwise it goes first: it has all threads, and how large its contexts are tells how many twins memory holds.
        """
        alone, together = self.backend.workers(1), self.backend.workers(views)
        return together.number * together.threads > alone.threads

    def _first_look(self, decisions: Decisions) -> None:
        """Null by null while that may settle what is left; what is settled takes no further one."""
        near = self._places(decisions.near(self._readings()))
        visits = [visit.only(near) for visit in self.plan.further] if near else []
        for visit, outcome in self.abreast.each(visits, self._answers):
            self.tally.take(visit)
            self._take(visit.only(near), outcome)
            near = self._places(decisions.near(self._readings()))
            if not near:
                return

    def _last_look(self, decisions: Decisions) -> None:
        """Null by null until nothing is left to be settled; what the first look settled is asked no more of."""
        if decisions.settled(self._readings()):
            return
        over = self._places(decisions.overwhelming(self._readings()))
        for _ in self._made([visit.only(set(visit.asked) - over) if over else visit for visit in self.plan.last]):
            if decisions.settled(self._readings()):
                return

    def _sizes(self, names: Collection[str]) -> None:
        damaged = self._places(names)
        for _ in self._made([visit.only(damaged) for visit in self.plan.sizes]):
            pass

    def _places(self, names: Collection[str]) -> set[int]:
        return {place for place, probe in enumerate(self.probes) if probe.options.name in names}

    def _readings(self) -> list[Reading]:
        """What probes that go by nulls, or by damage, have so far."""
        pairs = zip(self.probes, self.gathered, strict=True)
        return [
            reading_of(probe, replace(found, tuned=found.curve[1.0]), self.rank_scale)
            for probe, found in pairs
            if 1.0 in found.curve and not found.failed
        ]

    def _made(self, visits: Sequence[Visit]) -> Iterator[Visit]:
        """Every visit that asks something, as soon as it is measured. What was begun is dropped with the iterator."""
        for visit, outcome in self.abreast.each([visit for visit in visits if visit.asked], self._answers):
            self.tally.take(visit)
            self._take(visit, outcome)
            yield visit

    def _take(self, visit: Visit, answers: Outcome) -> None:
        if isinstance(answers, NonFiniteError):
            if not isinstance(visit.view, ScaledView) or visit.view == TUNED:
                raise answers
            for place in visit.probes:
                self.gathered[place].overflowed.append(visit.view.scale)
            return
        self.on_answers(visit.view, answers)
        if visit is self.plan.visits[0]:
            self.base = answers
            self.led.set()
            return
        if visit.standing == Standing.PART:
            self.early[visit.view] = answers
        for place in visit.probes:
            # What nulls are held against is the tuned view on their own items.
            compared = (Standing.WHOLE, Standing.PANEL, Standing.PART) if visit.view == TUNED else (visit.standing,)
            for standing in filter(self.plan.probes.__contains__, compared):
                self._measured(place, visit.view, standing, answers)

    def _measured(self, place: int, view: View, standing: Standing, answers: Answers) -> None:
        assert self.base is not None
        probe = self.plan.probes[standing][place]
        if is_rerun(view) and not self.backend.shows_noise(probe.ask()):
            return
        with self.following:
            note(probe, self.gathered[place], view, partial(probe.measure, self.base, answers), standing)

    def _answers(self, backend: DoorBackend, visit: Visit) -> Answers:
        """Answers of one view; the base's own lead its follow-ups. Called in several threads at once."""
        probes, kept = self.plan.probes[visit.standing], self.kept

        def follow_up(own: Answers) -> dict[Hashable, Sequence[Query]]:
            if not any(map(_follows, (probes[place] for place in visit.probes))):
                return {}
            lead = own if visit is self.plan.visits[0] else self._lead()
            with self.following:  # A probe is asked by one thread at a time, and measures while it is asked nothing.
                return {place: probes[place].follow_up(lead, own) for place in visit.probes}

        told = partial(self.on_progress, visit.view) if self.on_progress else None
        with self.tally.counting(visit, backend, told) as progress:
            if visit.view in self.early:
                known = self.early[visit.view]
                return collect(backend, visit.view, visit.groups, progress, follow_up, known)
            if kept is None or not is_base(visit.view):
                return collect(backend, visit.view, visit.groups, progress, follow_up)
            known = kept.get(visit.view, _NOTHING)
            found = collect(backend, visit.view, visit.groups, progress, follow_up, known)
            kept[visit.view] = known.merged(found)
            return found

    def _lead(self) -> Answers:
        """The base's answers, for which a view beside it waits."""
        while not self.led.wait(_TICK):
            go_on()
        assert self.base is not None
        return self.base


def _follows(probe: Probe[Any]) -> bool:
    """Whether its questions hang on answers."""
    return type(probe).follow_up is not Probe.follow_up


def _unheard(view: View, answers: Answers) -> None:
    """Answers that nobody else wants."""
