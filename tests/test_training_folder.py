"""What a trainer leaves: the adapter, its checkpoints, its template and its state are found by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.checkpoint import read_checkpoint
from sway_gguf.artifacts.template_files import folder_template
from sway_gguf.artifacts.training_folder import adapter_in, checkpoints, folder_with
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.watch.arrival import Arrival
from tests.command_line import complaint, spoken, succeeded
from tests.test_checkpoint import SETTLED, checkpoint
from tests.test_cli import BASE, TEXT
from tests.test_peft import folder

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"


def run_folder(path: Path, steps: tuple[int, ...], *, top: bool = False) -> Path:
    """A Trainer's output folder with checkpoints at these steps, and an adapter at its top if asked for."""
    path.mkdir(exist_ok=True)
    for step in steps:
        checkpoint(folder(path / f"checkpoint-{step}"), SETTLED)
    return folder(path) if top else path


def name_best(path: Path, best: str) -> None:
    state = {"best_model_checkpoint": best, "best_metric": 1.25, "log_history": []}
    (path / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")


def test_checkpoints_stand_in_order_of_steps(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "out", (100, 20, 3))
    (run / "checkpoint-7").mkdir()  # Nothing in it yet: the trainer is at it.
    (run / "checkpoint-last").mkdir()
    assert [path.name for path in checkpoints(run)] == ["checkpoint-3", "checkpoint-20", "checkpoint-100"]
    assert checkpoints(tmp_path / "none") == []


def test_which_adapter_is_taken_is_told_in_a_line(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "out", (3, 20, 100))
    found = adapter_in(run)
    assert found.folder == run / "checkpoint-100"
    assert found.said == (
        f"{run}: took checkpoint-100, the last; of 3 adapters in it (checkpoint-3 to checkpoint-100), "
        "`sway-gguf pick` tells which is best"
    )
    for written in ("/home/user/out/checkpoint-20", r"C:\runs\out\checkpoint-20", "out/checkpoint-20/"):
        name_best(run / "checkpoint-100", written)
        found = adapter_in(run)
        assert found.folder == run / "checkpoint-20"
        assert "took checkpoint-20, the best by its trainer (1.25)" in found.said
    name_best(run / "checkpoint-100", "/home/user/out/checkpoint-50")  # It was removed since.
    assert adapter_in(run).folder == run / "checkpoint-100"
    folder(run)
    found = adapter_in(run)
    assert found.folder == run
    assert "took the adapter at its top; of 4 adapters in it" in found.said
    assert adapter_in(run / "checkpoint-3").said == ""
    assert "the only checkpoint in it" in adapter_in(run_folder(tmp_path / "one", (5,))).said


def test_a_damaged_state_chooses_nothing(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "out", (3, 20))
    (run / "checkpoint-20" / "trainer_state.json").write_text("{", encoding="utf-8")
    assert adapter_in(run).folder == run / "checkpoint-20"


def test_the_template_is_found_beside_the_checkpoint_or_above_it(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "out", (3, 20))
    assert folder_template(run) is None
    (run / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    assert folder_template(run) == folder_template(run / "checkpoint-3") == TEMPLATE
    (run / "checkpoint-20" / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert folder_template(run) == "{{ messages }}"  # That of the adapter which is taken comes first.


def test_the_state_is_found_beside_the_adapter_or_in_its_run(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "out", (3, 20), top=True)
    # A Trainer leaves none at the top where it is only told to save the model there: the last one tells of the run.
    assert folder_with("trainer_state.json", run) == run / "checkpoint-20"
    checkpoint(run, SETTLED)
    assert folder_with("trainer_state.json", run) == run
    (run / "checkpoint-3" / "trainer_state.json").unlink()
    assert folder_with("trainer_state.json", run / "checkpoint-3") == run
    assert read_checkpoint(run / "checkpoint-3").steps == 10 * len(SETTLED)


def test_a_suite_that_asks_of_the_run_finds_it(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "out", (3, 20))
    spec = default_spec(DEMO / "base.f32.gguf", run, kinds=("applied", "training_drift", "gradient_ghost"))
    prepared = prepare(spec)
    assert [probe.kind for probe in prepared.probes] == ["applied", "training_drift"]
    assert prepared.adapter.path == run / "checkpoint-20"
    assert any("took checkpoint-20, the last" in remark for remark in prepared.spec.remarks)
    suite = [{"name": "t", "kind": "training_drift", "checkpoint": str(run / "checkpoint-3")}]
    named = prepare(spec.model_copy(update={"suite": suite}))
    assert named.spec.suite == suite


@pytest.mark.parametrize("top", [True, False], ids=["at the top", "in checkpoints alone"])
def test_it_is_the_adapter_that_its_own_folder_gives(tmp_path: Path, *, top: bool) -> None:
    run, base = run_folder(tmp_path / "out", (3, 20), top=top), read_base(DEMO / "base.f32.gguf")
    direct = read_adapter(adapter_in(run).folder, base)
    assert [pair.module for pair in read_adapter(run, base).pairs] == [pair.module for pair in direct.pairs]


def test_watch_tells_a_new_checkpoint(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "out", (3,))
    arrival = Arrival(run)
    assert arrival.look() == ""  # It has to lie still for one look.
    first = arrival.look()
    assert first
    folder(run / "checkpoint-20", r=4, lora_alpha=16)
    arrival.look()
    assert arrival.look() not in ("", first)


def test_commands_say_which_they_took(tmp_path: Path) -> None:
    run, out = run_folder(tmp_path / "out", (3, 20)), str(tmp_path / "a.gguf")
    done = spoken("convert", str(run), "--base", BASE, "-o", out)
    assert done.returncode == 0
    assert f"{run}: took checkpoint-20, the last" in done.stderr
    text = " ".join(succeeded("inspect", BASE, str(run)).split())
    assert "took checkpoint-20, the last" in text
    spec = tmp_path / "sway.yaml"
    assert spoken("init", BASE, str(run), *TEXT[:2], "-o", str(spec)).returncode == 0
    assert "{name: training_drift, kind: training_drift}" in spec.read_text(encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert "no adapter_config.json in it" in complaint("convert", str(tmp_path / "empty"), "--base", BASE, "-o", out)
    assert "a LoRA GGUF is converted already" in complaint("convert", BASE, "--base", BASE, "-o", out)
    assert "give a LoRA GGUF, or a folder by PEFT" in complaint("check", BASE, str(tmp_path / "empty"))


def test_another_adapter_does_not_get_the_log_of_the_first(tmp_path: Path) -> None:
    first, other = run_folder(tmp_path / "first", (3,)), run_folder(tmp_path / "other", (3,))
    prepared = prepare(default_spec(DEMO / "base.f32.gguf", first, kinds=("applied", "training_drift")))
    folders = [each.spec.suite[1].get("checkpoint") for each in (prepared, prepared.with_adapter(other))]
    assert [Path(folder).relative_to(tmp_path).parts[0] for folder in folders] == ["first", "other"]
    alone = prepared.with_adapter(DEMO / "healthy.lora.gguf")
    assert "checkpoint" not in alone.spec.suite[1]
