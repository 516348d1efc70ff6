"""Collateral values in units that a user knows: what quantizing costs, items that turned, what could have been seen."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.kin import vectors_digest
from sway_gguf.core.errors import UserError
from sway_gguf.core.measured_costs import read_costs
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.result import SuiteResult, Verdict
from sway_gguf.core.result_json import from_json, read_result, to_json
from sway_gguf.core.rules import AboveTolerance
from sway_gguf.core.toll import Costs, Toll, Turned
from sway_gguf.material.packaged import DEMO
from sway_gguf.report.formats import FORMATS
from sway_gguf.stats.detectable import detectable, more_items
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.quantization import TABLE, against, costs_of
from sway_gguf.verdict.reading import Reading
from tests.artifact_files import SHAPES, base_file, finish
from tests.command_line import complaint, spoken

COSTS = Costs({"Q8_0": 0.001, "Q4_K_M": 0.02, "Q4_0": 0.05})
NINE = [0.3] * 4 + [-0.3] * 4 + [0.0]
"""Of mean 0; the sum of squares over 8 is 0.3², so that s is 0.3."""


def judged(
    values: Sequence[float], axis: str = "collateral", turned: Turned | None = None
) -> tuple[Verdict, Toll | None]:
    items = tuple(Item(str(n), value) for n, value in enumerate(values))
    tuned = Measurement(math.fsum(values) / len(values), items, of_text=True, turned=turned)
    reading = Reading("p", "p", axis, "nats/token", AboveTolerance(-0.15), tuned, (), 0.0)
    (found,) = judge([reading], alpha=0.05, costs=COSTS)
    return found.verdict, found.toll


def test_the_detectable_loss_by_hand() -> None:
    # on 8 degrees of freedom t(0.975) is 2.3060 and t(0.8) is 0.8889; s/√n is 0.1
    assert detectable(NINE) == pytest.approx(0.31949, abs=1e-5)
    # 33 items: (2.0369 + 0.8530)·0.3/√33 = 0.1509; 34 items: (2.0345 + 0.8527)·0.3/√34 = 0.1485
    assert more_items(NINE, 0.15) == 34 - 9
    assert more_items(NINE, 0.32) == 0
    assert more_items(NINE, 0.001) is None
    assert detectable([1.0, 2.0]) is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.05, -0.01, "no loss in the mean"),
        (-0.05, 0.0, "no loss in the mean"),
        (-0.01, 0.0005, "no more than what Q8_0 costs bases of this size"),
        (-0.01, 0.02, "no more than what Q4_K_M costs bases of this size"),
        (0.0005, 0.1, "no more than twice what Q4_0 costs bases of this size"),
        (0.004, 0.015, "between what Q8_0 and Q4_K_M cost bases of this size"),
        (0.045, 0.055, "what Q4_0 costs bases of this size"),
        (0.02, 0.09, "between what Q4_K_M costs and twice what Q4_0 costs bases of this size"),
        (0.08, 0.2, "1.5 to 4 times what Q4_0 costs bases of this size"),
        (0.3, 0.9, "6 to more than 10 times what Q4_0 costs bases of this size"),
        (1.0, 2.0, "more than 10 times what Q4_0 costs bases of this size"),
    ],
)
def test_a_loss_stands_among_what_quantizing_costs(low: float, high: float, words: str) -> None:
    assert against(low, high, COSTS) == words


def test_costs_that_were_measured_are_those_of_this_base() -> None:
    assert against(0.3, 0.3, replace(COSTS, measured=True)) == "6 times what Q4_0 costs this base"


def test_the_table_holds_logarithms_of_ratios_and_its_middle_is_taken_by_size() -> None:
    llama_3 = next(model for model in TABLE if model.model == "Llama 3 8B")
    # 6.407115 / 6.233160 = 1.027908
    assert llama_3.by_type["Q4_K_M"] == pytest.approx(0.027526, abs=1e-6)
    large = costs_of(7_000_000_000)
    assert large is not None
    # of twelve the sixth and the seventh, OpenLLaMA 7B and Qwen2 57B: ln(7.2116/6.9966) and ln(7.02/6.81)
    assert large.by_type["Q4_0"] == pytest.approx((0.030267 + 0.030371) / 2, abs=1e-6)
    assert large == costs_of(70_000_000_000)
    # smaller bases are toys, of which nothing is published and nothing follows
    assert costs_of(2_200_000) is costs_of(0) is None


@pytest.mark.parametrize("parameters", [135_000_000, 1_000_000_000, 70_000_000_000])
def test_fewer_bits_cost_more_at_every_size(parameters: int) -> None:
    costs = costs_of(parameters)
    assert costs is not None
    assert list(costs.by_type) == sorted(costs.by_type, key=lambda kind: costs.by_type[kind])


def test_what_passes_is_told_as_perplexity_and_by_quantization() -> None:
    verdict, toll = judged([-0.03] * 12, turned=Turned(0, 12, "none of 12 pieces lost more than the tolerance"))
    assert verdict == Verdict.PASS
    assert toll is not None
    assert toll.perplexity == pytest.approx(math.exp(0.03))
    assert toll.text == (
        "perplexity +3.0% (+3.0% to +3.0%): between what Q4_K_M and Q4_0 cost bases of this size; "
        "none of 12 pieces lost more than the tolerance"
    )


def test_an_open_question_says_what_these_items_would_have_shown() -> None:
    verdict, toll = judged([value - 0.15 for value in NINE])
    assert verdict == Verdict.WARN
    assert toll is not None
    assert toll.detectable == pytest.approx(0.31949, abs=1e-5)
    assert toll.more_items == 25
    assert toll.text.endswith(
        "; these 9 items would have shown a loss of 0.32 nats/token or more, 25 more would show 0.15"
    )


def test_too_few_items_say_so_without_an_interval() -> None:
    verdict, toll = judged([-0.3, 0.0, 0.3])
    assert verdict == Verdict.INCONCLUSIVE
    assert toll is not None
    # on 2 degrees of freedom t(0.975) is 4.3027 and t(0.8) is 1.0607; s is 0.3, √3 is 1.7321
    assert toll.detectable == pytest.approx(5.3634 * 0.3 / 1.73205, abs=1e-4)
    # e⁰ is the base's own perplexity; 31 more make the 34 of above
    assert toll.text == (
        "perplexity ±0.0%; these 3 items would have shown a loss of 0.93 nats/token or more, 31 more would show 0.15"
    )


def test_what_is_decided_says_nothing_of_items() -> None:
    verdict, toll = judged([-1.0 + 0.01 * n for n in range(9)])
    assert verdict == Verdict.FAIL
    assert toll is not None
    # e^0.96 = 2.61
    assert toll.text.startswith("perplexity ×2.6 (")
    assert toll.text.endswith("): more than 10 times what Q4_0 costs bases of this size")


def test_damage_alone_is_told_so() -> None:
    assert judged(NINE, axis="signal")[1] is None


def with_toll() -> SuiteResult:
    result = read_result(Path(__file__).parent / "results" / "v1-healthy.json")
    toll = Toll("perplexity grew, as told", 1.03, COSTS, Turned(1, 8, "1 of 8"), 0.2, 4)
    return replace(result, probes=(*result.probes[:-1], replace(result.probes[-1], toll=toll)))


@pytest.mark.parametrize("name", ["terminal", "html", "md", "junit", "json", "card"])
def test_every_report_tells_it(name: str) -> None:
    assert "perplexity grew, as told" in FORMATS[name].render(with_toll())


def test_it_stands_in_the_json_and_is_read_back() -> None:
    result = with_toll()
    assert from_json(to_json(result), "here").probes == result.probes
    assert json.loads(to_json(result))["probes"][-1]["toll"]["turned"] == {"count": 1, "of": 8, "words": "1 of 8"}


def test_check_compares_with_what_was_measured_of_the_base_and_refuses_that_of_another(tmp_path: Path) -> None:
    path, out = tmp_path / "quants.json", tmp_path / "r.json"
    own = read_base(DEMO / "base.f32.gguf").parameters
    given = ["check", str(DEMO / "base.f32.gguf"), str(DEMO / "zero.lora.gguf"), "--quants", str(path), "--nulls", "5"]
    path.write_text(json.dumps({**MATRIX, "costs": {"Q4_0": 0.05}, "parameters": own + 1}), "utf-8")
    assert f"measured on a base of {own + 1:,} weights" in complaint(*given, "--dry-run")
    path.write_text(json.dumps({**MATRIX, "costs": {"Q4_0": 0.05}, "parameters": own}), "utf-8")
    assert spoken(*given, "--general", str(DEMO / "general.txt"), "--json", str(out)).returncode == 0
    result = read_result(out)
    (probe,) = (probe for probe in result.probes if probe.kind == "external_perplexity")
    assert probe.toll is not None
    assert any("which does not tell its base" in remark for remark in result.remarks)
    assert probe.toll.costs == Costs({"Q4_0": 0.05}, measured=True)


MATRIX = {"rows": [], "wanted": 0.9, "tolerance": -0.15, "recommended": "", "pareto": [], "summary": ""}
MEASURED = {**MATRIX, "costs": {"Q4_0": 0.05, "Q8_0": -0.0002}, "parameters": 5, "vectors": "ab"}


def test_costs_come_from_what_quants_wrote(tmp_path: Path) -> None:
    path = tmp_path / "quants.json"
    path.write_text(json.dumps(MEASURED), "utf-8")
    assert read_costs(path, 5, "ab") == (Costs({"Q8_0": -0.0002, "Q4_0": 0.05}, measured=True), "")
    with pytest.raises(UserError, match="base of 5 weights, and this one has 6"):
        read_costs(path, 6, "ab")
    with pytest.raises(
        UserError, match="another base, of as many weights: its norms or biases are other ones, or another converter's"
    ):
        read_costs(path, 5, "cd")


@pytest.mark.parametrize(("theirs", "ours"), [("", "ab"), ("ab", ""), ("", "")])
def test_costs_of_a_base_that_is_known_by_its_size_alone_are_told_as_such(
    tmp_path: Path, theirs: str, ours: str
) -> None:
    """An earlier release kept no digest, and a base without vectors has none."""
    path = tmp_path / "quants.json"
    path.write_text(json.dumps({**MEASURED, "vectors": theirs}), "utf-8")
    found = read_costs(path, 5, ours)
    assert found.costs.measured
    assert found.remark.endswith("quants.json, which does not tell its base: one of as many weights")


def test_a_base_is_known_in_any_type_of_weights_and_no_other_is_taken_for_it(tmp_path: Path) -> None:
    from sway_gguf.engine.quantizing import quantize

    base = read_base(DEMO / "base.f32.gguf")
    quantize(base.path, tmp_path / "q4.gguf", "Q4_0", threads=1)
    smaller = read_base(tmp_path / "q4.gguf")
    assert smaller.types["Q4_0"] > 0
    assert vectors_digest(smaller) == vectors_digest(base)
    shifted = tmp_path / "other.gguf"
    data = bytearray(base.path.read_bytes())
    norm = GGUFFile(base.path).read("output_norm.weight").tobytes()
    at = data.index(norm)
    data[at : at + len(norm)] = (np.frombuffer(norm, np.float32) * 1.01).tobytes()
    shifted.write_bytes(data)
    assert read_base(shifted).parameters == base.parameters
    assert vectors_digest(read_base(shifted)) != vectors_digest(base)


def test_a_base_is_known_with_its_norms_in_any_type_of_floats(tmp_path: Path) -> None:
    def digest(numbers: np.ndarray, kind: str) -> str:
        writer = gguf.GGUFWriter(tmp_path / "b.gguf", "llama")
        stored = gguf.GGMLQuantizationType[kind]
        writer.add_tensor("output_norm.weight", gguf.quants.quantize(numbers, stored), raw_dtype=stored)
        return vectors_digest(read_base(finish(writer, tmp_path / "b.gguf")))

    single = np.random.default_rng(0).normal(1.0, 0.5, 4096).astype(np.float32)
    single[0] = 1 + 2**-8 + 2**-13  # F16 rounds it to the middle between two of BF16, and BF16 alone upwards.
    assert digest(single, "F32") == digest(single, "F16")
    trained_in = (single.view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert len({digest(trained_in, kind) for kind in ("F32", "F16", "BF16")}) == 1
    trained_on = trained_in.copy()
    trained_on[7] *= 1 + 2**-7
    assert digest(trained_on, "F32") != digest(trained_in, "F32")


def test_a_base_without_vectors_has_no_digest(tmp_path: Path) -> None:
    shapes = {"token_embd.weight": SHAPES["token_embd.weight"], "rope_freqs.weight": (8,)}
    assert vectors_digest(read_base(base_file(tmp_path / "bare.gguf", shapes))) == ""


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({}, "no survival matrix"),
        (MATRIX, "does not say what quantizing costs"),
        ({**MATRIX, "costs": {"Q8_0": -0.001}}, "gives no measure"),
    ],
)
def test_what_holds_no_costs_is_refused(tmp_path: Path, record: dict[str, object], why: str) -> None:
    path = tmp_path / "quants.json"
    path.write_text(json.dumps(record), "utf-8")
    with pytest.raises(UserError, match=why):
        read_costs(path, 5, "ab")
