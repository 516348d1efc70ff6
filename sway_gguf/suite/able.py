"""What of a prepared run a backend can give: probes that need something else are skipped, with the reason.

Knows what probes ask and what a backend lacks; nothing of how either works.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sway_gguf.core.errors import UserError
from sway_gguf.core.result import Verdict
from sway_gguf.core.views import MemberView, NullView, ScaledView, View
from sway_gguf.probes.base import Probe
from sway_gguf.suite.showing import Example

if TYPE_CHECKING:
    from sway_gguf.engine.doors import DoorBackend
    from sway_gguf.engine.factory import Gives
    from sway_gguf.suite.prepare import Prepared


def suited(prepared: Prepared, backend: DoorBackend | Gives, *, nulls_or_none: bool = False) -> Prepared:
    """The run without what the backend cannot give; the same run where it can give all of it.

    Args:
        prepared: the run.
        backend: that will run it.
        nulls_or_none: leave out what nulls decide also where the run asks for no nulls, as one that was suited
            before does; otherwise that is measured, and left open.

    Raises:
        UserError: it can give nothing that any probe needs.
    """
    asked = bool(prepared.seeds) or nulls_or_none
    no_nulls = backend.lacks(NullView(0, prepared.design)) if asked else ""
    reasons = {probe: reason for probe in prepared.probes if (reason := _lacking(probe, backend, no_nulls))}
    unshown = any(backend.lacks(query) for query in prepared.example.queries)
    if not (no_nulls or reasons or unshown):
        return prepared
    able = tuple(probe for probe in prepared.probes if probe not in reasons)
    if not able:
        told = "; ".join(f"{probe.options.name}: {reason}" for probe, reason in reasons.items())
        raise UserError(f"no probe of the suite can run on {backend.name}: {told}")
    skipped = tuple(probe.result(Verdict.SKIP, f"{backend.name} has no {why}") for probe, why in reasons.items())
    nulls = 0 if no_nulls else prepared.spec.defaults.nulls
    spec = prepared.spec.model_copy(update={"defaults": prepared.spec.defaults.model_copy(update={"nulls": nulls})})
    example = Example() if unshown else prepared.example
    return replace(prepared, spec=spec, probes=able, skipped=(*prepared.skipped, *skipped), example=example)


def _lacking(probe: Probe[Any], backend: DoorBackend | Gives, no_nulls: str) -> str:
    """What the probe needs and the backend lacks, or ""."""
    views: tuple[View, ...] = (*map(ScaledView, probe.scales), *map(MemberView, probe.members))
    wanted = (*probe.ask(), *probe.foresee(), *probe.follows, *views)
    missing = next(filter(None, map(backend.lacks, wanted)), "")
    return missing or (no_nulls if probe.rule.by_nulls else "")
