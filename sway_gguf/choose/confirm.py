"""Holds the chosen candidate against nulls, so that noise never wins: signal and direction, as any run judges them.

Knows how such a run is prepared: on the items that took no part in the choice, at a level that pays for the choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.fixed import NOTHING, Fixed
from sway_gguf.core.loras import Lora
from sway_gguf.core.sections import Section
from sway_gguf.suite.prepare import Prepared

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
        fixed: what runs beside it, and beside its nulls.
    """
    few = tuple(trained[:_DATA] if unseen else trained)
    texts = replace(prepared.texts, material=replace(prepared.texts.material, sections=few), holdout=tuple(unseen))
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
    ready = replace(prepared, spec=spec, texts=texts).with_loras([Lora(contender.path, contender.scale)])
    return replace(ready, stack=fixed.held_with(ready.stack), hashes=(*fixed.hashes, *ready.hashes))
