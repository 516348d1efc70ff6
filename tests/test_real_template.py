"""template_fit and ending on the real model and the adapter that ships: a wrong template is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DATA
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.suite.run import run

REAL = DATA / "real"

pytestmark = pytest.mark.real


def measured(base: Path, format_: str) -> dict[str, ProbeResult]:
    spec = default_spec(base, REAL / "seeds.f16.lora.gguf", data=REAL / "dialogues.jsonl", defaults=Defaults(nulls=0))
    suite = [{"name": kind, "kind": kind} for kind in ("template_fit", "ending")]
    prepared = prepare(spec.model_copy(update={"format": format_, "suite": suite}))
    with LlamaBackend(prepared.base.path, prepared.adapter.path, prepared.engine) as backend:
        return {probe.kind: probe for probe in run(prepared, backend).probes}


def test_the_template_of_training_passes_and_the_model_still_stops(real_base: Path) -> None:
    found = measured(real_base, "auto")
    assert found["template_fit"].verdict == Verdict.PASS
    assert found["ending"].verdict == Verdict.PASS


def test_the_right_adapter_under_a_wrong_format_is_told_which_template_it_wants(real_base: Path) -> None:
    found = measured(real_base, "alpaca")["template_fit"]
    assert found.verdict == Verdict.FAIL
    assert "the base's own chat template lifts the replies" in found.reason
    assert found.reason.endswith("leave out --format")
