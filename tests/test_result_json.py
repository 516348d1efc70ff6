"""result.json: what is written is read back by every later release, and texts stand in it once or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.core.measurement import Item, digest_of
from sway_gguf.core.result import SCHEMA_VERSION
from sway_gguf.core.result_json import from_json, record_of, schema, to_json
from sway_gguf.core.withheld import without_texts

RESULTS = Path(__file__).parent / "results"
FIRST = sorted(RESULTS.glob("v1-*.json"))


def test_an_item_is_known_by_what_was_asked_whatever_its_label() -> None:
    asked = ("a prompt", " and its reply")
    assert Item("one", 1.0, asked=asked).key == Item("other", 2.0, asked=asked).key == digest_of(asked)
    assert Item("one", 1.0, asked=("a prompt and", " its reply")).key != digest_of(asked)
    assert Item("step 3", 1.0).key == digest_of(["step 3"])


def test_results_of_the_first_schema_are_there() -> None:
    assert {path.stem for path in FIRST} == {"v1-healthy", "v1-noise", "v1-no-op", "v1-damaging", "v1-init"}


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.stem)
def test_a_result_of_the_first_schema_is_read_for_ever(path: Path) -> None:
    raw = json.loads(path.read_text(encoding="utf-8"))
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    assert result.schema_version == SCHEMA_VERSION
    assert (result.diagnosis, result.headline) == (raw["diagnosis"], raw["headline"])
    assert [(probe.name, probe.verdict, probe.value) for probe in result.probes] == [
        (probe["name"], probe["verdict"], probe["value"]) for probe in raw["probes"]
    ]
    base = next(record for record in result.files if record.role == "base")
    assert base.base
    assert base.base.architecture == raw["files"][0]["about"]["architecture"]
    jsonschema.validate(record_of(result), schema())
    assert from_json(to_json(result), "again") == result


def test_curve_and_table_of_the_first_schema_come_out_of_its_details() -> None:
    result = from_json((RESULTS / "v1-init.json").read_text(encoding="utf-8"), "v1")
    curve = next(probe.curve for probe in result.probes if probe.kind == "adapter_ablation")
    table = next(probe.table for probe in result.probes if probe.kind == "top1_flips")
    assert curve
    assert len(curve.scales) == len(curve.values) == len(curve.lifts)
    assert table
    assert len(table.columns) == len(table.rows[0].cells) == 8


@pytest.mark.parametrize("version", [0, "1", SCHEMA_VERSION + 1])
def test_another_version_is_told(version: object) -> None:
    with pytest.raises(UserError, match=rf"^r.json: schema version {version}, this release reads 1 to"):
        from_json(json.dumps({"schema_version": version}), "r.json")


@pytest.mark.parametrize("broken", [{}, {"files": 3}, {"files": [{}], "probes": []}, {"files": [], "probes": [1]}])
def test_what_only_says_it_is_a_result_is_told(broken: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"^r\.json: "):
        from_json(json.dumps({"schema_version": 1, **broken}), "r.json")


def test_texts_stand_once_and_can_be_left_out() -> None:
    result = from_json((RESULTS / "v1-healthy.json").read_text(encoding="utf-8"), "v1")
    item = Item("label", 1.0, asked=("the secret words",))
    probe = replace(result.probes[0], items=(item,), controls=(item,))
    told = replace(result, probes=(probe,), texts={item.key: item.asked})
    assert to_json(told).count("the secret words") == 1
    again = from_json(to_json(told), "again")
    assert again.asked_of(again.probes[0].items[0]) == ("the secret words",)
    bare = to_json(without_texts(told))
    assert "the secret words" not in bare
    assert from_json(bare, "bare").probes[0].items[0].key == item.key
