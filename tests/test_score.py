"""The composite score is the original's: held against its own function on the same inputs."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sway_gguf.core.result import Verdict
from sway_gguf.core.result_json import from_json
from sway_gguf.verdict.score import Part, band, composite, score_of, sigmoid_of

_KINDS = {
    "delta_kl": "adherence",
    "section_internalization": "attribution",
    "external_perplexity": "calibration",
    "adapter_ablation": "ablation",
    "null_adapter": "baseline",
}


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_the_originals_own_function(seed: int) -> None:
    original = pytest.importorskip("dlm_sway.suite.score")
    records = pytest.importorskip("dlm_sway.core.result")
    pytest.importorskip("dlm_sway.suite.runner")
    rng = random.Random(seed)
    drawn = [
        (rng.choice(list(_KINDS)), rng.random(), rng.choice([0.0, 0.5, 1.0, 3.0])) for _ in range(rng.randint(1, 9))
    ]
    probes = tuple(
        records.ProbeResult(str(n), kind, records.Verdict.PASS, score, evidence={"weight": weight})
        for n, (kind, score, weight) in enumerate(drawn)
    )
    now = datetime.now(UTC)
    theirs = original.compute(records.SuiteResult("", now, now, "", "", "", probes))
    ours = composite(Part(_KINDS[kind], score, weight) for kind, score, weight in drawn)
    assert ours.overall == pytest.approx(theirs.overall, abs=1e-12)
    assert ours.components == pytest.approx(theirs.components, abs=1e-12)
    assert (ours.band, ours.weights) == (theirs.band, theirs.weights)


def test_bands_and_sigmoid_are_the_originals() -> None:
    records = pytest.importorskip("dlm_sway.core.result")
    z_scores = pytest.importorskip("dlm_sway.probes._zscore")
    for value in (0.0, 0.29999, 0.3, 0.6, 0.85, 0.85001, 1.0):
        assert band(value) == records.SwayScore.band_for(value)
    for z in (-200.0, -3.0, 0.0, 1.5, 95.4):
        assert sigmoid_of(z) == z_scores.score_from_z(z)


def test_known_adapters_come_in_the_order_that_their_verdicts_have() -> None:
    folder = Path(__file__).parent / "results"
    found = {}
    for name in ("healthy", "noise"):
        path = folder / f"v1-{name}.json"
        score = score_of(from_json(path.read_text(encoding="utf-8"), str(path)))
        assert score is not None
        assert 0 <= score.overall <= 1
        found[name] = score.overall
    assert found["healthy"] > found["noise"]


def test_a_direction_that_is_open_counts_as_one_that_is_missed() -> None:
    """Where some null does as well; without an interval or five nulls, or beyond all of them, it gives nothing."""
    path = Path(__file__).parent / "results" / "v1-noise.json"
    result = from_json(path.read_text(encoding="utf-8"), str(path))
    missed = next(probe for probe in result.probes if probe.kind == "section_internalization")
    assert missed.verdict == Verdict.FAIL

    def overall(**changed: object) -> float:
        opened = replace(missed, **changed)  # type: ignore[arg-type]
        score = score_of(replace(result, probes=tuple(opened if each is missed else each for each in result.probes)))
        assert score is not None
        return score.overall

    null = missed.null
    assert null is not None
    assert overall(verdict=Verdict.INCONCLUSIVE) == overall()
    assert overall(verdict=Verdict.INCONCLUSIVE, null=replace(null, z=-9.0, tail_p=0.99)) < overall()
    without = overall(verdict=Verdict.SKIP)
    assert overall(verdict=Verdict.INCONCLUSIVE, null=replace(null, rank_p=1 / (len(null.values) + 1))) == without
    assert overall(verdict=Verdict.INCONCLUSIVE, interval=None) == without != overall()
    assert overall(verdict=Verdict.INCONCLUSIVE, null=replace(null, values=null.values[:4])) == without
