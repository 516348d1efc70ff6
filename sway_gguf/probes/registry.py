"""Which probe kinds there are, and how a spec entry becomes a probe. Knows the kinds' classes only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from sway_gguf.core.errors import UserError
from sway_gguf.probes.adapter_ablation import AdapterAblation
from sway_gguf.probes.adapter_health import AdapterHealth
from sway_gguf.probes.adapter_revert import AdapterRevert
from sway_gguf.probes.aim import Aim
from sway_gguf.probes.applied import Applied
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.calibration_drift import CalibrationDrift
from sway_gguf.probes.cluster_kl import ClusterKl
from sway_gguf.probes.content import Content
from sway_gguf.probes.delta_kl import DeltaKl
from sway_gguf.probes.ending import Ending
from sway_gguf.probes.everyday_replies import EverydayReplies
from sway_gguf.probes.external_perplexity import ExternalPerplexity
from sway_gguf.probes.foreign import ForeignProbe
from sway_gguf.probes.gradient_ghost import GradientGhost
from sway_gguf.probes.interaction import Interaction
from sway_gguf.probes.leakage import Leakage
from sway_gguf.probes.multi_turn_coherence_decay import MultiTurnCoherenceDecay
from sway_gguf.probes.paraphrase_invariance import ParaphraseInvariance
from sway_gguf.probes.plugins import plugin_kinds
from sway_gguf.probes.preference_flip import PreferenceFlip
from sway_gguf.probes.prompt_collapse import PromptCollapse
from sway_gguf.probes.scale_response import ScaleResponse
from sway_gguf.probes.section_internalization import SectionInternalization
from sway_gguf.probes.style_fingerprint import StyleFingerprint
from sway_gguf.probes.template_fit import TemplateFit
from sway_gguf.probes.tool_use_fidelity import ToolUseFidelity
from sway_gguf.probes.top1_flips import Top1Flips
from sway_gguf.probes.training_drift import TrainingDrift
from sway_gguf.spec.options import ProbeOptions, nearest, validated

KINDS: Mapping[str, type[Probe[Any]]] = {
    probe.kind: probe
    for probe in (
        Applied,
        AdapterHealth,
        DeltaKl,
        ClusterKl,
        AdapterAblation,
        ScaleResponse,
        PromptCollapse,
        MultiTurnCoherenceDecay,
        SectionInternalization,
        Aim,
        Content,
        ParaphraseInvariance,
        PreferenceFlip,
        AdapterRevert,
        StyleFingerprint,
        ExternalPerplexity,
        EverydayReplies,
        CalibrationDrift,
        Ending,
        Top1Flips,
        ToolUseFidelity,
        Leakage,
        TemplateFit,
        Interaction,
        TrainingDrift,
        GradientGhost,
    )
}


def all_kinds() -> Mapping[str, type[Probe[Any]]]:
    """Our kinds and those of plugins; a plugin cannot take the name of one of ours.

    Raises:
        UserError: a plugin cannot be used.
    """
    return {**plugin_kinds(), **KINDS}


_ON_DEMAND = frozenset({ScaleResponse.kind})
"""Kinds that run where somebody asks for them alone."""


def kinds_by_default() -> list[str]:
    """Kinds of which an entry without fields can be built: all of ours, and a plugin's where it asks for none.

    Those of sets are left out, which a run of a set has in any case, and those that run on demand alone.
    """
    return [
        kind
        for kind, probe in all_kinds().items()
        if not (probe.of_sets or kind in _ON_DEMAND) and (kind in KINDS or _builds(kind))
    ]


def _builds(kind: str) -> bool:
    try:
        _build({"name": kind, "kind": kind}, Sources(), kind)
    except UserError:
        return False
    return True


def card(probe: type[Probe[Any]]) -> dict[str, Any]:
    """A kind as a record: kind, axis, question, unit, definition, passing, caveat, fields and retired fields."""
    return {
        "kind": probe.kind,
        "axis": probe.axis,
        "question": probe.question,
        "unit": probe.unit,
        "definition": inspect.getdoc(probe) or "",
        "passing": probe.passing,
        "caveat": probe.caveat,
        "fields": probe.options_type.model_json_schema(by_alias=False)["properties"],
        "retired": dict(probe.retired),
    }


def build_probes(suite: Sequence[Mapping[str, Any]], sources: Sources, *, but: str = "") -> list[Probe[Any]]:
    """One probe per entry, in order; an entry of the kind `but` is none, and counts where entries are numbered.

    Raises:
        UserError: every wrong entry, in one line.
    """
    problems: list[str] = []
    probes: list[Probe[Any]] = []
    for number, entry in enumerate(suite, 1):
        if entry.get("kind") == but:
            continue
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
    kind, kinds = entry.get("kind"), all_kinds()
    if not isinstance(kind, str) or kind not in kinds:
        raise UserError(f"{where}: unknown probe kind {str(kind)[:60]!r}, {nearest(str(kind)[:60], kinds)}")
    probe = kinds[kind]
    if issubclass(probe, ForeignProbe):
        return _build_foreign(probe, {"name": kind, **entry}, sources, where)
    given = {"name": kind, **entry}
    retired = tuple(f"{key} has no effect here: {why}" for key, why in probe.retired_fields().items() if key in given)
    known = {key: value for key, value in given.items() if key not in probe.retired_fields()}
    return probe(validated(probe.options_type, known, f"{where} ({kind})"), sources, retired)


def _build_foreign(probe: type[ForeignProbe], entry: Mapping[str, Any], sources: Sources, where: str) -> ForeignProbe:
    theirs = {key: value for key, value in entry.items() if key != "informational"}
    spec = validated(probe.original.spec_cls, theirs, where)
    own = {key: entry[key] for key in ("name", "kind", "enabled", "informational") if key in entry}
    return probe(validated(ProbeOptions, own, where), sources, spec=spec)
