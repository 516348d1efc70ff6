"""The survival matrix: what is kept, what is lost in a 4-bit merge, and going on after an interruption."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gguf
import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.core.result import Verdict
from sway_gguf.core.survival import SurvivalMatrix
from sway_gguf.core.toll import Costs
from sway_gguf.deploy import deployment, workshop
from sway_gguf.deploy.merge import merge
from sway_gguf.deploy.quants import _costs, _remarks, _Row, survival
from sway_gguf.deploy.survived import verdict_on
from sway_gguf.deploy.workshop import working_in
from sway_gguf.engine.store import open_store
from sway_gguf.material.packaged import DEMO
from sway_gguf.report.numbers import size
from sway_gguf.report.plot import survival_svg
from sway_gguf.report.survival import print_matrix
from sway_gguf.stats.interval import Interval
from sway_gguf.stats.ratio import ratio_interval
from sway_gguf.suite.prepare import default_spec, prepare
from tests.artifact_files import finish
from tests.command_line import complaint, spoken
from tests.short import DOCUMENT
from tests.test_cli import BASE

TEXT = {"data": DOCUMENT, "general": DEMO / "general.txt"}


def matrix(base: Path, adapter: Path, work: Path, *types: str, said: list[str] | None = None) -> SurvivalMatrix:
    prepared = prepare(default_spec(base, adapter, **TEXT))
    say = said.append if said is not None else lambda text: None
    with open_store(work / "store") as store:
        return survival(prepared, work, store, types=types, wanted=0.9, tolerance=-0.15, say=say)


def test_a_ratio_of_means_and_its_interval_by_hand() -> None:
    below = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert ratio_interval([0.5 * y for y in below], below) == (pytest.approx(0.5), pytest.approx(0.5))
    rng = np.random.default_rng(0)
    scattered = ratio_interval([0.5 * y + e for y, e in zip(below, rng.normal(0, 0.3, 6), strict=True)], below)
    assert scattered is not None
    assert scattered.low < 0.5 < scattered.high
    # Fieller's ends, whose rest is left with its skewness: within it the two differ by little.
    x, y = np.array([1.0, 2.2, 2.9, 4.1, 5.0, 5.8]), np.array(below)
    t, n = stats.t.ppf(0.975, 5), 6
    a = y.mean() ** 2 - t**2 * y.var(ddof=1) / n
    b = x.mean() * y.mean() - t**2 * np.cov(x, y)[0, 1] / n
    c = x.mean() ** 2 - t**2 * x.var(ddof=1) / n
    plain = [(b + sign * (b**2 - a * c) ** 0.5) / a for sign in (-1, 1)]
    assert ratio_interval(x.tolist(), below) == pytest.approx(plain, abs=0.3 * (plain[1] - plain[0]))
    assert ratio_interval([1.0] * 4, [1.0] * 4) is None
    assert ratio_interval(below, [-1.0, 1.0, -1.0, 1.0, -1.0, 1.5]) is None
    with pytest.raises(ValueError, match="paired"):
        ratio_interval([1.0], below)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[SurvivalMatrix, Path]:
    work = tmp_path_factory.mktemp("work")
    found = matrix(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", work, "F32", "Q8_0", "Q4_K_M")
    return found, work


def test_a_robust_adapter_survives_everywhere(healthy: tuple[SurvivalMatrix, Path]) -> None:
    found, _ = healthy
    assert [row.name for row in found.rows] == [
        f"{t} {m}" for t in ("F32", "Q8_0", "Q4_K_M") for m in ("runtime", "merged")
    ]
    assert {row.verdict for row in found.rows} == {Verdict.PASS}
    assert all(0.95 < row.retained < 1.05 and row.cosine > 0.99 for row in found.rows)
    assert found.recommended == "Q4_K_M merged"
    reference = found.rows[0]
    assert (reference.retained, reference.floor, reference.top1_agreement) == (1.0, 0.0, 1.0)
    floors = [row.floor for row in found.rows]
    assert floors[0] == floors[1] < floors[2] == floors[3] < floors[4] == floors[5]


def test_what_quantizing_costs_the_base_is_kept_for_other_runs(
    healthy: tuple[SurvivalMatrix, Path], tmp_path: Path
) -> None:
    found, _ = healthy
    # of this small base rounding takes next to nothing
    assert set(found.costs) == {"Q8_0", "Q4_K_M"}
    assert all(abs(cost) < 0.01 for cost in found.costs.values())
    assert "Without the adapter, general text loses" in found.remarks[-1]
    lost = {"Q8_0": 0.001, "Q4_K_M": 0.02}
    (tmp_path / "quants.json").write_text(json.dumps(asdict(replace(found, costs=lost))), "utf-8")
    prepared = prepare(default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", **TEXT))
    told = prepared.with_costs(tmp_path / "quants.json")
    assert told.costs == Costs(lost, measured=True)
    assert told.spec.remarks == prepared.spec.remarks
    (tmp_path / "other.json").write_text(json.dumps(asdict(replace(found, costs=lost, vectors="another"))), "utf-8")
    with pytest.raises(UserError, match="another base"):
        prepared.with_costs(tmp_path / "other.json")


def row(kind: str, general: float) -> _Row:
    """A row of which nothing but the base's general text is looked at."""
    some = np.full(6, general, np.float32)
    side = deployment.Side(some, some, some)
    return _Row(kind, "runtime", 0, deployment.Measured(side, None, 0.0, None, 0.0, 0.0), side, side)


@pytest.mark.parametrize("reference", ["F32", "F16", "BF16"])
def test_a_cost_is_what_is_lost_from_the_base_in_floats(reference: str) -> None:
    found = _costs([row(reference, -2.0), row("Q4_0", -2.5), row("Q8_0", -2.25)])
    assert list(found.items()) == [("Q8_0", 0.25), ("Q4_0", 0.5)]


@pytest.mark.parametrize("reference", ["Q5_K_M", "mine.gguf"])
def test_beside_another_reference_no_cost_is_told(reference: str) -> None:
    assert _costs([row(reference, -2.25), row("Q4_0", -2.5), row("Q8_0", -2.0)]) == {}


def test_sizes_and_costs_are_of_the_file_that_ships(healthy: tuple[SurvivalMatrix, Path]) -> None:
    found, work = healthy
    runtime, merged = found.rows[4], found.rows[5]
    assert runtime.size - merged.size == pytest.approx((DEMO / "healthy.lora.gguf").stat().st_size, rel=0.02)
    assert merged.size < found.rows[1].size
    assert all(min(row.load_seconds, row.prompt_speed, row.generation_speed) > 0 for row in found.rows)
    assert all(row.peak_memory is None or row.peak_memory > row.size for row in found.rows)
    assert not list(work.glob("*.gguf"))


def test_the_plot_is_an_svg_with_a_mark_for_each_deployment(healthy: tuple[SurvivalMatrix, Path]) -> None:
    found, _ = healthy
    root = ElementTree.fromstring(survival_svg(found))
    titles = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [title.split(":")[0] for title in titles] == [row.name for row in found.rows]


def test_what_was_measured_is_not_measured_again(
    healthy: tuple[SurvivalMatrix, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, work = healthy

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(workshop, "measured", never)
    said: list[str] = []
    again = matrix(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", work, "F32", "Q8_0", "Q4_K_M", said=said)
    assert again == found
    with pytest.raises(AssertionError, match="measured again"):
        matrix(DEMO / "base.f32.gguf", DEMO / "overtrained.lora.gguf", work, "F32")


def test_a_drift_below_the_quantization_step_is_wiped_out_by_a_4_bit_merge_and_caught(tmp_path: Path) -> None:
    """The base's weights stand on a 4-bit grid already, as those of a model that was published in 4 bits do."""
    merge(DEMO / "base.f32.gguf", None, tmp_path / "grid.gguf", kind="Q4_0")
    merge(tmp_path / "grid.gguf", None, tmp_path / "base.gguf", kind="F32")
    real = read_lora(DEMO / "healthy.lora.gguf")
    write_lora(replace(real, alpha=real.alpha * 0.2), tmp_path / "small.gguf")
    found = matrix(tmp_path / "base.gguf", tmp_path / "small.gguf", tmp_path / "work", "F32", "Q4_0")
    verdicts = {row.name: row.verdict for row in found.rows}
    assert verdicts["Q4_0 runtime"] == Verdict.PASS
    assert verdicts["Q4_0 merged"] == Verdict.FAIL
    assert found.rows[3].retained < 0.5
    assert "Most is lost in Q4_0 merged" in found.summary
    assert found.recommended == "Q4_0 runtime"


def test_files_that_exist_stand_for_themselves_and_split_ones_are_measured_whole(
    healthy: tuple[SurvivalMatrix, Path], tmp_path: Path, shards: list[Path]
) -> None:
    mine, adapter = tmp_path / "mine.Q8_0.gguf", DEMO / "healthy.lora.gguf"
    merge(DEMO / "base.f32.gguf", None, mine, kind="Q8_0")
    found = matrix(shards[0], adapter, tmp_path / "w", "F32", str(shards[0]), str(mine))
    assert [row.name for row in found.rows[2:]] == [f"{shards[0].stem} runtime", "mine.Q8_0 runtime"]
    whole, _ = healthy
    assert [row.effect for row in found.rows[:2]] == [row.effect for row in whole.rows[:2]]
    assert found.rows[2].effect == pytest.approx(whole.rows[0].effect)
    assert found.rows[2].size == sum(path.stat().st_size for path in [*shards, adapter])
    assert found.rows[3].retained == pytest.approx(1.0, abs=0.02)
    assert mine.exists()
    with pytest.raises(UserError, match="swap the two files"):
        matrix(DEMO / "base.f32.gguf", adapter, tmp_path, str(DEMO / "zero.lora.gguf"))


def test_a_quantized_base_is_the_reference_as_it_stands(tmp_path: Path) -> None:
    base = tmp_path / "sha256-0123"
    merge(DEMO / "base.f32.gguf", None, base, kind="Q4_0")
    real = read_lora(DEMO / "healthy.lora.gguf")
    write_lora(replace(real, alpha=real.alpha * 0.2), tmp_path / "small.gguf")
    said: list[str] = []
    found = matrix(base, tmp_path / "small.gguf", tmp_path / "w", "F16", "Q4_0", str(base), said=said)
    assert f"{base} is quantized itself (Q4_0): as it stands it is the reference" in said
    assert [row.name for row in found.rows] == [
        "base runtime",
        *("F16 runtime", "F16 merged", "Q4_0 runtime", "Q4_0 merged"),
    ]
    assert [row.verdict for row in found.rows] == [Verdict.PASS] * 4 + [Verdict.FAIL]
    assert found.rows[0].size == base.stat().st_size + (tmp_path / "small.gguf").stat().st_size
    assert found.rows[2].retained == pytest.approx(1.0, abs=0.05)
    assert found.rows[3].floor < 1e-6
    own, made = found.remarks
    assert "itself quantized (Q4_0): what quantizing the original lost is not seen here" in own
    assert "F16 or BF16 GGUF of" in made
    drawn = matrix_text(found)
    assert own in drawn
    assert made in drawn
    narrow = matrix_text(found, width=60)
    assert max(map(len, narrow.splitlines())) <= 60
    # A table would cut numbers off there.
    told = f"Q4_0 merged: size {size(found.rows[4].size)}, retained (95%) {found.rows[4].retained:.0%} ("
    assert told in " ".join(narrow.split())


def matrix_text(found: SurvivalMatrix, width: int = 400) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    print_matrix(found, console)
    return console.export_text()


@pytest.mark.parametrize(("best", "told"), [(("F16 merged",), False), (("F16 merged", "Q4_0 merged"), True)])
def test_what_each_size_keeps_at_best_is_told_where_there_is_a_choice(best: tuple[str, ...], told: bool) -> None:
    drawn = matrix_text(SurvivalMatrix((), 0.9, -0.15, "F16 merged", best, "F16 merged is the smallest."))
    assert (f"Each keeps more than any smaller one: {', '.join(best)}." in drawn) is told


def test_a_file_that_is_given_first_is_the_reference_of_a_quantized_base_too(tmp_path: Path) -> None:
    for kind in ("Q4_0", "F16"):
        merge(DEMO / "base.f32.gguf", None, tmp_path / f"{kind}.gguf", kind=kind)
    found = matrix(
        tmp_path / "Q4_0.gguf", DEMO / "healthy.lora.gguf", tmp_path / "w", str(tmp_path / "F16.gguf"), "Q8_0"
    )
    assert [row.name for row in found.rows] == ["F16 runtime", "Q8_0 runtime", "Q8_0 merged"]
    assert len(found.remarks) == 1
    assert found.rows[1].floor > 0


def test_a_base_that_no_file_can_be_made_from_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    base = tmp_path / "b.gguf"
    writer = gguf.GGUFWriter(base, "llama")
    copy_metadata(GGUFFile(DEMO / "base.f32.gguf"), writer, lambda key: key != "general.architecture")
    for name, info in GGUFFile(DEMO / "base.f32.gguf").tensors.items():
        writer.add_tensor(name, np.zeros(info.shape, np.float64))
    finish(writer, base)
    said: list[str] = []
    with pytest.raises(UserError, match=r"is of type F64, .* download the F16 or BF16 GGUF of"):
        matrix(base, DEMO / "healthy.lora.gguf", tmp_path / "w", "F16", said=said)
    assert said == []
    with pytest.raises(UserError, match="names none"):
        matrix(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", tmp_path / "w")


def test_an_adapter_without_effect_has_nothing_that_could_survive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing that could survive"):
        matrix(DEMO / "base.f32.gguf", DEMO / "zero.lora.gguf", tmp_path, "F32")


def test_quants_on_the_command_line(tmp_path: Path) -> None:
    words = ["quants", BASE, str(DEMO / "healthy.lora.gguf"), "--data", str(TEXT["data"]), "--types", "F16,Q4_0"]
    out, there = tmp_path / "m.json", ("--work", str(tmp_path / "w"), "--store", str(tmp_path / "store"))
    done = spoken(*words, "--general", str(TEXT["general"]), *there, "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "Q4_0 merged is the smallest" in done.stdout
    assert len(json.loads(out.read_text(encoding="utf-8"))["rows"]) == 4
    spec = tmp_path / "sway.yaml"
    spec.write_text(
        f"models:\n  base: {{base: {BASE}}}\n  ft: {{base: {BASE}, adapter: {DEMO / 'healthy.lora.gguf'}}}\n"
        f"data: {TEXT['data']}\ngeneral: {TEXT['general']}\nsuite: [{{kind: applied}}]\n",
        encoding="utf-8",
    )
    again = spoken("quants", str(spec), "--types", "F16,Q4_0", *there, "--json", "-")
    assert json.loads(again.stdout) == json.loads(out.read_text(encoding="utf-8"))
    assert "name the adapter" in complaint("quants", BASE)
    assert "unknown type 'Q4'" in complaint(*words[:-1], "Q4", "--work", str(tmp_path / "w"))


def test_a_context_without_room_for_a_reply_is_told_before_anything_is_measured() -> None:
    told = complaint(*map(str, ("quants", BASE, DEMO / "healthy.lora.gguf", "--data", DOCUMENT, "-c", 16)))
    assert "no prompt is left to ask" in told
    assert "do not fit into the context of 16 tokens" in told


def test_too_few_sections_are_told_before_anything_is_measured(tmp_path: Path) -> None:
    data = tmp_path / "few.jsonl"
    data.write_text(
        "".join(json.dumps({"text": f"Section {n % 3} of few."}) + "\n" for n in range(9)), encoding="utf-8"
    )
    prepared = prepare(default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=data))
    said: list[str] = []
    with pytest.raises(UserError, match=r"3 distinct sections .* give 2 or more"):
        survival(
            prepared, tmp_path / "w", open_store(None), types=["F16"], wanted=0.9, tolerance=-0.15, say=said.append
        )
    assert said == []
    assert not (tmp_path / "w").exists()


def verdicts(scale: float) -> tuple[Verdict, str]:
    """Of a deployment that shows `scale` times the reference's effect."""
    effects = [1.0, 1.2, 0.8, 1.1, 0.9, 1.05]
    kept = ratio_interval([scale * effect for effect in effects], effects)
    return verdict_on(scale, kept, Interval(-0.01, 0.01), 0.9, -0.15)


@pytest.mark.parametrize(
    ("scale", "verdict"), [(0.5, "FAIL"), (0.95, "PASS"), (1.05, "PASS"), (1.2, "WARN"), (2, "WARN")]
)
def test_more_than_the_whole_effect_is_warned_of(scale: float, verdict: str) -> None:
    found, reason = verdicts(scale)
    assert found == verdict
    assert verdict != "WARN" or "scale" in reason


def test_odd_rows_are_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, adapter = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
    found = matrix(base, adapter, tmp_path, "F16")
    with open_store(tmp_path / "store") as store:
        merged, runtime = sorted(store.sample(10), key=lambda row: len(row[1]))
    # The merged row has no answers with the adapter on top, so it cannot stand for the other.
    data, calls, known = runtime[1], list[Path](), list[deployment.Measured]()
    measured = workshop.measured

    def counted(model: Path, *others: Any) -> deployment.Measured:
        """Measures the first time; the numbers do not change."""
        calls.append(model)
        if not known:
            known.append(measured(model, *others))
        return known[0]

    monkeypatch.setattr(workshop, "measured", counted)
    for odd in (b"", b"text", data[: len(data) // 2], data[:200] + bytes(200), merged[1]):
        with open_store(tmp_path / "store") as store:
            store.put(runtime[0], odd)
        calls.clear()
        again = matrix(base, adapter, tmp_path, "F16")
        assert [path.name.endswith("runtime.gguf") for path in calls] == [True]
        assert [row.retained for row in again.rows] == [row.retained for row in found.rows]


def test_without_a_store_nothing_is_kept(tmp_path: Path) -> None:
    prepared = prepare(default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", **TEXT))
    with open_store(None) as store:
        survival(prepared, tmp_path, store, types=["F16"], wanted=0.9, tolerance=-0.15, say=lambda text: None)
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


def test_what_stands_in_the_working_folders_place_or_works_in_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    for work in (file, file / "deeper"):
        with pytest.raises(UserError, match="this is a file"):
            matrix(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", work, "F16")
    with working_in(tmp_path / "w"), pytest.raises(UserError, match="another quants works"):
        matrix(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", tmp_path / "w", "F16")


def test_models_that_a_killed_run_left_are_removed_and_others_stay(tmp_path: Path) -> None:
    left, mine = tmp_path / ("0123456789abcdef-Q4_0-merged.gguf"), tmp_path / "adapter.gguf"
    for path in (left, mine):
        path.write_bytes(b"GGUF")
    with working_in(tmp_path):
        assert not left.exists()
        assert mine.exists()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_child_that_is_killed_ends_quants_with_the_type_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "_measure", killed)
    with pytest.raises(EngineError, match=r"F16: .*SIGKILL"):
        matrix(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", tmp_path, "F16")


def killed(*_: object) -> None:
    os.kill(os.getpid(), 9)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
def test_a_whole_run_on_a_quantized_base_gives_the_same_axes_and_states_its_floor(tmp_path: Path, kind: str) -> None:
    base = tmp_path / "base.gguf"
    merge(DEMO / "base.f32.gguf", None, base, kind=kind)
    words = ["check", str(base), str(DEMO / "healthy.lora.gguf"), "--data", str(TEXT["data"])]
    done = spoken(*words, "--general", str(TEXT["general"]), "--nulls", "6", "--json", "-")
    record = json.loads(done.stdout)
    assert record["diagnosis"] == "healthy"
    assert [axis["verdict"] for axis in record["axes"][:4]] == ["PASS"] * 4
    assert all(
        probe["noise_floor"] is not None for probe in record["probes"] if probe["kind"] in ("applied", "delta_kl")
    )


def test_a_reference_that_is_quantized_here_is_told() -> None:
    """Its own row keeps 100% of itself, which says nothing of the base in floats."""
    prepared = prepare(default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", **TEXT))
    (told,) = _remarks(prepared, ["Q4_0", "Q8_0"])
    assert told.startswith("The reference is Q4_0, made from the base")
    assert not list(_remarks(prepared, ["F16", "Q4_0"]))
