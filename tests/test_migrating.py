"""Specs of the original run as they are: every field of every kind that it has is accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from dlm_sway.probes.base import registry
from pydantic import BaseModel

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.core.result_json import to_json
from sway_gguf.core.views import ENERGIES, NullDesign, NullView
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.base import Sources
from sway_gguf.probes.registry import KINDS, build_probes
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.measure import measure
from sway_gguf.suite.prepare import prepare
from sway_gguf.suite.run import plan, run
from sway_gguf.suite.schedule import schedule

SAMPLES: dict[str, Any] = {
    "prompts": ["The keeper is called"],
    "triples": [{"prompt": "p", "chosen": " a", "rejected": " b"}],
    "cases": [{"prompt": "p", "gold": " g", "paraphrases": ["q"]}],
    "items": [["p", " g"]],
    "items_limit": 3,
    "top_k": 256,
    "doc_reference": "some text",
}
TOOL = {"name": "rain", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}
NEWER: dict[str, dict[str, Any]] = {
    "gradient_ghost": {
        "adapter_path": "~/store/v0001",
        "min_steps_threshold": 50,
        "undertrained_layer_ratio": 2.0,
        "layer_failure_frac": 0.3,
    },
    "training_drift": {
        "store_path": "~/store",
        "min_steps": 10,
        "rolling_window": 10,
        "spike_sigma": 3.0,
        "assert_smoothness_gte": 0.7,
        "assert_convergence_ratio_lte": 0.7,
        "assert_instability_events_lte": 0,
    },
    "multi_turn_coherence_decay": {
        "prompts": ["Tell me of the keeper."],
        "max_turns": 3,
        "max_new_tokens": 16,
        "follow_ups": ["Go on."],
        "divergence": "kl",
        "top_k": 256,
        "assert_half_life_turns": 1.5,
    },
    "tool_use_fidelity": {
        "cases": [{"prompt": "Rain?", "tool_spec": TOOL, "gold_tool_name": "rain", "max_new_tokens": 64}],
        "allowed_tools": ["rain", "wind"],
        "assert_validity_delta_gte": -0.05,
        "assert_hallucination_lte": 0.1,
        "assert_z_gte": 3.0,
    },
}
"""Every field of the kinds that came after the release that the tests install."""
THEIRS = {kind: cls for kind, cls in registry().items() if kind not in ("null_adapter",)}


def entry_of(cls: type) -> dict[str, Any]:
    """An entry with every field of the original's spec set."""
    spec: type[BaseModel] = cls.spec_cls  # type: ignore[attr-defined]
    filled = spec(name="x", kind=cls.kind).model_dump(mode="json")  # type: ignore[attr-defined]
    return filled | {key: value for key, value in SAMPLES.items() if key in filled} | {"name": cls.kind}  # type: ignore[attr-defined]


def test_every_kind_of_the_original_is_here() -> None:
    assert set(THEIRS) <= set(KINDS)


@pytest.mark.parametrize("kind", THEIRS)
def test_every_field_of_the_original_is_accepted(kind: str) -> None:
    entry = entry_of(THEIRS[kind])
    probe = build_probes([entry], Sources())[0]
    retired = {remark.split(" ")[0] for remark in probe.remarks}
    assert "weight" in retired
    assert retired | set(probe.options_type.model_json_schema()["properties"]) >= set(entry)


@pytest.mark.parametrize("kind", THEIRS)
def test_the_migration_page_names_every_field_without_effect(kind: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
    assert all(f"`{field}`" in page for field in KINDS[kind].retired)


def written(place: Path, /, **changed: Any) -> Path:
    base = str(DEMO / "base.f32.gguf")
    side = {"kind": "gguf", "base": base, "dtype": "auto", "device": "auto", "trust_remote_code": False}
    spec = {
        "version": 1,
        "models": {"base": side, "ft": {**side, "adapter": str(DEMO / "healthy.lora.gguf")}},
        "defaults": {"seed": 3, "top_k": 256, "differential": True, "coverage_threshold": 0.6, "concurrent_probes": 1},
        "suite": [{"name": "kl", "kind": "delta_kl", "prompts": ["a", "b"]}],
    }
    path = place / "sway.yaml"
    path.write_text(yaml.safe_dump(spec | changed), encoding="utf-8")
    return path


def test_an_envelope_of_the_original_is_read_with_remarks(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path))
    assert spec.defaults.seed == 3
    assert len(spec.remarks) == 10
    assert any("models.ft.dtype" in remark for remark in spec.remarks)


def test_a_dlm_source_becomes_the_data(tmp_path: Path) -> None:
    assert load_spec(written(tmp_path, dlm_source="doc.dlm")).data == tmp_path / "doc.dlm"


def test_a_null_adapter_entry_sets_the_nulls_wherever_it_stands(tmp_path: Path) -> None:
    null = {"name": "n", "kind": "null_adapter", "runs": 6, "rank_multipliers": [0.5, 1.0, 2.0], "init_scale": 0.05}
    kl = {"name": "kl", "kind": "delta_kl", "prompts": ["a", "b"]}
    plans = [plan(prepare(load_spec(written(tmp_path, suite=suite)))) for suite in ([null, kl], [kl, null])]
    assert plans[0] == plans[1]
    visits = (*plans[0].visits, *plans[0].last)
    nulls = [visit.view.design for visit in visits if isinstance(visit.view, NullView)]
    assert sorted(design.rank_scale for design in nulls) == [0.5] * 6 + [1.0] * 6 + [2.0] * 6
    assert {(design.design, design.init_scale) for design in nulls} == {("rotation", 0.05)}


def test_two_null_adapter_entries_are_one_too_many(tmp_path: Path) -> None:
    null = {"name": "n", "kind": "null_adapter"}
    with pytest.raises(UserError, match="2 entries of kind null_adapter"):
        prepare(load_spec(written(tmp_path, suite=[null, null])))


@pytest.mark.parametrize("key", ["folder", "remarks", "sweet"])
def test_what_is_no_field_of_a_spec_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"unknown key '{key}'"):
        load_spec(written(tmp_path, **{key: "x"}))


@pytest.mark.parametrize("kind", NEWER)
def test_every_field_of_the_newer_kinds_is_read_or_told(kind: str) -> None:
    probe = build_probes([{"name": "x", "kind": kind, "weight": 2.0, **NEWER[kind]}], Sources())[0]
    page = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
    told = {remark.split(" ")[0] for remark in probe.remarks}
    assert told == {"weight", *KINDS[kind].retired} & {"weight", *NEWER[kind]}
    assert all(f"`{field}`" in page for field in NEWER[kind].keys() - {"prompts", "follow_ups", "max_new_tokens"})


def test_what_the_newer_kinds_fields_say_is_kept() -> None:
    ghost, drift, turns, tools = (
        build_probes([{"name": kind, "kind": kind, **NEWER[kind]}], Sources())[0].options for kind in NEWER
    )
    assert (ghost.checkpoint, ghost.min_steps_threshold) == ("~/store/v0001", 50)
    assert (drift.checkpoint, drift.min_steps, drift.max_spikes) == ("~/store", 10, 0)
    assert drift.min_drop == pytest.approx(0.3)
    assert (turns.turns, turns.max_new_tokens, turns.follow_ups) == (3, 16, ["Go on."])
    assert (tools.tolerance, tools.max_invented, tools.allowed_tools) == (-0.05, 0.1, ["rain", "wind"])
    assert (tools.cases[0].tools, tools.cases[0].expected.name, tools.cases[0].max_new_tokens) == ([TOOL], "rain", 64)


def test_a_wrong_value_of_theirs_is_a_line() -> None:
    for kind, wrong in (
        ("training_drift", {"assert_convergence_ratio_lte": "half"}),
        ("tool_use_fidelity", {"cases": [{"prompt": "p", "tool_spec": [], "gold_tool_name": "x"}]}),
        ("multi_turn_coherence_decay", {"max_turns": 1}),
    ):
        with pytest.raises(UserError, match=kind):
            build_probes([{"name": "x", "kind": kind, **wrong}], Sources())


def test_a_spec_that_names_our_backend_and_an_adapter_for_its_base_runs(tmp_path: Path) -> None:
    side = {
        "kind": "custom",
        "entry_point": "sway_gguf.engine.sway_entry:SwayBackend",
        "base": str(DEMO / "base.f32.gguf"),
        "adapter": str(DEMO / "healthy.lora.gguf"),
    }
    spec = load_spec(written(tmp_path, models={"base": side, "ft": side}))
    assert (spec.models.base.kind, spec.models.base.adapter) == ("gguf", None)
    assert "models.base.adapter has no effect here: the base is tested without one" in spec.remarks
    assert not any("ft.adapter" in remark for remark in spec.remarks)


def test_what_has_no_effect_in_a_null_adapter_entry_is_told(tmp_path: Path) -> None:
    idle = {"weight": 0.0, "seed_base": 1, "calibrate_kinds": [], "cache": False}
    null = {"name": "n", "kind": "null_adapter", "runs": 6, "init_scale": 0.05}
    kl = {"name": "kl", "kind": "delta_kl", "prompts": ["a", "b"]}
    told = prepare(load_spec(written(tmp_path, suite=[{**null, **idle}, kl]))).spec.remarks
    for field in (*idle, "init_scale"):
        assert any(remark.startswith(f"null_adapter.{field} has no effect here") for remark in told)
    sized = prepare(load_spec(written(tmp_path, suite=[{**null, "design": "gaussian"}, kl]))).spec.remarks
    assert not any("init_scale" in remark for remark in sized)


@pytest.mark.parametrize("wrong", [{"rank_multipliers": [0.0]}, {"rank_multipliers": [".inf"]}, {"energy": "half"}])
def test_a_wrong_null_is_a_line(tmp_path: Path, wrong: dict[str, Any]) -> None:
    null = {"name": "n", "kind": "null_adapter", **wrong}
    spec = written(tmp_path, suite=[null, {"kind": "applied"}])
    with pytest.raises(UserError, match=rf"^{re.escape(str(spec))}: suite entry 1 \(null_adapter\): "):
        prepare(load_spec(spec))


def test_the_energy_of_the_original_reaches_the_nulls_and_the_result(tmp_path: Path) -> None:
    null = {"name": "n", "kind": "null_adapter", "runs": 2, "rank_multipliers": [1.0, 4.0], "energy": "original"}
    kl = {"name": "kl", "kind": "delta_kl", "prompts": ["a", "b"]}
    ready = prepare(load_spec(written(tmp_path, suite=[null, kl])))
    nulls = [visit.view.design for visit in plan(ready).every if isinstance(visit.view, NullView)]
    assert sorted(design.energy_scale for design in nulls) == [1.0, 1.0, 16.0, 16.0]
    with LlamaBackend(ready.base.path, ready.adapter.path) as backend:
        result = run(ready, backend)
    assert json.loads(to_json(result))["nulls"]["energy"] == "original"


def test_a_null_of_the_originals_energy_can_be_written(tmp_path: Path) -> None:
    files = [str(DEMO / "base.f32.gguf"), str(DEMO / "healthy.lora.gguf")]
    sizes = {}
    for energy in ("rank", "original"):
        out = tmp_path / f"{energy}.gguf"
        words = ["null", *files, "--rank-scale", "0.25", "--energy", energy, "-o", str(out)]
        assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
        drawn = read_lora(out)
        sizes[energy] = sum(drawn.update_norm(pair) ** 2 for pair in drawn.pairs)
    assert sizes["rank"] / sizes["original"] == pytest.approx(4.0, rel=1e-3)


def test_the_page_tells_the_energies_that_are_drawn() -> None:
    page = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
    for scale in (0.25, 0.5, 1.0, 2.0, 4.0):
        ours, theirs = (NullDesign(rank_scale=scale, energy=energy).energy_scale for energy in ENERGIES)
        assert f"| {scale:g} | {ours:g} | {theirs:g} |" in page


def test_our_preference_flip_leaves_a_triple_with_an_empty_reply_out_and_tells(demo_backend: LlamaBackend) -> None:
    good = [{"prompt": f"The keeper {n}", "chosen": " sings", "rejected": " sleeps"} for n in range(5)]
    empty = [{"prompt": "The keeper", "chosen": "", "rejected": " sleeps"}]
    readings = []
    for triples in (good, [*empty, *good]):
        probes = build_probes([{"name": "p", "kind": "preference_flip", "triples": triples}], Sources())
        readings += measure(demo_backend, probes, schedule(probes)).readings
    assert readings[0].tuned.value == readings[1].tuned.value
    assert not any("empty" in note for note in readings[0].tuned.notes)
    assert "1 triple with an empty reply left out" in readings[1].tuned.notes
    alone = build_probes([{"name": "p", "kind": "preference_flip", "triples": empty}], Sources())[0]
    assert "empty reply" in alone.missing()
