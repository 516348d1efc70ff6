"""Effects that are rounding, numbers that are not finite, probes that fail: each told for what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sway_gguf.artifacts import rounding
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.finite import not_finite
from sway_gguf.artifacts.gguf_header import Header
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.rounding import NEGLIGIBLE, rounding_adapter
from sway_gguf.core.answers import Answer, Answers
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.queries import Embed, Query
from sway_gguf.core.result import Diagnosis, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.views import NullView, ScaledView, View
from sway_gguf.engine.bare import contract
from sway_gguf.engine.fake import FakeBackend
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.delta_kl import DeltaKl
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.measure import measure
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import run
from sway_gguf.suite.schedule import schedule
from tests.artifact_files import base_file, spoiled
from tests.command_line import spoken
from tests.test_cli import BASE
from tests.test_suite import BareBackend, all_probes, effect

DEMO_BASE, DEMO_ADAPTER = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"


def verdict_on(base: Path, adapter: LoraAdapter | Path, folder: Path, *kinds: str) -> SuiteResult:
    """A short run on an adapter, by the real engine."""
    if isinstance(adapter, LoraAdapter):
        write_lora(adapter, folder / "adapter.gguf")
        adapter = folder / "adapter.gguf"
    defaults = Defaults(nulls=5, items=8)
    prepared = prepare(default_spec(base, adapter, defaults=defaults, kinds=kinds or ("applied", "delta_kl")))
    with LlamaBackend(prepared.base.path, prepared.adapter.path, prepared.engine) as backend:
        return run(prepared, backend)


def named(result: SuiteResult, name: str) -> ProbeResult:
    return next(probe for probe in result.probes if probe.name == name)


@pytest.mark.parametrize("scale", [1e-7, 1e-8, 1e-9, 1e-12])
def test_an_adapter_that_only_rounds_otherwise_is_a_no_op(tmp_path: Path, scale: float) -> None:
    healthy = read_lora(DEMO_ADAPTER)
    found = verdict_on(DEMO_BASE, replace(healthy, alpha=healthy.alpha * scale), tmp_path)
    assert named(found, "applied").verdict == Verdict.FAIL
    assert found.diagnosis == Diagnosis.NO_OP


def test_an_adapter_of_a_hundredth_is_applied_all_the_same(tmp_path: Path) -> None:
    healthy = read_lora(DEMO_ADAPTER)
    found = verdict_on(DEMO_BASE, replace(healthy, alpha=healthy.alpha * 0.01), tmp_path)
    assert named(found, "applied").verdict == Verdict.PASS


def test_a_zero_adapter_is_a_no_op_and_the_floor_is_not_zero(tmp_path: Path) -> None:
    found = verdict_on(DEMO_BASE, DEMO / "zero.lora.gguf", tmp_path)
    applied = named(found, "applied")
    assert (applied.value, applied.verdict, found.diagnosis) == (0.0, Verdict.FAIL, Diagnosis.NO_OP)
    assert applied.noise_floor is not None
    assert applied.noise_floor > 0


def test_the_rounding_adapter_is_as_small_as_it_says() -> None:
    adapter = rounding_adapter(read_base(DEMO_BASE))
    assert adapter is not None
    assert {pair.module.split(".")[2] for pair in adapter.pairs} == {"attn_output", "ffn_down"}
    for pair in adapter.pairs:
        # Of a weight of unit gain, W x is as long as x·√(d_out / d_in): so is a norm of √d_out.
        assert adapter.update_norm(pair) / np.sqrt(pair.shape[0]) == pytest.approx(NEGLIGIBLE, rel=0.5)


def test_a_base_without_such_modules_has_none(tmp_path: Path) -> None:
    assert rounding_adapter(read_base(base_file(tmp_path / "b.gguf", {"token_embd.weight": (8, 8)}))) is None


def test_where_the_rerun_is_the_base_once_more_no_floor_is_told() -> None:
    probes = all_probes()[:1]
    plan = schedule(probes)
    assert measure(contract(BareBackend(effect())), probes, plan).readings[0].floor is None
    assert measure(FakeBackend(effect()), probes, plan).readings[0].floor == 0.0


@pytest.fixture(scope="module")
def scripted() -> Prepared:
    """The demo's files with probes over scripted text."""
    return replace(prepare(default_spec(DEMO_BASE, DEMO_ADAPTER)), probes=tuple(all_probes()), skipped=())


def overflowing(broken: Callable[[View], bool]) -> FakeBackend:
    def script(view: View, query: Query) -> Answer:
        if broken(view):
            raise NonFiniteError(str(view), str(query))
        return effect(section=1.0, logit=2.0)(view, query)

    return FakeBackend(script)


def test_numbers_that_are_not_finite_at_another_scale_are_a_finding(scripted: Prepared) -> None:
    found = run(scripted, overflowing(lambda view: isinstance(view, ScaledView) and view.scale >= 1.5))  # type: ignore[arg-type]
    ablation = named(found, "adapter_ablation")
    assert ablation.verdict == Verdict.WARN
    assert "not finite at λ = 1.5, 2" in ablation.reason
    assert ablation.curve
    assert ablation.curve.scales == (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    assert found.diagnosis == Diagnosis.HEALTHY


@pytest.mark.parametrize("broken", ["base", "base (rerun)", "tuned", "null"])
def test_numbers_that_are_not_finite_elsewhere_break_the_model(scripted: Prepared, broken: str) -> None:
    def is_broken(view: View) -> bool:
        return isinstance(view, NullView) if broken == "null" else str(view) == broken

    found = run(scripted, overflowing(is_broken))  # type: ignore[arg-type]
    assert found.diagnosis == Diagnosis.BROKEN
    assert f"the {broken}" in found.headline


class Failing(DeltaKl):
    """Fails on tuned views in one way or another."""

    def __init__(self, like: Any, error: Exception | None) -> None:
        super().__init__(like.options, like.sources)
        self._error = error

    def measure(self, base: Answers, other: Answers) -> Measurement:
        if self._error is not None:
            raise self._error
        return Measurement(1.0, (Item("one", float("nan")),))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("q is zero where p is not"), "q is zero where p is not"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (None, "not finite, though every number of the model is"),
    ],
)
def test_a_probe_that_cannot_measure_is_no_broken_model(
    scripted: Prepared, error: Exception | None, words: str
) -> None:
    probes = [Failing(probe, error) if probe.kind == "delta_kl" else probe for probe in scripted.probes]
    found = run(replace(scripted, probes=tuple(probes)), FakeBackend(effect(section=1.0, logit=2.0)))  # type: ignore[arg-type]
    failed = named(found, "delta_kl")
    assert failed.verdict == Verdict.ERROR
    assert words in failed.reason
    assert {probe.verdict for probe in found.probes if probe.name != "delta_kl"} & {Verdict.ERROR} == set()
    assert found.diagnosis == Diagnosis.INCONCLUSIVE
    assert "delta_kl" in found.headline


def test_a_bug_in_a_probe_is_not_taken_for_a_finding(scripted: Prepared) -> None:
    probes = [Failing(probe, KeyError("bug")) if probe.kind == "delta_kl" else probe for probe in scripted.probes]
    with pytest.raises(KeyError):
        run(replace(scripted, probes=tuple(probes)), FakeBackend(effect()))  # type: ignore[arg-type]


def test_the_tensor_that_is_not_finite_is_named(tmp_path: Path) -> None:
    healthy = read_lora(DEMO_ADAPTER)
    found = verdict_on(DEMO_BASE, spoiled(healthy, 3), tmp_path)
    assert found.diagnosis == Diagnosis.BROKEN
    assert f"the adapter's {healthy.pairs[3].module} holds NaN or infinity" in found.headline
    assert "tuned view" in found.headline


def test_no_null_is_drawn_from_factors_that_are_not_finite(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(DEMO_ADAPTER), 0), tmp_path / "nan.gguf")
    with (
        LlamaBackend(DEMO_BASE, tmp_path / "nan.gguf") as backend,
        pytest.raises(NonFiniteError, match=r"null 1 \(rotation\) view .* not finite"),
        backend.open(NullView(1)) as view,
    ):
        view.rolling_logprob("Anna went")


def test_a_base_is_searched_where_it_alone_gave_the_number(tmp_path: Path) -> None:
    base, adapter = read_base(damaged_base(tmp_path / "base.gguf")), read_lora(DEMO_ADAPTER)
    assert not_finite(base, adapter, "base") == "the base's blk.0.ffn_up.weight holds NaN or infinity"
    assert not_finite(base, adapter, "tuned") == ""
    assert verdict_on(base.path, DEMO_ADAPTER, tmp_path).diagnosis == Diagnosis.BROKEN


def test_an_embedding_that_is_not_finite_names_the_text(tmp_path: Path) -> None:
    settings = EngineSettings(embedder=damaged_base(tmp_path / "embedder.gguf"))
    with (
        LlamaBackend(DEMO_BASE, None, settings) as backend,
        pytest.raises(NonFiniteError, match=r"embedding model's view .* 'Anna went'"),
        backend.as_base() as view,
    ):
        view.answer([Embed("Anna went")])


def damaged_base(path: Path) -> Path:
    """The demo's base with one infinity in one weight."""
    data = bytearray(DEMO_BASE.read_bytes())
    name = "blk.0.ffn_up.weight"
    place = Header(DEMO_BASE).tensors[name]
    data[place.start : place.start + 4] = np.float32(np.inf).tobytes()
    path.write_bytes(data)
    return path


def test_a_broken_adapter_under_a_budget_is_told_as_without(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(DEMO_ADAPTER), 0), tmp_path / "nan.gguf")
    done = spoken("check", BASE, str(tmp_path / "nan.gguf"), "--budget", "60s", "--nulls", "5")
    assert done.returncode == 0, done.stderr
    assert "BROKEN" in done.stdout


def test_the_negligible_update_is_pinned_to_the_version_under_which_answers_are_kept() -> None:
    """Whoever changes a number here raises `rounding.VERSION`: answers of reruns stand in people's stores."""
    drawn = rounding_adapter(read_base(DEMO_BASE))
    assert drawn is not None
    first = drawn.pairs[0]
    assert (rounding.VERSION, first.module, len(drawn.pairs)) == (1, "blk.0.attn_output.weight", 6)
    assert first.a[0, :3].tolist() == pytest.approx([0.00785814, -0.00825655, 0.0400264], rel=1e-5)
    assert (first.b[:3, 0] / NEGLIGIBLE).tolist() == pytest.approx([-0.667687, 0.163244, -0.830752], rel=1e-5)
