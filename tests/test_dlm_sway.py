"""The original's own probes run on our backend unchanged, through its custom-backend entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytest
import yaml
from dlm_sway.backends import build, build_two_separate
from dlm_sway.backends._instrumentation import BackendInstrumentation
from dlm_sway.backends.dummy import DummyDifferentialBackend, DummyResponses
from dlm_sway.core.errors import ProbeError, SwayError
from dlm_sway.core.model import ModelSpec
from dlm_sway.core.result import Verdict
from dlm_sway.core.scoring import (
    DifferentialBackend,
    NullCalibratedBackend,
    PreflightCheckable,
    ScalableDifferentialBackend,
    ScoringBackend,
    TokenDist,
)
from dlm_sway.probes._null_proxy import NullCalibrationBackendProxy
from dlm_sway.probes.base import RunContext, build_probe
from dlm_sway.suite.runner import run as run_suite
from dlm_sway.suite.spec import SuiteModels, SwaySpec

from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.core.sections import Preference, Section
from sway_gguf.core.views import NullDesign
from sway_gguf.engine.bare import contract
from sway_gguf.engine.protocol import NullCalibrationProxy
from sway_gguf.engine.sway_entry import SwayBackend
from sway_gguf.engine.sway_family import _family, as_theirs
from sway_gguf.engine.sway_settings import settings_of
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from sway_gguf.probes.base import Sources
from sway_gguf.probes.foreign import RunContext as ForeignContext
from sway_gguf.probes.registry import build_probes
from sway_gguf.suite.measure import measure
from sway_gguf.suite.schedule import Nulls, schedule

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


@runtime_checkable
class LaterScoring(ScoringBackend, Protocol):
    """Scoring as later releases of the original ask for it."""

    def next_token_dist_batch(self, prompts: Sequence[str], *, top_k: int = 256) -> list[TokenDist]: ...


class LaterInstrumentation(BackendInstrumentation):
    """Instrumentation as later releases have it: what a batch misses is computed together."""

    def cached_batch(
        self, op: str, view: str, prompts: Sequence[str], top_k: int, compute: Callable[[list[int]], list[Any]]
    ) -> list[Any]:
        held = {key: value for key, value in self.cache._store.items() if key[:2] == (op, view)}
        keys = [(op, view, prompt, top_k) for prompt in prompts]
        missing = [place for place, key in enumerate(keys) if key not in held]
        for place, value in zip(missing, compute(missing), strict=True):
            self.cache.put(keys[place], value)
        return [self.cache.get(key) for key in keys]


def test_the_batch_door_of_later_releases_gives_what_single_calls_give(backend: SwayBackend) -> None:
    with backend.as_finetuned() as view:
        assert isinstance(view, LaterScoring)
        assert view.next_token_dist_batch([]) == []
        many = view.next_token_dist_batch(PROMPTS, top_k=5)
        single = [view.next_token_dist(prompt, top_k=5) for prompt in PROMPTS]
    for one, other in zip(many, single, strict=True):
        assert one.token_ids.tolist() == other.token_ids.tolist()
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_the_cache_of_later_releases_is_asked_once_per_batch(
    backend: SwayBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_inst", LaterInstrumentation())
    computed: list[int] = []
    answer = SwayBackend._answer
    monkeypatch.setattr(
        SwayBackend,
        "_answer",
        lambda self, view, asked, progress: (computed.append(len(asked)), answer(self, view, asked, progress))[1],
    )
    with backend.as_base() as view:
        first = view.next_token_dist_batch(PROMPTS[:3])
        again = view.next_token_dist_batch(PROMPTS[:4])
    assert computed == [3, 1]
    assert [one is other for one, other in zip(first, again, strict=False)] == [True] * 3


def test_a_probe_of_a_later_release_finds_its_backend() -> None:
    assert ForeignContext(backend="here").require_backend == "here"


def sway(folder: Path, *words: str, suite: Sequence[dict[str, Any]] = (), **changed: Any) -> Any:
    """dlm-sway's own command on our backend, in a process of its own."""
    side = {
        "kind": "custom",
        "base": str(DEMO / "base.f32.gguf"),
        "entry_point": "sway_gguf.engine.sway_entry:SwayBackend",
    }
    side |= {key: value for key, value in changed.items() if key != "defaults"}
    spec = {
        "version": 1,
        "models": {"base": side, "ft": {"adapter": str(DEMO / "healthy.lora.gguf"), **side}},
        "defaults": changed.get("defaults", {}),
        "suite": list(suite) or [SUITE[1]],
    }
    (folder / "sway.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    command = [sys.executable, "-m", "dlm_sway.cli.app", "run", str(folder / "sway.yaml"), *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"base": "nowhere.gguf"}, "nowhere.gguf: cannot be read"),
        ({"base": __file__}, "test_dlm_sway.py"),
        ({"adapter": "nowhere.lora.gguf"}, "nowhere.lora.gguf"),
        ({"endpoint": "contxt=512"}, "unknown setting 'contxt'"),
        ({"endpoint": "context=4"}, "context=4 is no whole number from 16 on"),
        ({"adapter": None}, "no adapter was given"),
    ],
)
def test_what_the_user_can_mend_is_one_line_of_its_command(
    tmp_path: Path, changed: dict[str, Any], complaint: str
) -> None:
    done = sway(tmp_path, **changed)
    assert done.returncode == 2, done.stderr
    assert complaint in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_its_command_traces_and_counts(tmp_path: Path) -> None:
    trace, report = tmp_path / "trace.jsonl", tmp_path / "report.json"
    done = sway(tmp_path, "--trace", str(trace), "--json", str(report), suite=[SUITE[1], {**SUITE[1], "name": "again"}])
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    asked = [event for event in events if event["probe"]]
    assert {event["view_id"] for event in asked} == {"base", "ft"}
    assert [event["hit"] for event in asked] == [False] * 16 + [True] * 16
    stats = json.loads(report.read_text(encoding="utf-8"))["backend_stats"]
    assert (stats["cache_hits"], stats["cache_misses"]) == (16, 18)


def test_two_models_of_which_the_base_has_no_adapter() -> None:
    side = {
        "kind": "custom",
        "base": str(DEMO / "base.f32.gguf"),
        "entry_point": f"{SwayBackend.__module__}:SwayBackend",
    }
    models = SuiteModels(
        base=ModelSpec.model_validate(side),
        ft=ModelSpec.model_validate({**side, "adapter": str(DEMO / "healthy.lora.gguf")}),
    )
    two = build_two_separate(models)
    try:
        apart = run_suite(SwaySpec(models=models, suite=[SUITE[1]]), two).probes[0]
    finally:
        two.close()
    assert apart.verdict is Verdict.PASS


def test_an_empty_completion_costs_its_own_triple_alone(backend: SwayBackend) -> None:
    good = [{"prompt": prompt, "chosen": " yes", "rejected": " no"} for prompt in PROMPTS[:4]]
    bad = [{"prompt": "Anna", "chosen": "", "rejected": " no"}, {"prompt": "Anna", "chosen": " yes", "rejected": ""}]
    results = []
    for triples in (good, [bad[0], *good, bad[1]]):
        probe, spec = build_probe({"name": "p", "kind": "preference_flip", "triples": triples})
        results.append(probe.run(spec, RunContext(backend=backend)))
    assert results[1].evidence["dropped_triples"] == 2
    assert "adds no token" in results[1].evidence["dropped_reasons"][0]
    assert results[0].raw == results[1].raw is not None


def test_a_prompt_beyond_the_context_is_an_error_of_that_probe_and_tells_what_fits(
    backend: SwayBackend, models: SuiteModels
) -> None:
    collapse = {"name": "long", "kind": "prompt_collapse", "prompts": PROMPTS[:1]}
    fitting = {**collapse, "name": "short", "context_lengths": [0, 32, 64]}
    long, short, kl = run_suite(SwaySpec(models=models, suite=[collapse, fitting, SUITE[1]]), backend).probes
    assert long.verdict is Verdict.ERROR
    assert "the context holds 512" in long.message
    assert "context_lengths" in long.message
    assert short.verdict is not Verdict.ERROR
    assert kl.verdict is Verdict.PASS


def test_the_way_out_of_a_short_context_can_be_followed() -> None:
    spec = ModelSpec(kind="custom", base=str(DEMO / "base.f32.gguf"), endpoint="context=64, threads=1")
    short = SwayBackend(spec, DEMO / "healthy.lora.gguf")
    try:
        assert (short.width, short.settings.threads) == (64, 1)
        with short.as_base() as view, pytest.raises(ProbeError, match=r'set endpoint: "context=512"') as caught:
            view.next_token_dist("word " * 100)
        assert isinstance(caught.value, UserError)
        assert isinstance(caught.value, SwayError)
    finally:
        short.close()


def test_settings_come_from_the_fields_that_a_spec_has() -> None:
    def of(**fields: Any) -> Any:
        return settings_of(ModelSpec(base="b", **fields))

    assert of()[0].gpu_layers == of(device="cpu")[0].gpu_layers == 0
    assert of(device="cuda")[0].gpu_layers == -1
    assert of(device="cuda", endpoint="gpu_layers=3")[0].gpu_layers == 3
    settings, energy = of(endpoint="context=256, kv_type=f32,flash_attention=true, energy=original")
    assert (settings.context, settings.kv_type, settings.flash_attention, energy) == (256, "f32", True, "original")
    for wrong in ("threads=-1", "kv_type=q2", "energy=half", "batch", "flash_attention=maybe", "base=x"):
        with pytest.raises(UserError, match="endpoint: "):
            of(endpoint=wrong)


def test_the_originals_energy_can_be_had_and_is_another_identity(backend: SwayBackend, models: SuiteModels) -> None:
    side = models.base.model_copy(update={"endpoint": "energy=original"})
    theirs = SwayBackend(side, DEMO / "healthy.lora.gguf")
    try:
        for one, energy in ((backend, "rank"), (theirs, "original")):
            with one.as_null_adapter(3, rank_scale=4.0) as view:
                assert view.view.design == NullDesign("gaussian", 4.0, energy=energy)  # type: ignore[arg-type,union-attr]
        assert theirs.cache_identity() != backend.cache_identity()
    finally:
        theirs.close()


def test_no_two_views_that_could_differ_share_a_name_in_the_cache(backend: SwayBackend) -> None:
    doors = [backend.as_base(), backend.as_finetuned()]
    doors += [backend.as_scaled_adapter(scale) for scale in (0.0, 0.5, 0.501, 0.5000001, 1.25)]
    doors += [
        backend.as_null_adapter(seed, init_scale=size, rank_scale=rank, design=design, energy=energy)
        for seed, size, rank, design, energy in product(
            (1, 11), (0.02, 0.05), (1.0, 0.5, 0.501), ("gaussian", "rotation"), ("rank", "original")
        )
    ]
    names = []
    for door in doors:
        with door as view:
            names.append(view.id)
    assert len(set(names)) == len(names)
    with backend.as_null_adapter(42) as view:
        assert view.id == "null_42"


def test_a_cached_answer_is_not_given_after_the_view_has_closed(backend: SwayBackend) -> None:
    with backend.as_base() as view:
        view.next_token_dist("The")
    with pytest.raises(RuntimeError, match="after its block"):
        view.next_token_dist("The")


@pytest.mark.parametrize("error", [UserError("so"), EngineError("so"), NonFiniteError("tuned", "so")])
def test_our_errors_are_theirs_and_stay_ours(error: Exception) -> None:
    for door, family in (("logprob_of", ProbeError), ("", SwayError)):
        with pytest.raises(family, match=str(error)) as caught, as_theirs(door):
            raise error
        assert isinstance(caught.value, type(error))
        assert caught.value.__dict__.items() >= error.__dict__.items()
        with pytest.raises(family) as again, as_theirs(), as_theirs(door):
            raise error
        assert str(again.value) == str(caught.value)


def test_without_that_package_errors_are_ours_and_nothing_is_cached(
    monkeypatch: pytest.MonkeyPatch, models: SuiteModels
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "dlm_sway"]:
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    _family.cache_clear()
    try:
        with pytest.raises(UserError) as caught:
            SwayBackend(models.base.model_copy(update={"base": "nowhere.gguf"}), None)
        assert not isinstance(caught.value, SwayError)
        with SwayBackend(models.base, DEMO / "healthy.lora.gguf") as alone, alone.as_finetuned() as view:
            assert len(view.next_token_dist_many(PROMPTS)) == len(PROMPTS)  # type: ignore[attr-defined]
    finally:
        _family.cache_clear()


def test_our_probes_run_on_a_backend_of_the_original() -> None:
    """Its dummy gives -2 nats per token in the base and -1.5 when tuned, and scripted scores of completions."""
    pairs = [Preference(f"q{n}", " yes", " no") for n in range(6)]
    scores = {(pair.prompt, reply): -3.0 for pair in pairs for reply in (pair.chosen, pair.rejected)}
    tuned = scores | {(pair.prompt, pair.chosen): -1.0 - n for n, pair in enumerate(pairs)}
    dummy = DummyDifferentialBackend(base=DummyResponses(logprobs=scores), ft=DummyResponses(logprobs=tuned))
    sources = Sources(
        sections=tuple(Section(f"s{n}", f"section {n} tells something new") for n in range(6)),
        general=tuple(f"other text number {n} goes on for long enough" for n in range(6)),
        preferences=tuple(pairs),
        prompts=("a", "b", "c", "d", "e"),
    )
    kinds = ("applied", "delta_kl", "external_perplexity", "preference_flip")
    probes = build_probes([{"name": kind, "kind": kind} for kind in kinds], sources)
    readings = measure(contract(dummy), probes, schedule(probes, Nulls((1, 2), NullDesign("gaussian")))).readings
    found = {reading.kind: reading for reading in readings}
    assert found["external_perplexity"].tuned.value == pytest.approx(0.5)
    base, other = (np.exp(row) for row in _rows(dummy))
    middle = (base + other) / 2
    js = sum(float(np.sum(p[p > 0] * np.log(p[p > 0] / middle[p > 0]))) / 2 for p in (base, other))
    assert found["delta_kl"].tuned.value == pytest.approx(js, abs=1e-4)
    assert [item.value for item in found["preference_flip"].tuned.items] == pytest.approx([2 - n for n in range(6)])
    assert [len(found[kind].nulls) for kind in ("delta_kl", "preference_flip")] == [2, 2]


def _rows(dummy: DummyDifferentialBackend) -> Iterator[np.ndarray]:
    for door in (dummy.as_base(), dummy.as_finetuned()):
        with door as view:
            dist = view.next_token_dist("a")
        outside = -np.inf if dist.tail_logprob is None else dist.tail_logprob - np.log(dist.vocab_size - 8)
        yield np.array([*dist.logprobs, *[outside] * (dist.vocab_size - 8)])
