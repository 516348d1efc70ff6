"""`sway-gguf pick` on the demo model: real checkpoints in a trainer's folder, a growing one, and what is one line."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from sway_gguf.choose.contenders import adapters_in, contenders
from sway_gguf.choose.cost import cost_of
from sway_gguf.choose.pick import Picking, pick_spec, prepared_pick
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.engine.counting import counter
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import first_spec, prepare
from sway_gguf.suite.run import plan
from tests.checkpoints import HEALTHY, OVERTRAINED, as_peft, mixed, texts
from tests.fakers import over_confident, with_head, written

DOCS = Path(__file__).parents[1] / "docs" / "pick.md"
MIXES = {100: {HEALTHY: 0.3}, 200: {HEALTHY: 1.0}, 300: {HEALTHY: 0.4, OVERTRAINED: 0.6}}
"""A checkpoint that is not done, a healthy one, and one that forgets all else."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page's example names."""
    here = texts(tmp_path_factory.mktemp("pick"))
    shutil.copy(DEMO / "base.f32.gguf", here / "base.gguf")
    shutil.copy(DEMO / "general.txt", here / "notes.txt")
    for step, shares in MIXES.items():
        as_peft(mixed(shares), here / "run" / f"checkpoint-{step}")
    for name, count in (("train", 6), ("heldout", 12)):
        lines = (here / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
        (here / f"few-{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return here


def invoked(here: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        return CliRunner().invoke(cli, ["pick", "base.gguf", *words])


TEXTS = ["--data", "few-train.jsonl", "--holdout", "few-heldout.jsonl", "--general", "notes.txt"]


def test_the_pages_example_names_the_checkpoint_that_ships_in_every_format(place: Path) -> None:
    example = next(line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("sway-gguf pick"))
    words = shlex.split(example)[3:]
    # The demo's base knows its own small world alone: packaged prose would say nothing of it.
    more = ["--general", "notes.txt", "--json", "pick.json", "--html", "pick.html", "--markdown", "pick.md"]
    more += ["--nulls", "5"]
    done = invoked(place, *words, *more)
    assert done.exit_code == 0, done.output
    record = json.loads((place / "pick.json").read_text(encoding="utf-8"))
    assert (record["winner"], record["verdict"]) == ("checkpoint-200", "PASS")
    assert [row["standing"] for row in record["rows"]] == ["within", "within", "beyond"]
    assert [axis["verdict"] for axis in record["axes"]] == ["PASS", "PASS"]
    assert record["command"][1] == "llama-server -m base.gguf --lora checkpoint-200.gguf"
    assert record["command"][0] == "sway-gguf convert run/checkpoint-200 --base base.gguf -o checkpoint-200.gguf"
    told = " ".join(done.output.split())
    shown = re.search(r"```\n(PASS  .*?)\n\n", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    # The numbers are those of one machine; the words are not.
    assert re.sub(r"[\d.]+", "N", " ".join(shown[1].split())) in re.sub(r"[\d.]+", "N", told)
    assert "checkpoint-200 ships" in (place / "pick.md").read_text(encoding="utf-8")
    page = (place / "pick.html").read_text(encoding="utf-8")
    pictures = re.findall(r"<svg xmlns.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 2
    titles = [
        title.text or "" for title in ElementTree.fromstring(pictures[0]).iter("{http://www.w3.org/2000/svg}title")
    ]
    assert [title.split(":")[0] for title in titles] == [f"checkpoint-{step}" for step in MIXES]
    assert invoked(place, *words, *more, "--dry-run").exit_code == 0, "a pick may take its own place"


def test_a_plan_shows_what_each_candidate_costs_and_loads_nothing(place: Path) -> None:
    done = invoked(place, "run", *TEXTS, "--scales", "0.5,1", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "for the base and for each of 6 candidates" in " ".join(done.output.split())
    assert "checkpoint-100 at λ=0.5" in done.output


def test_six_candidates_cost_about_twice_the_tokens_of_one_check(tmp_path: Path) -> None:
    """By both plans, where the first look at the nulls decides and where the last one does."""
    here = texts(tmp_path)
    given = {"data": [here / "train.jsonl"], "holdout": [here / "heldout.jsonl"], "general": [DEMO / "general.txt"]}
    base = DEMO / "base.f32.gguf"
    prepared, asked = prepared_pick(pick_spec(base, HEALTHY, **given))
    chosen, _ = contenders(adapters_in([HEALTHY]), prepared.base, [0.25, 0.5, 0.75, 1.0, 1.25, 1.5])
    with counter(base, prepared.engine, prepared.base.context_length) as count:
        six = cost_of(Picking(prepared, asked), chosen, count)
        one = plan(prepare(first_spec(base, HEALTHY, **given))).span(count)
    assert len(six.candidates) == 6
    assert six.least <= 2.1 * one[0]
    assert six.most <= one[1]


def test_nobody_ships_with_exit_code_1_where_that_is_asked(place: Path) -> None:
    done = invoked(place, str(DEMO / "random.lora.gguf"), *TEXTS, "--exit-code", "--json", "-", "--nulls", "5")
    assert done.exit_code == 1, done.output
    record = json.loads(done.output)
    assert (record["winner"], record["command"]) == ("", [])


def test_one_that_only_flattens_predictions_is_passed_over_for_one_that_learned(place: Path, tmp_path: Path) -> None:
    """Flatter predictions make any unlikely text likelier, and this base finds the material unlikely."""
    base = with_head(DEMO / "base.f32.gguf", place / "headed.gguf")
    flatter = written(over_confident(base, 0.85), tmp_path / "flatter.gguf")
    learned = written(mixed({HEALTHY: 0.05}), tmp_path / "learned.gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        texts = ["--data", "few-train.jsonl", "--holdout", "heldout.jsonl", "--general", "notes.txt"]
        words = ["pick", "headed.gguf", str(flatter), str(learned), *texts, "--nulls", "5", "--json", "-"]
        done = CliRunner().invoke(cli, words)
    record = json.loads(done.stdout)
    assert record["refused"] == ["flatter"], record["summary"]
    assert record["winner"] == "learned"


def test_a_training_is_followed_and_stopped_where_it_damages(place: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", threading.Event()

    def train() -> None:
        for step in MIXES:
            as_peft(mixed(MIXES[step]), tmp_path / "made" / f"checkpoint-{step}")
            out.mkdir(exist_ok=True)
            (tmp_path / "made" / f"checkpoint-{step}").rename(out / f"checkpoint-{step}")
            said.wait(0.3)

    trainer = threading.Thread(target=train)
    trainer.start()
    done = invoked(place, str(out), *TEXTS, "--early-stop", "--every", "0.1s", "--nulls", "5", "--json", "-")
    trainer.join()
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["winner"] == "checkpoint-200"
    assert "stop: unrelated text surely loses more than 0.15 nats/token with checkpoint-300" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere"),
        (["run", "--data", "train.jsonl", "--scales", "2..1"], "runs downward"),
        (["run"], "--data: 0 items leave no interval"),
        (["run", "--data", "train.jsonl", "--early-stop"], "--early-stop needs --holdout"),
        (["run", "run", *TEXTS, "--early-stop"], "give the one folder"),
        (["run", *TEXTS, "--json", "few-train.jsonl"], "an input of this command"),
        (["base.gguf", *TEXTS], "this is a base model"),
    ],
)
def test_what_cannot_be_picked_is_one_line(place: Path, words: list[str], said: str) -> None:
    done = invoked(place, *words)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
