"""Picking beside adapters that are loaded in any case: planted winners, and candidates that live on the others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.stack import Adapted, as_stack
from sway_gguf.choose.contenders import adapters_in, contenders
from sway_gguf.choose.fixed import read_fixed
from sway_gguf.choose.pick import Picking, pick_spec, prepared_pick
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora
from sway_gguf.core.pick import Pick, Standing
from sway_gguf.core.queries import Completion, NextToken, Query
from sway_gguf.core.result import Verdict
from sway_gguf.core.views import TUNED, NullView, ScaledView, View
from sway_gguf.engine.doors import is_base
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.material.packaged import DEMO
from tests.checkpoints import HEALTHY, as_peft, mixed, texts
from tests.test_pick import BASE_FILE, KINDS, checkpoint, files, scatter
from tests.test_pick_command import MIXES

__all__ = ["files"]
Lifts = dict[str, tuple[float, float]]
"""By adapter: what it adds to the data and to held-out text, and to any other text."""


class Joined(FakeBackend):
    """Runs any set by its files' names: what each of them adds goes times its scale, and the sum is what is seen.

    A null keeps what is held as it is, and puts chance in the place of all else.
    """

    def __init__(self, adds: Lifts) -> None:
        super().__init__(wordy_script(self._effect))
        self._adds = adds
        self.carried: tuple[tuple[str, float, bool], ...] = ()
        self.seen = list[tuple[tuple[tuple[str, float, bool], ...], View]]()

    def swap(self, adapter: Adapted) -> bool:
        self.carried = tuple((m.adapter.path.stem, m.scale, m.held) for m in as_stack(adapter).members)
        return True

    def _effect(self, view: View, query: Query) -> float:
        self.seen.append((self.carried, view))
        if is_base(view):
            return 0.0
        own = isinstance(query, Completion) and query.completion.strip() in KINDS
        if isinstance(view, NullView):
            known = [part for part in self.carried if part[2]]
            chance = scatter(f"{view.seed} {own}", 0.02) + scatter(f"{view.seed} {query}", 0.02)
            return chance + self._sum(known, own, query)
        assert isinstance(view, ScaledView)
        if isinstance(query, NextToken):
            return 3.0
        return view.scale * self._sum(self.carried, own, query)

    def _sum(self, parts: Sequence[tuple[str, float, bool]], own: bool, query: Query) -> float:
        spread = 0.1 if own else 0.02
        return sum(
            scale * (self._adds[name][not own] + (scatter(f"{name} {query}", spread) if self._adds[name][0] else 0.0))
            for name, scale, _ in parts
        )


def picked(
    files: Path,
    folder: Path,
    adds: Lifts,
    names: Sequence[str],
    fixed: Sequence[tuple[str, float]] = (("support", 1.0),),
    *,
    scales: Sequence[float] = (1.0,),
    backend: Joined | None = None,
) -> Pick:
    number = {name: place for place, name in enumerate(adds, 1)}
    paths = {name: checkpoint(folder, name, number[name]) for name in adds}
    spec = pick_spec(
        BASE_FILE,
        paths[names[0]],
        data=[files / "data.jsonl"],
        holdout=[files / "holdout.jsonl"],
        general=[DEMO / "general.txt"],
    )
    prepared, asked = prepared_pick(spec)
    beside = read_fixed([Lora(paths[name], scale) for name, scale in fixed], prepared.base)
    chosen, remarks = contenders(adapters_in([paths[name] for name in names]), prepared.base, scales, beside)
    picking = Picking(prepared, asked, remarks=remarks, fixed=beside)
    backend = backend or Joined(adds)
    picking.measure(backend, chosen)
    return picking.result(backend)


PLANTED: Lifts = {
    "support": (1.0, -0.02),
    "checkpoint-100": (0.4, -0.01),
    "checkpoint-200": (1.2, -0.02),
    "checkpoint-300": (1.5, -0.3),
}


def test_the_planted_checkpoint_ships_with_what_is_loaded_beside_it(files: Path, tmp_path: Path) -> None:
    """The third adds the most, and with it unrelated text loses 0.32: more than 0.15."""
    backend = Joined(PLANTED)
    names = [name for name in PLANTED if name != "support"]
    found = picked(files, tmp_path, PLANTED, names, [("support", 0.5)], backend=backend)
    assert (found.verdict, found.winner) == (Verdict.PASS, "checkpoint-200")
    assert found.row("checkpoint-300").standing == Standing.BEYOND
    support, taken = tmp_path / "support.gguf", tmp_path / "checkpoint-200.gguf"
    assert found.command == (f"llama-server -m {BASE_FILE} --lora-scaled {support}:0.5 --lora {taken}",)
    assert found.fixed == (f"{support}:0.5",)
    assert found.alone is not None
    assert found.alone.name == "support.gguf:0.5"
    assert found.alone.held_out is not None
    assert found.alone.held_out.value == pytest.approx(0.5, abs=0.1)
    row = found.row("checkpoint-200").held_out
    assert row is not None
    assert row.value == pytest.approx(0.5 + 1.2, abs=0.1)
    assert found.added is not None
    assert found.added.value == pytest.approx(1.2, abs=0.1)
    assert found.summary[1].startswith("On these items support.gguf:0.5 alone has a held-out lift of")
    assert f"the candidate adds {found.added.value:.2f} [" in found.summary[1]
    sets = {carried for carried, view in backend.seen if view == TUNED}
    assert sets == {(("support", 0.5, True),), *((("support", 0.5, True), (name, 1.0, False)) for name in names)}
    turned = {carried for carried, view in backend.seen if isinstance(view, NullView)}
    assert turned == {(("support", 0.5, True), ("checkpoint-200", 1.0, False))}


def test_a_scale_is_the_candidate_s_and_what_it_keeps_is_of_what_it_adds(files: Path, tmp_path: Path) -> None:
    adds: Lifts = {"support": (1.0, 0.0), "adapter": (2.0, -0.22)}
    found = picked(files, tmp_path, adds, ["adapter"], scales=(0.5, 1.0))
    assert found.winner == "adapter at λ=0.5"
    assert found.command[0].endswith(
        f"--lora {tmp_path / 'support.gguf'} --lora-scaled {tmp_path / 'adapter.gguf'}:0.5"
    )
    assert found.added is not None
    assert found.added.value == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("chance", range(4))
def test_one_that_learned_nothing_does_not_ship_on_what_the_others_learned(
    files: Path, tmp_path: Path, chance: int
) -> None:
    """What it happens to add is drawn as its nulls are. The set as a whole stands far beyond any turned as a whole."""
    adds: Lifts = {"support": (1.5, -0.02)}
    adds |= {f"untrained-{n}": (scatter(f"{chance} {n}", 0.02), 0.0) for n in range(3)}
    found = picked(files, tmp_path, adds, list(adds)[1:])
    assert found.winner == ""
    assert found.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)


def test_what_takes_from_the_lift_of_the_others_does_not_ship(files: Path, tmp_path: Path) -> None:
    adds: Lifts = {"support": (1.5, -0.02), "worse": (-0.5, 0.0)}
    found = picked(files, tmp_path, adds, ["worse"])
    assert (found.winner, found.verdict) == ("", Verdict.FAIL)
    assert found.summary[0].startswith("None ships: no candidate lifts held-out text by more than support.gguf does")


def test_damage_that_was_there_before_any_candidate_is_told(files: Path, tmp_path: Path) -> None:
    adds: Lifts = {"support": (1.0, -0.5), "checkpoint-100": (1.0, 0.0)}
    found = picked(files, tmp_path, adds, ["checkpoint-100"])
    assert found.winner == ""
    assert (
        "with support.gguf alone, before any candidate, unrelated text surely loses more than 0.15" in found.summary[0]
    )


def test_what_makes_no_sense_is_one_line(files: Path, tmp_path: Path) -> None:
    adds: Lifts = {"support": (1.0, 0.0), "copy": (1.0, 0.0)}
    shutil.copy(checkpoint(tmp_path, "support", 1), tmp_path / "twin.gguf")
    spec = pick_spec(BASE_FILE, tmp_path / "twin.gguf", data=[files / "data.jsonl"])
    base = prepared_pick(spec)[0].base
    beside = read_fixed([Lora(tmp_path / "support.gguf")], base)
    with pytest.raises(UserError, match=r"twin holds the same adapter as support\.gguf, which is loaded beside every"):
        contenders(adapters_in([tmp_path / "twin.gguf"]), base, [1.0], beside)
    with pytest.raises(UserError, match="at scale 0 it does nothing"):
        read_fixed([Lora(tmp_path / "support.gguf", 0.0)], base)
    with pytest.raises(UserError, match="16 adapters beside each candidate"):
        read_fixed([Lora(tmp_path / "support.gguf")] * 16, base)
    assert picked(files, tmp_path, adds, ["support", "copy"]).rows[0].name == "copy"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages' example names; the adapter that ships already has learned a part."""
    here = texts(tmp_path_factory.mktemp("fixed"))
    shutil.copy(BASE_FILE, here / "base.gguf")
    write_lora(replace(mixed({HEALTHY: 0.2}), in_file=False), here / "support.gguf")
    for step, shares in MIXES.items():
        as_peft(mixed(shares), here / "run" / f"checkpoint-{step}")
    return here


def test_the_pages_example_on_the_demo(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    page = (Path(__file__).parents[1] / "docs" / "pick.md").read_text(encoding="utf-8")
    example = next(line for line in page.splitlines() if line.startswith("sway-gguf pick") and "--lora" in line)
    more = ["--general", str(DEMO / "general.txt"), "--nulls", "5", "--json", "pick.json", "--markdown", "pick.md"]
    done = CliRunner().invoke(cli, [*example.split()[1:], *more, "--html", "pick.html"])
    assert done.exit_code == 0, done.output
    record = json.loads(Path("pick.json").read_text(encoding="utf-8"))
    assert (record["winner"], record["fixed"]) == ("checkpoint-200", ["support.gguf:0.8"])
    assert record["command"][-1] == (
        "llama-server -m base.gguf --lora-scaled support.gguf:0.8 --lora checkpoint-200.gguf"
    )
    alone, added = record["alone"]["held_out"]["value"], record["added"]["value"]
    assert alone > 0.2
    assert added > 0.2
    assert "within, alone" in done.output
    for told in (done.output, *(Path(name).read_text(encoding="utf-8") for name in ("pick.md", "pick.html"))):
        assert "On these items support.gguf:0.8 alone has a held-out lift of" in " ".join(told.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lora", "support.gguf"], "--lora names what is loaded beside every one"),
        ([], "no candidate; name adapters"),
        (["support.gguf", "--lora", "support.gguf"], "no candidate is left"),
        (["run", "--lora-scaled", "support.gguf:0"], "does nothing beside a candidate"),
        (["run", "--lora", "nowhere.gguf"], "nowhere.gguf"),
        (["run", "--lora", "support.gguf", "--json", "support.gguf"], "an input of this command"),
    ],
)
def test_what_cannot_be_picked_beside_others_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(place)
    done = CliRunner().invoke(cli, ["pick", "base.gguf", *words, "--data", "train.jsonl"])
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)


def test_a_plan_counts_what_is_asked_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    done = CliRunner().invoke(
        cli, ["pick", "base.gguf", "run", "--data", "train.jsonl", "--lora", "support.gguf", "--dry-run"]
    )
    assert done.exit_code == 0, done.output
    assert "support.gguf, loaded beside every candidate, and asked alone" in " ".join(done.output.split())


def test_a_checkpoint_that_is_loaded_anyway_is_told_while_a_training_is_followed(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    shutil.copytree(place / "run" / "checkpoint-100", tmp_path / "out")
    shutil.copytree(place / "run" / "checkpoint-100", tmp_path / "out" / "checkpoint-100")
    texts = ["--data", "train.jsonl", "--holdout", "heldout.jsonl", "--general", str(DEMO / "general.txt")]
    words = ["pick", "base.gguf", str(tmp_path / "out"), *texts, "--early-stop", "--every", "0.1s"]
    done = CliRunner().invoke(cli, [*words, "--lora", "run/checkpoint-100"])
    said = "checkpoint-100 holds the same adapter as checkpoint-100, which is loaded beside every candidate, and was"
    assert said in done.stderr
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith(f"no candidate is left: {said} left out; final holds the same adapter")
