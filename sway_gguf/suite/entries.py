"""The entries of a suite: checked as they stand in the spec, and those that a set of adapters has in any case.

Knows specs and probe kinds; reads no file but those that kinds of plugins stand in.
"""

from __future__ import annotations

from sway_gguf.core.errors import UserError
from sway_gguf.probes.base import Sources
from sway_gguf.probes.registry import KINDS, build_probes
from sway_gguf.spec.model import Spec
from sway_gguf.spec.null_adapter import KIND as NULL_SETTINGS


def check_entries(spec: Spec) -> None:
    """Build all entries once as they stand in the file, so that an error has their numbers and costs nothing.

    Raises:
        UserError: every wrong one.
    """
    try:
        build_probes(spec.suite, Sources(), but=NULL_SETTINGS)
    except UserError as error:
        raise UserError(spec.told(str(error))) from None


def with_sets_probes(spec: Spec) -> Spec:
    """`spec` with the probes of sets, which a suite for several adapters has in any case."""
    kinds = [kind for kind, probe in KINDS.items() if probe.of_sets]
    taken = {entry.get("kind") for entry in spec.suite} | {entry.get("name") for entry in spec.suite}
    more = [{"name": kind, "kind": kind} for kind in kinds if kind not in taken]
    if not more or not spec.suite or len(spec.models.ft.members) < 2:
        return spec
    return spec.model_copy(update={"suite": [*spec.suite, *more]})
