"""The original's rule on the same files: its suite with three nulls of one fixed size, a pass at z ≥ 3.

Its own runner and probes decide, on our engine. Two readings of it: its `gate`, which wants no FAIL and a composite
score of 0.6, and the first line of its `check`, which looks at the z of delta_kl alone. Knows nothing of our verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.clinic.visit import Held
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.core.sections import Section
from sway_gguf.material.packaged import general_prompts
from sway_gguf.material.read import read_material
from sway_gguf.suite.prepare import default_spec
from sway_gguf.suite.speech import speech_of

_ITEMS, _GATE, _SIGMAS = 8, 0.6, 3.0


@dataclass(frozen=True, slots=True)
class Theirs:
    """What the original says.

    Attributes:
        gate: "pass" or "fail", or "error" where its suite broke off.
        check: the same of its quick check's first line.
        why: which probes failed.
    """

    gate: str
    check: str
    why: str


def installed() -> bool:
    """Whether the original is there to be asked."""
    return find_spec("dlm_sway") is not None


def theirs(held: Held) -> Theirs:
    """The original's verdicts on what a user holds."""
    from dlm_sway.backends import build
    from dlm_sway.core.errors import SwayError
    from dlm_sway.core.model import ModelSpec
    from dlm_sway.core.result import Verdict
    from dlm_sway.suite.runner import run
    from dlm_sway.suite.score import compute
    from dlm_sway.suite.spec import SuiteModels, SwaySpec

    from benchmarks.validity.original import section_of

    side = ModelSpec(kind="custom", base=str(held.base), entry_point="sway_gguf.engine.sway_entry:SwayBackend")
    models = SuiteModels(base=side, ft=side.model_copy(update={"adapter": held.adapter}))
    sections = _sections(held)
    prompts = [each.prompt for each in sections if each.prompt][:_ITEMS] or general_prompts()[:_ITEMS]
    try:
        backend = build(models.ft, adapter_path=held.adapter)
    except (SwayError, UserError, EngineError) as error:
        return Theirs("error", "error", str(error))
    try:
        result = run(SwaySpec(models=models, suite=_suite(prompts)), backend, sections=tuple(map(section_of, sections)))
    finally:
        backend.close()  # type: ignore[attr-defined]
    broken = [probe for probe in result.probes if probe.verdict is Verdict.ERROR]
    if broken and len(broken) == len(result.probes):
        return Theirs("error", "error", broken[0].message)
    failed = [probe.kind for probe in result.probes if probe.verdict is Verdict.FAIL]
    z = next((probe.z_score for probe in result.probes if probe.kind == "delta_kl"), None)
    passes = not failed and compute(result).overall >= _GATE
    return Theirs(
        "pass" if passes else "fail",
        "pass" if z is not None and z >= _SIGMAS else "fail",
        ", ".join(failed) + (f"; delta_kl z {z:.1f}" if z is not None else ""),
    )


def _suite(prompts: list[str]) -> list[dict[str, Any]]:
    return [
        {"name": "null", "kind": "null_adapter", "runs": 3, "cache": False},
        {"name": "kl", "kind": "delta_kl", "prompts": prompts},
        {"name": "ablation", "kind": "adapter_ablation", "prompts": prompts[:4]},
        {"name": "sections", "kind": "section_internalization"},
        {"name": "perplexity", "kind": "external_perplexity", "max_chunks": 2, "chunk_chars": 256},
        {"name": "drift", "kind": "calibration_drift", "items_limit": 10},
    ]


def _sections(held: Held) -> tuple[Section, ...]:
    """Of the data, put as our own run puts it."""
    material = read_material(held.data)
    spoken = speech_of(default_spec(held.base, held.adapter, data=held.data), material)
    return spoken.material(material, held.data).sections[:_ITEMS]
