"""What a pick is made of: scales in words, comparisons of all pairs, a smaller scale, folders of trainers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sway_gguf.choose.choice import NEGLIGIBLE, added
from sway_gguf.choose.command import command_of
from sway_gguf.choose.contenders import FINAL, Contender, adapters_in, contenders, names_of
from sway_gguf.choose.lifts import Lifts
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora
from sway_gguf.core.queries import Query
from sway_gguf.core.result import Verdict
from sway_gguf.core.scales import scales_of
from sway_gguf.core.sections import Section
from sway_gguf.core.views import ScaledView, View
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.base import Sources
from sway_gguf.probes.registry import build_probes, kinds_by_default
from sway_gguf.stats.pairwise import pairwise_bounds
from sway_gguf.stats.tradeoff import Point, tradeoff
from sway_gguf.suite.measure import measure
from sway_gguf.suite.schedule import schedule
from sway_gguf.verdict.judge import judge
from sway_gguf.watch.training import Training
from tests.test_peft import factors, folder


@pytest.mark.parametrize(
    ("text", "scales"),
    [
        ("1", (1.0,)),
        ("0.25..1.25", (0.25, 0.5, 0.75, 1.0, 1.25)),
        ("1, 0.5,0.8", (0.5, 0.8, 1.0)),
        ("0.5..1:0.2,2", (0.5, 0.7, 0.9, 1.0, 2.0)),
        ("1e-12..0.5", (1e-12, 0.25, 0.5)),
        ("1..1, 64", (1.0, 64.0)),
        ("0.25..8", tuple(place / 4 for place in range(1, 33))),
        ("0.1..1:1e-308", (0.1, 1.0)),
    ],
)
def test_scales_in_words(text: str, scales: tuple[float, ...]) -> None:
    assert scales_of(text) == pytest.approx(scales, abs=0)


@pytest.mark.parametrize("text", ["", "a", "0", "-1..1", "1..0.5", "nan", "65", "0.1..1:0", "0.01..1:0.01", "1..2..3"])
def test_what_is_no_scale_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="--scales"):
        scales_of(text)


def test_a_difference_beyond_doubt_and_one_that_is_none() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, 16)
    rows = np.array([common, common + rng.normal(0, 0.1, 16), common + 0.5 + rng.normal(0, 0.1, 16)])
    bounds = pairwise_bounds([rows], seed=0)
    assert bounds is not None
    assert bounds[2, 0] > 0.3  # however far the items scatter, for they are paired
    assert max(bounds[0, 1], bounds[1, 0]) < 0
    assert bounds.diagonal().tolist() == [0.0, 0.0, 0.0]
    assert pairwise_bounds([rows[:, :4]], seed=0) is None
    assert pairwise_bounds([], seed=0) is None
    with pytest.raises(ValueError, match="finite"):
        pairwise_bounds([np.full((2, 6), np.nan)], seed=0)
    with pytest.raises(ValueError, match="row"):
        pairwise_bounds([rows, rows[:2]], seed=0)


def test_a_group_adds_its_mean_and_its_scatter() -> None:
    """The same rows, less what other text gained: the difference is that of the sums."""
    rng = np.random.default_rng(1)
    items, gained = rng.normal(1, 0.2, (2, 12)), rng.normal(0.3, 0.2, (2, 8))
    alone, both = pairwise_bounds([items], seed=0), pairwise_bounds([items, -gained], seed=0)
    assert alone is not None
    assert both is not None
    middle = (both[0, 1] - both[1, 0]) / 2
    assert middle == pytest.approx((items[0].mean() - items[1].mean()) - (gained[0].mean() - gained[1].mean()))
    assert -(both[0, 1] + both[1, 0]) > -(alone[0, 1] + alone[1, 0])


@pytest.mark.parametrize("draw", [lambda rng, shape: rng.normal(0, 1, shape), lambda rng, s: rng.exponential(1, s)])
def test_of_equals_no_pair_is_told_apart_more_often_than_it_says(
    draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray],
) -> None:
    """Six candidates that are equal, sixteen items: any pair at all, in 5% of the runs; 300 runs have 2.5 to 8%."""
    rng, wrong = np.random.default_rng(3), 0
    for run in range(300):
        bounds = pairwise_bounds([draw(rng, (6, 16))], seed=run)
        assert bounds is not None
        wrong += bool((bounds > 0).any())
    assert wrong / 300 <= 0.08


def test_a_smaller_scale_is_told_where_it_surely_pays_alone() -> None:
    rng = np.random.default_rng(0)
    gains, costs = rng.normal(2.0, 0.2, 16), rng.normal(0.4, 0.05, 12)
    half = Point((0.9 * gains).tolist(), (0.2 * costs).tolist())
    whole = Point(gains.tolist(), costs.tolist())
    found = tradeoff({0.5: half, 1.0: whole})
    assert found is not None
    assert (found.scale, found.kept, found.cost) == pytest.approx((0.5, 0.9, 0.2))
    noisy = Point((gains * 0.9).tolist(), rng.normal(0.08, 0.4, 12).tolist())
    assert tradeoff({0.5: noisy, 1.0: whole}) is None
    assert tradeoff({0.5: half, 1.0: Point(gains.tolist(), (0.01 * costs).tolist())}) is None
    assert tradeoff({0.5: Point((0.5 * gains).tolist(), (0.2 * costs).tolist()), 1.0: whole}) is None
    assert tradeoff({0.5: half}) is None


def effect(view: View, query: Query) -> float:
    """The lift saturates, the damage goes with the square of the scale."""
    if not isinstance(view, ScaledView):
        return 0.0
    own = "lantern" in str(getattr(query, "completion", ""))
    return 2.0 * (1 - 0.1 ** (2 * view.scale)) if own else -0.3 * view.scale**2


def test_check_shows_lift_and_damage_over_scales_and_says_what_a_smaller_one_keeps() -> None:
    sources = Sources(
        sections=tuple(Section(f"s{n}", f" the lantern number {n} is lit", f"Which {n}?") for n in range(8)),
        general=("\n\n".join(f"The {n} boats left the grey harbour before dawn and came back." for n in range(120)),),
    )
    entry = {"kind": "scale_response", "lambdas": [0.5, 1.0, 1.5], "max_bits_per_byte": 50.0}
    probes = build_probes([entry], sources)
    found = measure(FakeBackend(wordy_script(effect)), probes, schedule(probes))
    (result,) = judge(found.readings, alpha=0.05)
    assert result.curve is not None
    assert result.curve.scales == (0.0, 0.5, 1.0, 1.5)
    assert result.curve.values == pytest.approx((0.0, -0.075, -0.3, -0.675), abs=1e-6)
    assert result.curve.lifts == pytest.approx((0.0, 1.8, 1.98, 1.998), abs=1e-6)
    assert result.reason == "λ = 0.5 keeps 91% (91% to 91%) of the lift at 25% (25% to 25%) of the damage"
    assert (result.verdict, result.decides, result.optional) == (Verdict.PASS, False, True)
    assert "scale_response" not in kinds_by_default()


def peft(path: Path, number: int) -> Path:
    """A PEFT folder whose content is of this number alone."""
    return folder(path, {name: tensor * (1 + number / 1000) for name, tensor in factors().items()})


def test_a_trainers_folder_holds_its_checkpoints_in_order_of_steps_and_its_last_word(tmp_path: Path) -> None:
    from sway_gguf.artifacts.base import read_base

    out = tmp_path / "out"
    out.mkdir()
    for step in (1000, 200, 30):
        peft(out / f"checkpoint-{step}", step)
    (out / "checkpoint-notes.txt").write_text("no folder", encoding="utf-8")
    (out / "runs").mkdir()
    assert [each.step for each in adapters_in([out])] == [30, 200, 1000]
    peft(out, 1000)
    found = adapters_in([out])
    assert [each.step for each in found] == [30, 200, 1000, None]
    assert names_of(found) == ["checkpoint-30", "checkpoint-200", "checkpoint-1000", FINAL]
    chosen, remarks = contenders(found, read_base(DEMO / "base.f32.gguf"), [0.5, 1.0])
    assert len(chosen) == 6
    assert remarks == ["final holds the same adapter as checkpoint-1000 and was left out"]
    assert [each.name for each in chosen[:2]] == ["checkpoint-30 at λ=0.5", "checkpoint-30 at λ=1"]
    assert chosen[0].size == pytest.approx(chosen[1].size / 2)
    assert [each.path for each in adapters_in([out / "checkpoint-30"] * 2)] == [out / "checkpoint-30"]
    assert len(adapters_in([out, out / "checkpoint-30"])) == len(found)
    (out / "checkpoint-1000" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"checkpoint-1000.*still being written"):
        contenders(adapters_in([out]), read_base(DEMO / "base.f32.gguf"), [1.0])
    assert adapters_in([out / "checkpoint-30"])[0].step == 30


def test_of_a_folder_of_files_the_adapters_are_taken_by_steps(tmp_path: Path) -> None:
    for name, source in (("step-20", "healthy"), ("step-3", "random"), ("base", None)):
        shutil.copy(DEMO / (f"{source}.lora.gguf" if source else "base.f32.gguf"), tmp_path / f"{name}.gguf")
    (tmp_path / "notes.txt").write_text("no adapter", encoding="utf-8")
    assert [(each.path.name, each.step) for each in adapters_in([tmp_path])] == [
        ("step-3.gguf", 3),
        ("step-20.gguf", 20),
    ]
    (tmp_path / "step-5.gguf").write_bytes(b"GGUF and no more")
    assert [each.step for each in adapters_in([tmp_path])] == [3, 5, 20], "a broken one is not passed over in silence"


def test_of_a_folder_of_files_and_peft_folders_none_is_lost(tmp_path: Path) -> None:
    shutil.copy(DEMO / "healthy.lora.gguf", tmp_path / "b.gguf")
    peft(tmp_path / "a", 1)
    (tmp_path / "notes.gguf").mkdir()
    peft(tmp_path / "checkpoint-0", 2)
    assert [each.path.name for each in adapters_in([tmp_path])] == ["a", "b.gguf"]
    (tmp_path / "b.gguf").unlink()
    assert [each.path.name for each in adapters_in([tmp_path])] == ["a"], "nor where there are folders alone"


def test_folders_of_two_trainings_are_told_apart(tmp_path: Path) -> None:
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        peft(tmp_path / run / "checkpoint-10", 1)
    assert names_of(adapters_in([tmp_path / "a", tmp_path / "b"])) == ["a/checkpoint-10", "b/checkpoint-10"]


def test_a_folder_without_adapters_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no LoRA GGUF, PEFT folder or checkpoint"):
        adapters_in([tmp_path])
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(UserError, match="only LoRA training leaves adapters"):
        adapters_in([tmp_path])


def test_checkpoints_are_told_once_each_when_they_are_whole(tmp_path: Path) -> None:
    out, said, waits = tmp_path / "out", list[str](), list[int]()
    training = Training(out)

    def later(seconds: float) -> None:
        waits.append(1)
        if len(waits) == 1:
            out.mkdir()
            peft(out / "checkpoint-10", 1)
            half = peft(out / "checkpoint-20", 2) / "adapter_model.safetensors"
            half.write_bytes(half.read_bytes()[:100])
        elif len(waits) == 4:
            peft(out / "checkpoint-20", 2)
        elif len(waits) == 8:
            peft(out, 3)
        assert len(waits) < 20

    told = [[each.path.name for each in new] for new in training.follow(1.0, said.append, later)]
    assert told == [["checkpoint-10"], ["checkpoint-20"], ["out"]]
    assert "No such file" in said[0]


def test_what_a_candidate_adds_is_rarely_said_of_one_that_adds_nothing_whatever_the_skewness() -> None:
    """Eight items with a long lower tail whose mean counts as nothing: 2.5% are meant, signs would give 10%."""
    rng, runs = np.random.default_rng(0), 2000
    alone, wrong = Lifts((), (1.0,) * 8), 0
    for _ in range(runs):
        drawn = 1 + NEGLIGIBLE + 0.1 * (1 - rng.exponential(1.0, 8))
        found = added(Lifts((), tuple(drawn)), alone, lambda lifts: lifts.held_out)
        assert found is not None
        assert found.interval is not None
        wrong += found.interval[0] > NEGLIGIBLE
    assert wrong / runs < 0.06


def test_what_a_candidate_adds_is_beyond_what_unrelated_text_gained_with_it() -> None:
    alone = Lifts((), (1.0, 1.1, 0.9, 1.2, 0.8, 1.0), prose=(0.1,) * 6)
    both = Lifts((), tuple(lift + 0.5 for lift in alone.held_out), prose=(0.0,) * 6, everyday=(0.4, 0.3, 0.2, 0.3, 0.3))
    found = added(both, alone, lambda lifts: lifts.held_out)
    assert found is not None
    assert found.value == pytest.approx(0.5 - (0.3 - 0.1))
    assert found.interval is not None
    assert added(Lifts((), (1.0,) * 4), Lifts((), (0.0,) * 4), lambda lifts: lifts.held_out) is None


def converted(fixed: list[Path], taken: Path, name: str, given: list[Path]) -> list[str]:
    """Names of the files that the command converts to."""
    loras = [Lora(path) for path in fixed]
    *lines, _ = command_of(Path("base.gguf"), Contender(name, taken, 1.0, None, 0, 1.0), loras, given)
    return [line.split(" -o ")[1] for line in lines]


def test_no_converted_file_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / run / "final" for run in "abc"]
    ship = tmp_path / "ship" / "support"
    for each in (*folders, ship, tmp_path / "base"):
        each.mkdir(parents=True)
    support, other = Path("support.gguf"), Path("other.gguf")
    assert converted(folders, other, "other", [other]) == ["final.gguf", "final-2.gguf", "final-3.gguf"]
    assert converted([ship], support, "support", [support]) == ["support-2.gguf"]
    assert converted([ship], other, "other", [support, other]) == ["support-2.gguf"]
    assert converted([Path("base")], other, "other", []) == ["base-2.gguf"]
    monkeypatch.chdir(ship)
    assert converted([Path()], other, "other", []) == ["support.gguf"]
    assert converted([Path("/")], other, "other", []) == ["adapter.gguf"]
