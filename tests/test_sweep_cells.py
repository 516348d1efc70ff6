"""A sweep's cells: known by content, never by name or place; and how they are shared out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.fleet.assign import Assignment
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.cells import cells_of, shard_of
from sway_gguf.spec.sweep import load_sweep
from tests.sweep_files import demo_cells, demo_files, keys_of, sweep_file

CHECK = {"data": "train.md"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    demo_files(tmp_path)
    return tmp_path


def test_a_cell_for_every_combination_base_by_base(place: Path) -> None:
    shutil.copy(place / "good.gguf", place / "other-base.gguf")  # no base: its cells are there all the same
    cells = demo_cells(
        place, bases=["base.gguf", "other-base.gguf"], adapters=["good.gguf", "zero.gguf"], scales=[0.5, 1.0],
        seeds=[0, 1], suites=["check", "small.yaml"],
    )  # fmt: skip
    assert len(cells) == len(keys_of(cells)) == 2 * 2 * 2 * 2 * 2
    assert [cell.base for cell in cells] == ["base.gguf"] * 16 + ["other-base.gguf"] * 16
    assert {cell.spec.defaults.seed for cell in cells} == {0, 1}


def test_a_key_hangs_on_what_a_cell_is_made_of(place: Path) -> None:
    def key(**fields: object) -> str:
        (cell,) = demo_cells(place, **{**CHECK, **fields})
        return cell.key

    first = key()
    assert key() == first
    others = {
        "scale": key(scales=[0.5]),
        "seed": key(seeds=[3]),
        "suite": key(suites=["small.yaml"]),
        "adapter": key(adapters=["zero.gguf"]),
        "nulls": key(defaults={"nulls": 5}),
        "context": key(engine={"context": 256}),
        "format": key(format="alpaca"),
        "without data": key(data=None),
    }
    (place / "train.md").write_text("Another text.\n", encoding="utf-8")
    others["data"] = key()
    assert len({first, *others.values()}) == len(others) + 1


def test_a_key_hangs_on_no_name_no_place_and_no_number_of_threads(place: Path) -> None:
    (first,) = demo_cells(place, **CHECK)
    shutil.move(place / "good.gguf", place / "renamed.gguf")
    shutil.move(place / "train.md", place / "text.md")
    cells = demo_cells(
        place, adapters=["zero.gguf", "renamed.gguf"], data="text.md", engine={"threads": 7, "parallel": 3}
    )
    assert cells[1].key == first.key
    assert cells[0].key != first.key


def test_an_adapter_that_was_written_anew_is_another_cell(place: Path) -> None:
    (before,) = demo_cells(place)
    shutil.copy(place / "zero.gguf", place / "good.gguf")
    assert demo_cells(place)[0].key != before.key


def test_a_folder_of_checkpoints_is_known_by_their_content_too(place: Path) -> None:
    def key() -> str:
        return demo_cells(place, adapters=["out"])[0].key

    keys = []
    for step, weights in ((10, "one"), (20, "two"), (20, "three")):
        folder = place / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
        (folder / "adapter_model.safetensors").write_text(weights, encoding="utf-8")
        keys.append(key())
    assert len(set(keys)) == 3


@pytest.mark.parametrize("option", ["checkpoint", "store_path"])
def test_a_trainers_folder_counts_under_either_name(place: Path, option: str) -> None:
    suite = (place / "small.yaml").read_text(encoding="utf-8")
    entry = f"applied}}, {{name: drift, kind: training_drift, {option}: out}}]"
    (place / "trained.yaml").write_text(suite.replace("applied}]", entry), encoding="utf-8")
    (place / "out").mkdir()
    keys = []
    for log in ("one", "two"):
        (place / "out" / "trainer_state.json").write_text(log, encoding="utf-8")
        keys.append(demo_cells(place, suites=["trained.yaml"])[0].key)
    assert keys[0] != keys[1]


def test_a_file_that_an_entry_of_the_suite_names_counts(place: Path) -> None:
    suite = (place / "small.yaml").read_text(encoding="utf-8")
    (place / "named.yaml").write_text(suite.replace("applied}]", "applied, prompts: [notes.txt]}]"), encoding="utf-8")
    (without,) = demo_cells(place, suites=["named.yaml"])
    (place / "notes.txt").write_text("one", encoding="utf-8")
    (one,) = demo_cells(place, suites=["named.yaml"])
    (place / "notes.txt").write_text("two", encoding="utf-8")
    (two,) = demo_cells(place, suites=["named.yaml"])
    assert len({without.key, one.key, two.key}) == 3


def test_what_is_the_same_by_content_is_measured_once_and_told(place: Path) -> None:
    shutil.copy(place / "good.gguf", place / "again.gguf")
    said: list[str] = []
    path = sweep_file(place, adapters=["good.gguf", "again.gguf"], seeds=[0, 1])
    assert [cell.adapter for cell in cells_of(load_sweep(path), say=said.append)] == ["good.gguf", "good.gguf"]
    assert "again.gguf on base.gguf" in said[0]
    assert "good.gguf" in said[0]
    assert "1 more" in said[0]


def test_files_that_are_not_there_are_cells_of_their_own(place: Path) -> None:
    cells = demo_cells(place, bases=["gone.gguf", "lost.gguf"], adapters=["none.gguf", "nil.gguf"])
    assert len(keys_of(cells)) == 4


def test_patterns_stand_for_what_they_match_in_order_of_their_numbers(place: Path) -> None:
    for step in (100, 20, 3):
        shutil.copytree(place, place / "out" / f"checkpoint-{step}", ignore=shutil.ignore_patterns("out", "*.gguf"))
    sweep = load_sweep(sweep_file(place, adapters=["out/checkpoint-*", "good.gguf", "good.gguf"]))
    assert [Path(name).name for name in sweep.adapters] == [
        "checkpoint-3",
        "checkpoint-20",
        "checkpoint-100",
        "good.gguf",
    ]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"scale": [1]}, "unknown key 'scale', did you mean 'scales'"),
        ({"adapters": []}, "adapters"),
        ({"adapters": ["no-*.gguf"]}, "nothing matches no-*"),
        ({"scales": [0]}, "greater than 0"),
        ({"defaults": {"seed": 3}}, "seeds: [0, 1]"),
        ({"defaults": {"nuls": 3}}, "unknown key 'nuls', did you mean 'nulls'"),
        ({"engine": {"threads": -3}}, "threads"),
        ({"version": 2}, "version 1"),
        ({"folder": "x"}, "unknown key 'folder'"),
    ],
)
def test_a_wrong_sweep_is_told_in_a_line(place: Path, fields: dict[str, object], told: str) -> None:
    with pytest.raises(UserError) as caught:
        load_sweep(sweep_file(place, **fields))
    assert told in str(caught.value)


def test_a_suites_spec_in_place_of_a_sweep_is_told(place: Path) -> None:
    with pytest.raises(UserError, match="under suites:"):
        load_sweep(place / "small.yaml")


@pytest.mark.parametrize("count", [1, 3, 7, 40])
def test_shards_are_all_cells_once_and_alike_in_size(place: Path, count: int) -> None:
    cells = demo_cells(place, adapters=["good.gguf", "zero.gguf"], seeds=list(range(8)))
    shards = [shard_of(cells, number, count) for number in range(1, count + 1)]
    assert sorted(cell.key for shard in shards for cell in shard) == sorted(cell.key for cell in cells)
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert [shard_of(cells[::-1], number, count) for number in range(1, count + 1)] == shards


def cell(base: str, number: int) -> Cell:
    return Cell(f"{base}{number}", base, "a", 1.0, number, "check", None, {"base": base, "adapter": ""})  # type: ignore[arg-type]


def test_a_worker_keeps_to_the_base_that_it_has_loaded() -> None:
    waiting = Assignment([cell(base, number) for number in range(4) for base in "xyz"])
    taken: dict[str, list[str]] = {"one": [], "two": []}
    while len(waiting):
        for worker, bases in taken.items():
            if (found := waiting.take(worker)) is not None:
                bases.append(found.base)
    assert taken == {"one": list("xxxxzz"), "two": list("yyyyzz")}


def test_workers_share_a_base_rather_than_rest() -> None:
    waiting = Assignment([cell("x", number) for number in range(5)])
    found = [waiting.take(worker) for worker in ("one", "two", "three")]
    assert [each.seed for each in found if each] == [0, 1, 2]


def test_a_lost_workers_cell_goes_first_and_nothing_is_loaded_there() -> None:
    waiting = Assignment([cell("x", 0), cell("x", 1), cell("y", 2)])
    first = waiting.take("one")
    assert first is not None
    waiting.give_back(first, "one")
    assert waiting.take("two") == first
    assert len(waiting) == 2
    last = waiting.take("two"), waiting.take("two"), waiting.take("two")
    assert [each and each.seed for each in last] == [1, 2, None]
