"""The original's own probes run on our backend unchanged, through its custom-backend entry point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from dlm_sway.backends import build
from dlm_sway.core.model import ModelSpec
from dlm_sway.core.result import Verdict
from dlm_sway.core.scoring import (
    DifferentialBackend,
    NullCalibratedBackend,
    PreflightCheckable,
    ScalableDifferentialBackend,
)
from dlm_sway.probes._null_proxy import NullCalibrationBackendProxy
from dlm_sway.probes.base import RunContext, build_probe
from dlm_sway.suite.runner import run as run_suite
from dlm_sway.suite.spec import SuiteModels, SwaySpec

from sway_gguf.engine.protocol import NullCalibrationProxy
from sway_gguf.engine.sway_entry import SwayBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material

PROMPTS = [preference.prompt for preference in read_material(DEMO / "preferences.jsonl").preferences[:8]]
SUITE: list[dict[str, Any]] = [
    {"name": "null", "kind": "null_adapter", "runs": 3, "cache": False},
    {"name": "kl", "kind": "delta_kl", "prompts": PROMPTS},
    {"name": "ablation", "kind": "adapter_ablation", "prompts": PROMPTS[:4]},
    {"name": "perplexity", "kind": "external_perplexity", "max_chunks": 2, "chunk_chars": 256},
    {"name": "drift", "kind": "calibration_drift", "items_limit": 10},
]


@pytest.fixture(scope="module")
def models() -> SuiteModels:
    side = ModelSpec(
        kind="custom", base=str(DEMO / "base.f32.gguf"), entry_point="sway_gguf.engine.sway_entry:SwayBackend"
    )
    return SuiteModels(base=side, ft=side.model_copy(update={"adapter": DEMO / "healthy.lora.gguf"}))


@pytest.fixture(scope="module")
def backend(models: SuiteModels) -> Iterator[SwayBackend]:
    built = build(models.base, adapter_path=models.ft.adapter)
    assert isinstance(built, SwayBackend)
    yield built
    built.close()


def test_our_backend_satisfies_every_protocol_of_the_original(backend: SwayBackend) -> None:
    for protocol in (DifferentialBackend, NullCalibratedBackend, ScalableDifferentialBackend, PreflightCheckable):
        assert isinstance(backend, protocol)


def test_a_whole_suite_of_the_original_runs_on_it(backend: SwayBackend, models: SuiteModels) -> None:
    result = run_suite(SwaySpec(models=models, suite=SUITE), backend)
    found = {probe.kind: probe for probe in result.probes}
    assert {kind: probe.message for kind, probe in found.items() if probe.verdict is Verdict.ERROR} == {}
    assert all(probe.verdict is not Verdict.SKIP for probe in found.values())
    assert found["null_adapter"].evidence["calibrated_kinds"] == [
        "delta_kl",
        "external_perplexity",
        "calibration_drift",
    ]
    assert found["delta_kl"].raw is not None
    assert found["delta_kl"].raw > 0.02
    divergences = found["adapter_ablation"].evidence["mean_divergence_per_lambda"]
    assert divergences[0] == pytest.approx(0, abs=1e-9)
    assert divergences[4] == max(divergences[:5])


def test_the_originals_proxy_of_a_null_gives_what_ours_gives(backend: SwayBackend) -> None:
    probe, spec = build_probe(SUITE[1])
    context = RunContext(backend=backend)
    theirs = NullCalibrationBackendProxy(backend, seed=11, init_scale=0.05, rank_scale=2.0)
    ours = NullCalibrationProxy(backend, seed=11, init_scale=0.05, rank_scale=2.0)  # type: ignore[arg-type]
    first, second = (probe.run(spec, replace(context, backend=proxy)) for proxy in (theirs, ours))
    assert first.raw == second.raw
    with ours.as_finetuned() as view, pytest.raises(Exception, match="still open"), theirs.as_finetuned():
        view.next_token_dist("The")
    with ours.as_finetuned() as view:
        mine = view.logprob_of("Anna", " is here")
    with theirs.as_finetuned() as view:
        assert view.logprob_of("Anna", " is here") == mine
