"""A suite entry of kind `null_adapter`, as the original has it, read as settings of the calibration.

It may stand anywhere in the suite. Knows fields; draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from sway_gguf.core.errors import UserError
from sway_gguf.core.views import DEFAULT_INIT_SCALE, Design, Energy
from sway_gguf.spec.model import RankScale, Spec
from sway_gguf.spec.options import ProbeOptions, validated

KIND = "null_adapter"
RETIRED: Mapping[str, str] = {
    "weight": "axes are verdicts, not weighted scores",
    "seed_base": "seeds follow from the run's seed",
    "calibrate_kinds": "every probe that can be is calibrated",
    "cache": "nothing is cached",
}
"""Fields of the original that have no effect here, and why."""
_GAUSSIAN_ONLY = {"init_scale": "only nulls of design gaussian have a size of their own"}


class NullAdapterOptions(ProbeOptions):
    """Fields of `null_adapter` that have an effect."""

    kind: Literal["null_adapter"] = "null_adapter"
    runs: int = Field(default=19, ge=1, le=999, description="null adapters to compare with")
    design: Design = Field(default="rotation", description="rotation, spectrum, or gaussian as the original's")
    init_scale: float = Field(default=DEFAULT_INIT_SCALE, gt=0, description="gaussian only")
    rank_multipliers: list[RankScale] = Field(
        default=[1.0],
        min_length=1,
        max_length=17,
        description="rank scales; 1 calibrates where it is among them, else the first",
    )
    energy: Energy = Field(default="rank", description="how a null's size follows its rank scale; original: its square")


def with_null_settings(spec: Spec) -> Spec:
    """`spec` without its null_adapter entry, whose settings have become the run's defaults; remarks on the rest.

    Raises:
        UserError: there are two such entries, or a wrong field.
    """
    entries = [(number, entry) for number, entry in enumerate(spec.suite, 1) if entry.get("kind") == KIND]
    if not entries:
        return spec
    if len(entries) > 1:
        told = f"the suite has {len(entries)} entries of kind {KIND}; one sets the nulls of the whole run"
        raise UserError(spec.told(told))
    number, entry = entries[0]
    given = {"name": KIND, **entry}
    known = {key: value for key, value in given.items() if key not in RETIRED}
    options = validated(NullAdapterOptions, known, spec.told(f"suite entry {number} ({KIND})"))
    idle = RETIRED if options.design == "gaussian" else {**RETIRED, **_GAUSSIAN_ONLY}
    remarks = [f"{KIND}.{key} has no effect here: {idle[key]}" for key in given if key in idle]
    spec = spec.model_copy(update={"remarks": (*spec.remarks, *remarks)})
    rest = [entry for entry in spec.suite if entry.get("kind") != KIND]
    if not options.enabled:
        return spec.model_copy(update={"suite": rest})
    scales = options.rank_multipliers
    main = 1.0 if 1.0 in scales else scales[0]
    defaults = spec.defaults.model_copy(
        update={
            "nulls": options.runs,
            "null_design": options.design,
            "init_scale": options.init_scale,
            "null_energy": options.energy,
            "rank_scale": main,
            "null_profile": [scale for scale in scales if scale != main],
        }
    )
    return spec.model_copy(update={"suite": rest, "defaults": defaults})
