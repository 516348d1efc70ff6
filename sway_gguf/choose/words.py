"""What a pick says: who ships and why, the noise band, over-training, and a smaller scale. Knows words.

Every sentence stands only where its numbers are sure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from sway_gguf.choose.choice import NEGLIGIBLE, Choice
from sway_gguf.choose.command import command_of
from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.fixed import NOTHING, Fixed
from sway_gguf.choose.lifts import Lifts
from sway_gguf.choose.skills import Skills
from sway_gguf.core.listing import listed
from sway_gguf.core.pick import Estimate, PickRow, Standing
from sway_gguf.core.result import AxisResult, Verdict
from sway_gguf.probes.scale_response import in_words
from sway_gguf.stats.tradeoff import Point, tradeoff
from sway_gguf.suite.prepare import Prepared

_UNIT = "nats/token"
_DECIDES = "direction"
_UNSHOWN = "it is not shown to move toward the material by more than noise"
SEEN = (
    "Nothing was held out: every candidate was trained on all that speaks for it here, so its lift grows with training "
    "whether or not anything carries over, and over-training cannot be seen. Keep some items out of the next training "
    "and give them with --holdout."
)


@dataclass(frozen=True, slots=True)
class Told:
    """All that sentences are made of.

    Attributes:
        prepared: base and format.
        contenders, measured, rows: of every candidate.
        choice: among them.
        refused: why candidates before it were not taken, by place.
        over: places of a candidate and of a later one that over-trained.
        axes: of the taken one against nulls; empty where none were asked.
        reported: its lift on the items that took no part in the choice.
        tolerance: accepted change of unrelated text.
        fixed: what is loaded beside every candidate; the following are None where nothing is.
        without, alone: its numbers without any, item by item and as a row.
        before, added: its lift on the items that the taken one is reported on, and what that one adds to it.
        skills: what becomes of what the others taught; None where that was not asked.
    """

    prepared: Prepared
    contenders: Sequence[Contender]
    measured: Mapping[int, Lifts]
    rows: Sequence[PickRow]
    choice: Choice
    refused: Mapping[int, str]
    over: tuple[int, int] | None
    axes: Sequence[AxisResult]
    reported: Estimate | None
    tolerance: float
    fixed: Fixed = NOTHING
    without: Lifts | None = None
    alone: PickRow | None = None
    before: Estimate | None = None
    added: Estimate | None = None
    skills: Skills | None = None

    @property
    def held_out(self) -> bool:
        """Whether held-out text speaks for a candidate."""
        return any(row.held_out for row in self.rows)

    @property
    def lift(self) -> str:
        """What it is called."""
        return "held-out lift" if self.held_out else "lift on the data"


def summary_of(told: Told) -> tuple[Verdict, tuple[str, ...], tuple[str, ...]]:
    """The verdict, the sentences, and the shell lines that run the one that ships."""
    place = told.choice.taken
    if place is None:
        return Verdict.FAIL, (_nobody(told), *_beside(told)), ()
    verdict, first = _ships(told, told.rows[place])
    files = [contender.path for contender in told.contenders]
    command = command_of(told.prepared.base.path, told.contenders[place], told.fixed.loras, files)
    skills = told.skills.sentences if told.skills else ()
    return verdict, (first, *_adds(told), *skills, *_band(told), *_beside(told)), command


def _ships(told: Told, row: PickRow) -> tuple[Verdict, str]:
    what = f"the largest {told.lift}" if len(told.choice.band) == 1 else f"as good a {told.lift} as the largest"
    if not told.axes:
        return Verdict.INCONCLUSIVE, (
            f"{row.name} has {what} within the tolerance, and was not held against noise: ask nulls with --nulls 19."
        )
    if why := refusal(told.axes, told.added, told.skills):
        undecided = any(axis.axis == _DECIDES and axis.verdict == Verdict.INCONCLUSIVE for axis in told.axes)
        undecided = undecided or (not refusal(told.axes) and told.added is not None and _may_add(told.added))
        # Whatever else is open, a skill that is surely gone decides.
        undecided = undecided and not (told.skills and told.skills.gone)
        return Verdict.INCONCLUSIVE if undecided else Verdict.FAIL, (
            f"None ships: {row.name} has {what} within the tolerance, and {why}."
        )
    within = (
        f"unrelated text surely loses no more than {-told.tolerance:g} {_UNIT}"
        if told.choice.strict
        else f"that unrelated text loses more than {-told.tolerance:g} {_UNIT} is not ruled out, for any candidate"
    )
    keeps = told.skills is None or told.skills.kept
    lost = "" if keeps else "; what the others taught is not shown to be kept"
    sentence = f"{row.name} ships: {what}, beyond noise; {within}{lost}."
    if told.reported:
        sentence += (
            f" On the {told.reported.items} items that took no part in the choice its lift is {_shown(told.reported)}."
        )
    else:
        sentence += (
            f" Its lift of {_shown(row.lift)} is on the items that it was chosen by, and flatters it: ten items or "
            "more would be parted in two halves."
        )
    sure = told.choice.strict and told.held_out and told.reported is not None
    return Verdict.PASS if sure and keeps else Verdict.WARN, sentence


def refusal(axes: Sequence[AxisResult], added: Estimate | None = None, skills: Skills | None = None) -> str:
    """Why a candidate that was held against nulls cannot be taken; "" where it can.

    Args:
        axes: of the run against its nulls.
        added: to the lift of what is loaded beside it, where something is.
        skills: what becomes of what the others taught, where that was asked.
    """
    if skills and skills.gone:
        return f"it takes most of what another one taught ({skills.gone})"
    directed = next((axis for axis in axes if axis.axis == _DECIDES), None)
    if directed is None:
        return f"{_UNSHOWN} (it could not be measured)"
    if directed.verdict != Verdict.PASS:
        return f"{_UNSHOWN} ({directed.reason})"
    if added is not None and (added.interval is None or added.interval[0] <= NEGLIGIBLE):
        return f"{_UNSHOWN} (to the lift of what is loaded beside it, it adds {_shown(added)})"
    return ""


def _may_add(added: Estimate) -> bool:
    return added.interval is None or added.interval[1] > NEGLIGIBLE


def _adds(told: Told) -> Iterator[str]:
    """How the lift is shared between the taken one and what is loaded beside it."""
    if told.before is None or told.added is None:
        return
    yield (
        f"On these items {told.fixed.name} alone has a {told.lift} of {_shown(told.before)}; the candidate adds "
        f"{_shown(told.added)}."
    )


def _floor(told: Told) -> float:
    """The lift that a candidate has to exceed."""
    return max(0.0, _value(told.alone.lift) or 0.0) if told.alone else 0.0


def _nobody(told: Told) -> str:
    """Why no candidate can be taken."""
    measured = [row for row in told.rows if row.standing != Standing.BROKEN]
    lifting = [row for row in measured if row.lift is not None and row.lift.value > _floor(told)]
    if not measured:
        return f"None ships: no candidate could be measured ({told.rows[0].name}: {told.rows[0].reason})."
    if not lifting:
        what, beyond = "held-out text" if told.held_out else "the data", ""
        whose = "no candidate" if len(measured) == len(told.rows) else "no candidate that could be measured"
        if told.alone and _floor(told) > 0:
            beyond = f" by more than {told.fixed.name} does alone ({_number(_floor(told))})"
        return f"None ships: {whose} lifts {what}{beyond}."
    if any(row.standing in (Standing.WITHIN, Standing.OPEN) for row in lifting):
        beyond = f" beyond that of {told.fixed.name} alone" if _floor(told) > 0 else ""
        return f"None ships: no candidate within the tolerance has a {told.lift}{beyond} on the half that chooses."
    return f"None ships: {_damaged(told, lifting)}."


def _damaged(told: Told, lifting: Sequence[PickRow]) -> str:
    """What is wrong with candidates that lift something, each of which does surely too much damage."""
    loses = f"unrelated text surely loses more than {-told.tolerance:g} {_UNIT}"
    if told.alone and told.alone.standing == Standing.ENDLESS:
        return f"with {told.fixed.name} alone, before any candidate, replies no longer end; give it a smaller scale"
    every = "every candidate" if len(lifting) == len(told.rows) else "every candidate that lifts anything"
    endless = [row.name for row in lifting if row.standing == Standing.ENDLESS]
    losing = [row for row in lifting if row.standing == Standing.BEYOND]
    if not losing:
        return f"the replies of {every} no longer end"
    if told.alone and told.alone.standing == Standing.BEYOND:
        cost = _number(told.alone.cost)
        return f"with {told.fixed.name} alone, before any candidate, {loses} ({cost}); give it a smaller scale"
    least = max(losing, key=lambda row: row.cost if row.cost is not None else float("-inf"))
    shown = f"{least.name}: {_number(least.cost)}"
    if not endless:
        return f"{loses} with {every} ({shown}); smaller scales may do, as in --scales 0.25..1"
    return (
        f"the replies of {_listed(endless)} no longer end, and {loses} with {_listed([row.name for row in losing])} "
        f"({shown}); smaller scales may do, as in --scales 0.25..1"
    )


def _band(told: Told) -> Iterator[str]:
    band, best = told.choice.band, told.choice.best
    if len(band) < 2 or best is None:
        return
    names = [told.contenders[place].name for place in sorted(band)]
    by_steps = all(told.contenders[place].step is not None for place in band)
    which = "earliest" if by_steps else "smallest"
    sentence = f"{_listed(names)} are equal within noise: the {which}, {told.contenders[band[0]].name}, is taken"
    if told.choice.short is not None:
        short = max(0.0, told.choice.short)
        sentence += f"; its lift lies at most {short:.2g} below that of {told.contenders[best].name}, the largest"
    yield f"{sentence}."


def _beside(told: Told) -> Iterator[str]:
    """Over-training, a smaller scale, and what cannot be seen."""
    for place, why in told.refused.items():
        yield f"{told.rows[place].name} lifts more, and was passed over: {why}."
    if told.over:
        earlier, later = (told.rows[place] for place in told.over)
        yield (
            f"{later.name} over-trained: the held-out lift falls from {_number(_value(earlier.held_out))} "
            f"({earlier.name}) to {_number(_value(later.held_out))}, while that on the data rises from "
            f"{_number(_value(earlier.data))} to {_number(_value(later.data))}."
        )
    if told.choice.taken is not None:
        yield from _smaller_scale(told, told.contenders[told.choice.taken].path)
    if not told.held_out:
        yield SEEN


def _smaller_scale(told: Told, path: Path) -> Iterator[str]:
    """What a smaller scale of one adapter keeps, and what it costs there."""
    own = {
        c.scale: told.measured[place]
        for place, c in enumerate(told.contenders)
        if c.path == path and place in told.measured
    }
    if 1.0 not in own:
        return
    name = next(c.name for c in told.contenders if c.path == path).split(" at λ=")[0]
    whole = own[1.0]
    present = [name for name in ("prose", "everyday") if getattr(whole, name)]
    if not present:
        return
    worst = min(present, key=lambda name: fmean(getattr(whole, name)))
    points = {scale: _point(lifts, told.without, worst) for scale, lifts in own.items()}
    found = tradeoff(points)
    if found:
        of_it = f", of what it adds beside {told.fixed.name}" if told.without else ""
        yield f"{name}{of_it}: {in_words(found)}."


def _point(lifts: Lifts, without: Lifts | None, worst: str) -> Point:
    """What each item gained and each piece of unrelated text lost; beside other adapters what came with this one."""
    gains, changes = lifts.held_out or lifts.data, getattr(lifts, worst)
    if without is None:
        return Point(gains, [-change for change in changes])
    before, intact = without.held_out or without.data, getattr(without, worst) or (0.0,) * len(changes)
    return Point(
        [with_it - alone for with_it, alone in zip(gains, before, strict=True)],
        [alone - with_it for with_it, alone in zip(changes, intact, strict=True)],
    )


def _listed(names: Sequence[str]) -> str:
    return listed(names) if len(names) <= 4 else f"{names[0]} … {names[-1]} ({len(names)})"


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    span = f" [{estimate.interval[0]:.2f}, {estimate.interval[1]:.2f}]" if estimate.interval else ""
    return f"{estimate.value:.2f}{span} {_UNIT}"


def _value(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
