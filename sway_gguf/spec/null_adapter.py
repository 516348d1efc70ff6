"""A suite entry of kind `null_adapter`, as the original has it, read as settings of the calibration.

It may stand anywhere in the suite. Knows fields; draws nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sway_gguf.core.errors import UserError
from sway_gguf.core.views import DEFAULT_INIT_SCALE, Design
from sway_gguf.spec.model import RankScale, Spec
from sway_gguf.spec.options import ProbeOptions, validated

KIND = "null_adapter"


class NullAdapterOptions(ProbeOptions):
    """Fields of `null_adapter`. Those of the original without meaning here are accepted and change nothing."""

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
    seed_base: int | None = Field(default=None, ge=0, description="no effect: seeds follow from the run's seed")
    calibrate_kinds: list[str] = Field(
        default_factory=list, description="no effect: every probe that can is calibrated"
    )
    cache: bool = Field(default=True, description="no effect: nothing is cached")


def with_null_settings(spec: Spec) -> Spec:
    """`spec` without its null_adapter entry, whose settings have become the run's defaults.

    Raises:
        UserError: there are two such entries, or a wrong field.
    """
    entries = [entry for entry in spec.suite if entry.get("kind") == KIND]
    if not entries:
        return spec
    if len(entries) > 1:
        raise UserError(f"the suite has {len(entries)} entries of kind {KIND}; one sets the nulls of the whole run")
    options = validated(NullAdapterOptions, {"name": KIND, **entries[0]}, f"suite entry {entries[0].get('name', KIND)}")
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
            "rank_scale": main,
            "null_profile": [scale for scale in scales if scale != main],
        }
    )
    return spec.model_copy(update={"suite": rest, "defaults": defaults})
