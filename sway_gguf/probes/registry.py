"""Which probe kinds there are, and how a spec entry becomes a probe. Knows the kinds' classes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sway_gguf.core.errors import UserError
from sway_gguf.probes.adapter_ablation import AdapterAblation
from sway_gguf.probes.applied import Applied
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.delta_kl import DeltaKl
from sway_gguf.probes.external_perplexity import ExternalPerplexity
from sway_gguf.probes.preference_flip import PreferenceFlip
from sway_gguf.probes.section_internalization import SectionInternalization
from sway_gguf.spec.options import nearest, validated

KINDS: Mapping[str, type[Probe[Any]]] = {
    probe.kind: probe
    for probe in (
        Applied,
        DeltaKl,
        AdapterAblation,
        SectionInternalization,
        PreferenceFlip,
        ExternalPerplexity,
    )
}


def build_probes(suite: Sequence[Mapping[str, Any]], sources: Sources) -> list[Probe[Any]]:
    """One probe per entry, in order.

    Raises:
        UserError: every wrong entry, in one line.
    """
    problems: list[str] = []
    probes: list[Probe[Any]] = []
    for number, entry in enumerate(suite, 1):
        try:
            probes.append(_build(entry, sources, f"suite entry {number}"))
        except UserError as error:
            problems.append(str(error))
    names = [probe.options.name for probe in probes]
    problems += [f"two entries are named {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise UserError("; ".join(problems))
    return probes


def _build(entry: Mapping[str, Any], sources: Sources, where: str) -> Probe[Any]:
    kind = entry.get("kind")
    if kind not in KINDS:
        raise UserError(f"{where}: unknown probe kind {kind!r}, {nearest(str(kind), KINDS)}")
    probe = KINDS[str(kind)]
    return probe(validated(probe.options_type, {"name": kind, **entry}, f"{where} ({kind})"), sources)
