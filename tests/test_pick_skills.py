"""What a candidate takes from the adapters beside it: told on their own text, and most of it is no trade."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.choose.contenders import adapters_in, contenders
from sway_gguf.choose.fixed import read_fixed
from sway_gguf.choose.pick import Picking, pick_spec, prepared_pick
from sway_gguf.choose.skills import Skills
from sway_gguf.choose.words import refusal
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora
from sway_gguf.core.pick import Pick
from sway_gguf.core.queries import Completion, Query
from sway_gguf.core.result import AxisResult, Verdict
from sway_gguf.core.views import TUNED, MemberView, View
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.models import AdapterSpec
from tests.checkpoints import HEALTHY, as_peft, mixed, texts
from tests.test_pick import BASE_FILE, checkpoint, files, replies, scatter
from tests.test_pick_fixed import Joined, Lifts

__all__ = ["files"]
PAGE = Path(__file__).parents[1] / "docs" / "pick.md"
SKILL = replies("skilled", 12)
"""What the adapter that ships already was trained on."""
ADDS: Lifts = {"support": (0.2, -0.01), "checkpoint-100": (0.8, -0.01), "checkpoint-200": (1.6, -0.02)}


class Skilled(Joined):
    """Takes sets apart too; on the text of `support` each adapter adds what `skills` says."""

    def __init__(self, adds: Lifts, skills: dict[str, float]) -> None:
        super().__init__(adds)
        self._skills = skills

    def _effect(self, view: View, query: Query) -> float:
        if isinstance(view, MemberView):
            self.seen.append((self.carried, view))
            whole, self.carried = self.carried, self.carried[view.place : view.place + 1]
            found = super()._effect(TUNED, query)
            self.carried = whole
            return found
        return super()._effect(view, query)

    def _sum(self, parts: Sequence[tuple[str, float, bool]], own: bool, query: Query) -> float:
        if isinstance(query, Completion) and query.completion.strip() in SKILL:
            return sum(scale * (self._skills[name] + scatter(f"{name} {query}", 0.03)) for name, scale, _ in parts)
        return super()._sum(parts, own, query)


def picked(
    files: Path,
    folder: Path,
    skills: dict[str, float],
    *,
    text: bool = True,
    names: Sequence[str] = ("checkpoint-100", "checkpoint-200"),
    scales: Sequence[float] = (1.0,),
) -> tuple[Pick, Skilled]:
    paths = {name: checkpoint(folder, name, number) for number, name in enumerate(("support", *names), 1)}
    support, *candidates = paths.values()
    records = [json.dumps({"prompt": f"{n}:", "completion": f" {each}"}) for n, each in enumerate(SKILL)]
    (folder / "skill.jsonl").write_text("\n".join(records), encoding="utf-8")
    given = {"data": [files / "data.jsonl"], "holdout": [files / "holdout.jsonl"], "general": [DEMO / "general.txt"]}
    prepared, asked = prepared_pick(pick_spec(BASE_FILE, candidates[0], **given))
    beside = read_fixed([Lora(support)], prepared.base)
    if text:
        member = AdapterSpec(path=support, data=[folder / "skill.jsonl"])
        beside = beside.with_texts([member], prepared.texts.speech)
    chosen, remarks = contenders(adapters_in(candidates), prepared.base, scales, beside)
    picking = Picking(prepared, asked, remarks=remarks, fixed=beside)
    backend = Skilled(ADDS, skills)
    picking.measure(backend, chosen)
    return picking.result(backend), backend


def test_one_that_takes_most_of_a_skill_is_passed_over(files: Path, tmp_path: Path) -> None:
    """Of a lift of 1.00 the second leaves 0.10, the first all."""
    found, _ = picked(files, tmp_path, {"support": 1.0, "checkpoint-100": 0.0, "checkpoint-200": -0.9})
    assert (found.verdict, found.winner, found.refused) == (Verdict.PASS, "checkpoint-100", ("checkpoint-200",))
    told = next(line for line in found.summary if line.startswith("checkpoint-200 lifts more, and was passed over: "))
    assert "it takes most of what another one taught (with checkpoint-200.gguf the lift on support.gguf's" in told
    assert any(line.startswith("With checkpoint-100.gguf the lift on support.gguf's text ") for line in found.summary)
    (text, *_) = found.skills
    assert (text["text"], text["items"]) == ("support.gguf's text", 12)
    assert text["alone"]["support.gguf"]["value"] == pytest.approx(1.0, abs=0.05)


def test_a_skill_that_is_surely_gone_is_no_open_question(files: Path, tmp_path: Path) -> None:
    """Whatever it adds, and were that open: it takes all that `support` taught."""
    found, _ = picked(files, tmp_path, {"support": 1.0, "checkpoint-200": -0.9}, names=["checkpoint-200"])
    assert (found.verdict, found.winner, found.command) == (Verdict.FAIL, "", ())
    assert found.summary[0].startswith("None ships: checkpoint-200 has the largest held-out lift within the tolerance")
    assert "it takes most of what another one taught" in found.summary[0]
    axes = [AxisResult("direction", Verdict.PASS, ""), AxisResult("direction", Verdict.INCONCLUSIVE, "p = 0.06")]
    gone = Skills(False, "a keeps a tenth", (), ())
    assert {refusal([axis], skills=gone) for axis in axes} == {
        "it takes most of what another one taught (a keeps a tenth)"
    }


def test_what_one_scale_takes_a_smaller_one_of_the_same_adapter_may_leave(files: Path, tmp_path: Path) -> None:
    """At 1 it takes 0.9 of 1.0, at 0.5 what is no more than a part, and at 1.5 it is not tried."""
    skills = {"support": 1.0, "checkpoint-200": -0.9}
    found, backend = picked(files, tmp_path, skills, names=["checkpoint-200"], scales=(0.5, 1.0))
    assert (found.winner, found.refused) == ("checkpoint-200 at λ=0.5", ("checkpoint-200 at λ=1",))
    assert found.verdict == Verdict.WARN
    assert {view for _, view in backend.seen if isinstance(view, MemberView)}


def test_one_that_takes_a_part_ships_with_a_warning(files: Path, tmp_path: Path) -> None:
    found, _ = picked(files, tmp_path, {"support": 1.0, "checkpoint-100": 0.0, "checkpoint-200": -0.3})
    assert (found.verdict, found.winner) == (Verdict.WARN, "checkpoint-200")
    assert "; what the others taught is not shown to be kept." in found.summary[0]
    assert any("the lift on support.gguf's text falls from 1.0" in line for line in found.summary)


def test_without_their_text_nothing_is_asked_of_the_others(files: Path, tmp_path: Path) -> None:
    skills = {"support": 1.0, "checkpoint-100": 0.0, "checkpoint-200": -0.9}
    found, backend = picked(files, tmp_path, skills, text=False)
    assert (found.verdict, found.winner, found.skills) == (Verdict.PASS, "checkpoint-200", ())
    assert "what the others taught" not in found.summary[0]
    assert not any(isinstance(view, MemberView) for _, view in backend.seen)


def test_the_pages_example_on_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that ships already learned a part of what the candidate did."""
    monkeypatch.chdir(texts(tmp_path))
    shutil.copy(BASE_FILE, "base.gguf")
    write_lora(replace(mixed({HEALTHY: 0.2}), in_file=False), Path("support.gguf"))
    as_peft(mixed({HEALTHY: 0.5}), Path("run/checkpoint-100"))
    lines = Path("train.jsonl").read_text(encoding="utf-8").splitlines()
    held = Path("heldout.jsonl").read_text(encoding="utf-8").splitlines()
    for name, some in (("support", lines[:6]), ("train", lines[6:12]), ("heldout", held[:12])):
        Path(f"{name}.jsonl").write_text("\n".join(some), encoding="utf-8")
    example = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if "--data-of" in line)
    more = ["--general", str(DEMO / "general.txt"), "--nulls", "5", "--json", "-"]
    done = CliRunner().invoke(cli, [*example.split()[1:], *more])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["winner"] == "checkpoint-100", record["summary"]
    own, shared, unrelated = record["skills"]
    assert [each["text"] for each in record["skills"]] == ["support.gguf's text", "the data", "unrelated text"]
    for text in (own, shared, unrelated):
        alone = sum(lift["value"] for lift in text["alone"].values())
        assert text["interaction"]["value"] == pytest.approx(text["together"]["value"] - alone, abs=1e-6)
    assert own["together"]["value"] > own["alone"]["support.gguf"]["value"] > 0
    assert any(line.startswith("On support.gguf's text: support.gguf alone ") for line in record["summary"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data-of", "support.gguf", "few.jsonl"], "name that with --lora"),
        (["--lora", "support.gguf", "--data-of", "other.gguf", "few.jsonl"], "--data-of other.gguf: no adapter of"),
        (["--lora", "support.gguf", "--data-of", "support.gguf", "few.jsonl"], "2 items leave no interval; give 5"),
        (["--lora", "support.gguf", "--data-of", "support.gguf", "no.jsonl"], "no.jsonl"),
        (["--lora", "support.gguf", "--data-of", "support.gguf", "few.jsonl", "--json", "few.jsonl"], "an input of"),
        (["--lora", "support.gguf", "--data-of", "support.gguf", "few.jsonl", "--nulls", "0"], "with --nulls 0"),
    ],
)
def test_text_that_is_nobodys_is_one_line(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(checkpoint(tmp_path, "support", 1), "other.gguf")
    Path("few.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n')
    base = ["pick", str(BASE_FILE), str(HEALTHY), "--data", str(files / "data.jsonl")]
    done = CliRunner().invoke(cli, [*base, *words])
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
