"""What benchmarks rest on: their arithmetic, how findings are kept, and that both sides are given the same."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as runner
from benchmarks import divergence, shapes, sides
from benchmarks.models import LINEAR, random_adapter
from benchmarks.original import write_peft
from benchmarks.sides import (
    Finding,
    Goal,
    faster,
    in_turns,
    left_out,
    markdown,
    number_text,
    ratio_of,
    read,
    versions,
    write_markdown,
)
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.reduce import changes
from sway_gguf.material.packaged import DEMO

FOLDER = Path(runner.__file__).parent
BASE = DEMO / "base.f32.gguf"


def test_a_ratio_is_of_medians_and_its_spread_of_rounds() -> None:
    assert ratio_of([2.0, 4.0, 9.0], [1.0, 4.0, 3.0]) == (4.0 / 3.0, (1.0, 3.0))


def test_speed_is_tokens_over_the_median_and_better_above_one() -> None:
    found = faster("scoring", [2.0, 1.0, 4.0], [4.0, 4.0, 4.0], 100, "the other", Goal("≥", 1.5))
    assert (found.ours, found.other, found.ratio, found.spread) == (50.0, 25.0, 2.0, (1.0, 4.0))
    assert found.reached


def test_every_other_round_runs_backwards_and_the_first_warms_up() -> None:
    order: list[str] = []
    times = in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert "".join(order) == "abbaab"
    assert [len(found) for found in times.values()] == [2, 2]


@pytest.mark.parametrize(
    ("goal", "number", "reached"),
    [("≥", 0.97, True), ("≥", 0.969, False), ("≤", 0.12, True), ("<", 0.12, False), ("=", 0.12, True)],
)
def test_a_goal_is_reached_or_missed(goal: str, number: float, reached: bool) -> None:
    bound = Goal(goal, 0.97 if goal == "≥" else 0.12)  # type: ignore[arg-type]
    assert Finding("x", number, goal=bound).reached is reached
    assert Finding("x", 5.0, ratio=number, goal=bound).reached is reached


def test_what_was_left_out_neither_reaches_nor_misses_its_goal() -> None:
    assert left_out("the other tool", "it is not here").reached is None
    assert left_out("the other tool", "it is not here").line() == "the other tool: left out (it is not here)"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (12345.6, "12,346"), (41.83, "41.8"), (0.9731, "0.973"), (0.0469, "0.0469"), (2.4e-4, "2.40e-04")],
)
def test_numbers_have_the_digits_that_count(number: float, text: str) -> None:
    assert number_text(number) == text


def test_the_product_is_named_with_the_last_commit_that_changed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "product"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setattr(sides.sway_gguf, "__file__", str(folder / "__init__.py"))
    assert versions("numpy").split(", ")[:2] == [f"sway-gguf {version('sway-gguf')}", f"numpy {version('numpy')}"]
    if not shutil.which("git"):
        return

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "product")
    git("commit", "-q", "-m", "first")
    first = git("log", "-1", "--format=%h", "--abbrev=10").strip()
    (tmp_path / "page.md").touch()
    git("add", "page.md")
    git("commit", "-q", "-m", "of something else")
    assert versions().startswith(f"sway-gguf {version('sway-gguf')} at {first}, python ")
    (folder / "new.py").touch()
    assert f" at {first}, changed, " in versions()


def test_findings_come_back_from_their_file(tmp_path: Path) -> None:
    whole = Finding("a", 1.0, "s", "other", 2.0, 0.5, (0.4, 0.6), Goal("<", 1.0), "note")
    path = tmp_path / "found.json"
    path.write_text(json.dumps([asdict(whole), asdict(left_out("b", "why"))]), encoding="utf-8")
    assert read(path) == [whole, left_out("b", "why")]


def test_figures_stand_between_the_marks_of_a_page_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n", encoding="utf-8")
    text = markdown({"part": [Finding("a | b", 1.0, "s", goal=Goal("<", 2.0))]}, {"processor": "one"})
    write_markdown(page, text)
    written = page.read_text(encoding="utf-8")
    assert written.startswith("before\n<!-- figures -->\n\n- processor: one\n\n**part**\n")
    assert written.endswith("| a \\| b | 1.000 s |  |  | < 2.000 | reached |\n\n<!-- end of figures -->\nafter\n")


def test_the_page_of_the_documentation_has_a_place_for_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    original = (FOLDER.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    page.write_text(original, encoding="utf-8")
    write_markdown(page, "FIGURES")
    written = page.read_text(encoding="utf-8")
    assert "FIGURES" in written
    assert written.partition("<!-- figures -->")[0] == original.partition("<!-- figures -->")[0]


def test_every_benchmark_that_tells_findings_is_run_by_all() -> None:
    telling = {
        path.stem
        for path in FOLDER.glob("*.py")
        if "measured" in {node.name for node in ast.parse(path.read_text("utf-8")).body if hasattr(node, "name")}
    }
    assert telling == set(runner.ALL)


def test_windows_are_those_of_llama_perplexity() -> None:
    first, second = divergence.windows(list(range(10, 20)), 4, bos=1)
    # Positions 2 and 3 have logits; 3 has no token after it within the window.
    assert (first.tokens, first.first_output, first.targets) == ((1, 11, 12), 2, (13,))
    assert (second.tokens, second.first_output, second.targets) == ((1, 15, 16), 2, (17,))
    assert divergence.windows([5, 6, 7, 8], 4, bos=None)[0].tokens == (5, 6, 7)


def test_rounding_as_llama_perplexity_does_it_moves_a_divergence_by_less_than_a_step() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(6, 3000)).astype(np.float32) * 3
    other = base + rng.normal(size=(6, 3000)).astype(np.float32) * np.float32(0.2)
    exact, coarse = changes(base, other, [0] * 6), divergence.rounded(base, other, [0] * 6)
    assert 0 < np.abs(exact.kl - coarse.kl).max() < 16 / 65535
    assert np.abs(exact.base - coarse.base).max() < 16 / 65535
    assert exact.other == pytest.approx(coarse.other, abs=1e-5)


def test_a_peft_folder_of_an_adapter_is_read_as_that_adapter(tmp_path: Path) -> None:
    base = read_base(BASE)
    adapter = read_adapter(random_adapter(base, 4, tmp_path), base)
    write_peft(adapter, base, tmp_path)
    again = read_adapter(tmp_path, base)
    assert len(adapter.pairs) == base.blocks * len(LINEAR)
    for one, other in zip(adapter.pairs, again.pairs, strict=True):
        assert one.module == other.module
        assert (one.a == other.a).all()
        assert (one.b == other.b).all()
        assert adapter.scaling(one) == again.scaling(other)


def test_a_shape_of_random_blocks_is_a_model_that_llama_cpp_runs(tmp_path: Path) -> None:
    path = tmp_path / "shape.gguf"
    shapes.write_shape(path, shapes.Shape(64, 2, 4, 2, 96, tied=False), BASE)
    base = read_base(path)
    vocabulary = read_base(BASE).vocabulary
    assert base.quantized == "Q4_0"
    # Embedding and output, norms, and in each block: q and o, the narrower k and v, three of the feed-forward part.
    block = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96 + 2 * 64
    assert base.parameters == 2 * vocabulary * 64 + 64 + 2 * block
    with LlamaBackend(path, None) as backend, backend.as_base() as view:
        assert np.isfinite(view.rolling_logprob("Anna lives in the house.").logprobs).all()


def test_what_was_kept_is_read_in_the_order_of_all(tmp_path: Path) -> None:
    for name in ("whole", "throughput"):
        (tmp_path / f"{name}.json").write_text(json.dumps([asdict(Finding(name, 1.0, "s"))]), encoding="utf-8")
    kept = runner.found_in(tmp_path)
    assert list(kept) == ["throughput", "whole"]
    assert kept["whole"] == [Finding("whole", 1.0, "s")]
