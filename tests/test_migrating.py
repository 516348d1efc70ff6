"""Specs of the original run as they are: every field of every kind that it has is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dlm_sway.probes.base import registry
from pydantic import BaseModel

from sway_gguf.core.errors import UserError
from sway_gguf.core.views import NullView
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.base import Sources
from sway_gguf.probes.registry import KINDS, build_probes
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.prepare import prepare
from sway_gguf.suite.run import plan

SAMPLES: dict[str, Any] = {
    "prompts": ["The keeper is called"],
    "triples": [{"prompt": "p", "chosen": " a", "rejected": " b"}],
    "cases": [{"prompt": "p", "gold": " g", "paraphrases": ["q"]}],
    "items": [["p", " g"]],
    "items_limit": 3,
    "top_k": 256,
    "doc_reference": "some text",
}
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
    nulls = [visit.view.design for visit in plans[0].visits if isinstance(visit.view, NullView)]
    assert [design.rank_scale for design in nulls] == [1.0] * 6 + [0.5] * 6 + [2.0] * 6
    assert {(design.design, design.init_scale) for design in nulls} == {("rotation", 0.05)}


def test_two_null_adapter_entries_are_one_too_many(tmp_path: Path) -> None:
    null = {"name": "n", "kind": "null_adapter"}
    with pytest.raises(UserError, match="2 entries of kind null_adapter"):
        prepare(load_spec(written(tmp_path, suite=[null, null])))


@pytest.mark.parametrize("key", ["folder", "remarks", "sweet"])
def test_what_is_no_field_of_a_spec_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"unknown key '{key}'"):
        load_spec(written(tmp_path, **{key: "x"}))
