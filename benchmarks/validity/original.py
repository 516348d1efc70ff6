"""The rule of the original (dlm-sway) on the same adapters: its own code, asked of our backend through its protocol.

Three nulls of a fixed size, measured on sentences of its own, and PASS from three of their standard deviations on;
where these give no z, its fixed thresholds. Knows its spec and its verdicts.
"""

from __future__ import annotations

from typing import Any

from dlm_sway.core.result import Verdict
from dlm_sway.core.sections import Section as TheirSection
from dlm_sway.core.sections import SectionProbe
from dlm_sway.suite.runner import run
from dlm_sway.suite.spec import SwaySpec

from benchmarks.validity.cells import short
from sway_gguf.core.sections import Material, Section
from sway_gguf.engine.doors import DoorBackend

SIDE = {"kind": "custom", "base": "base.gguf", "entry_point": "unused:unused"}


def theirs(backend: DoorBackend, material: Material, prompts: list[str]) -> dict[str, Any]:
    """The verdicts of its probes that ask what our `signal` and `direction` ask, by kind, and their z.

    Args:
        backend: with the adapter.
        material: what the adapter is held to.
        prompts: of its delta_kl.
    """
    triples = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in material.preferences]
    suite: list[dict[str, Any]] = [
        {"name": "null", "kind": "null_adapter", "runs": 3, "cache": False},
        {"name": "delta_kl", "kind": "delta_kl", "prompts": prompts},
        {"name": "section_internalization", "kind": "section_internalization"},
    ]
    if triples:
        suite.append({"name": "preference_flip", "kind": "preference_flip", "triples": triples})
    spec = SwaySpec.model_validate({"version": 1, "models": {"base": SIDE, "ft": SIDE}, "suite": suite})
    result = run(spec, backend, sections=tuple(map(section_of, material.sections)), skip_preflight=True)
    failed = [f"{probe.name}: {probe.message}" for probe in result.probes if probe.verdict == Verdict.ERROR]
    if failed:
        raise RuntimeError("; ".join(failed))
    probes = [probe for probe in result.probes if probe.kind != "null_adapter"]
    return {
        "passed": [probe.kind for probe in probes if probe.verdict == Verdict.PASS],
        "z": {probe.kind: short(probe.z_score) for probe in probes},
        "raw": {probe.kind: short(probe.raw) for probe in probes},
    }


def section_of(section: Section) -> TheirSection:
    """Prose stays prose; what has a prompt is its question and answer."""
    if not section.prompt:
        return TheirSection(section.id, "prose", section.text)
    return TheirSection(section.id, "instruction", section.reply, (SectionProbe(section.prompt, section.reply),))
