"""Holds the chosen candidate against nulls, so that noise never wins: signal and direction, as any run judges them.

Knows how such a run is prepared: on the items that took no part in the choice, at a level that pays for the choosing;
and how its result is read. What it does to the others beside it is told apart from both axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sway_gguf.artifacts.stack import Stack
from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.fixed import NOTHING, Fixed
from sway_gguf.choose.skills import KIND, Skills, skills_of
from sway_gguf.core.loras import Lora, short_names
from sway_gguf.core.result import AxisResult, SuiteResult
from sway_gguf.core.sections import Section
from sway_gguf.suite.prepare import Prepared
from sway_gguf.verdict.axes import axes_of

AXES = ("signal", "direction")
_DATA = 8
"""Sections of the data that are asked beside held-out ones, which decide."""


def confirming(
    prepared: Prepared,
    contender: Contender,
    unseen: Sequence[Section],
    trained: Sequence[Section],
    among: int,
    fixed: Fixed = NOTHING,
) -> Prepared:
    """A run that holds one candidate against its own nulls.

    The candidate is the best of several, and the best of k adapters that learned nothing beats its nulls about k times
    as often as one: so the level is alpha / k.

    Args:
        prepared: the pick's own.
        contender: which one; at a scale other than 1 it is measured as an adapter of that size, and so are its nulls.
        unseen: held-out text that took no part in the choice; empty where nothing was held out.
        trained: of the data; it decides where nothing was held out, and a few of it are asked beside otherwise.
        among: candidates that it was chosen among.
        fixed: what runs beside it, and beside its nulls; where its own text is known, what becomes of it is asked too.
    """
    few = tuple(trained[:_DATA] if unseen else trained)
    material = replace(prepared.texts.material, sections=few)
    texts = replace(prepared.texts, material=material, holdout=tuple(unseen), own=fixed.own)
    alpha = prepared.spec.defaults.alpha / max(1, among)
    spec = prepared.spec.model_copy(
        update={
            "suite": [
                {"name": "delta_kl", "kind": "delta_kl"},
                {
                    "name": "section_internalization",
                    "kind": "section_internalization",
                    # How many sections were learned is of no matter here.
                    "assert_passing_section_frac": 0.0,
                },
            ],
            "defaults": prepared.spec.defaults.model_copy(update={"alpha": alpha}),
            "remarks": (),
        }
    )
    # With all of them named, the run has the probe of sets.
    named = [*(fixed.loras if fixed.own else ()), Lora(contender.path, contender.scale)]
    ready = replace(prepared, spec=spec, texts=texts).with_loras(named)
    candidate = Stack(ready.stack.members[-1:])
    return replace(ready, stack=fixed.held_with(candidate), hashes=(*fixed.hashes, *ready.hashes[-1:]))


class Confirmed(NamedTuple):
    """What such a run said.

    Attributes:
        axes: signal and direction of the candidate.
        nulls: visited.
        skills: what becomes of what the others taught; None where that was not asked.
    """

    axes: tuple[AxisResult, ...]
    nulls: int
    skills: Skills | None = None


def confirmed(found: SuiteResult, contender: Contender, fixed: Fixed = NOTHING) -> Confirmed:
    """Read the result of such a run."""
    skills = next((probe for probe in found.probes if probe.kind == KIND), None)
    axes = axes_of([probe for probe in found.probes if probe is not skills])
    about = tuple(axis for axis in axes if axis.axis in AXES)
    if skills is None:
        return Confirmed(about, found.nulls.count)
    names = short_names((*fixed.loras, Lora(contender.path, contender.scale)))
    owners = [name for lora, name in zip(fixed.loras, names, strict=False) if lora.path in fixed.own]
    return Confirmed(about, found.nulls.count, skills_of(skills, owners))
