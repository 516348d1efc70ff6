"""Times of batches: written as they are taken, summed up slowest first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.core.trace import BatchTime, is_trace, read_trace
from sway_gguf.material.packaged import DEMO

BATCHES = (
    BatchTime("base", "Rolling", 100, 4, 0.5),
    BatchTime("tuned", "Rolling", 100, 4, 0.75),
    BatchTime("base", "Generate", 1, 1, 0.125),
    BatchTime("base", "Rolling", 50, 2, 0.25),
)
TEXT = "".join(batch.line() + "\n" for batch in BATCHES)


def test_sums_are_by_view_and_kind_and_the_slowest_comes_first() -> None:
    trace = read_trace(TEXT, "t", most=2)
    assert [(total.name, total.batches, total.tokens, total.seconds) for total in trace.views] == [
        ("base", 3, 151, 0.875),
        ("tuned", 1, 100, 0.75),
    ]
    assert [(total.name, total.seconds) for total in trace.kinds] == [("Rolling", 1.5), ("Generate", 0.125)]
    assert [batch.seconds for batch in trace.slowest] == [0.75, 0.5]
    assert not trace.cut


def test_what_a_killed_run_left_is_read_but_its_cut_line() -> None:
    trace = read_trace(TEXT[:-10], "t")
    assert trace.cut
    assert trace.whole.batches == len(BATCHES) - 1


@pytest.mark.parametrize("text", ["", "nonsense\n", "{}\n", TEXT + "[]\n"])
def test_no_trace_is_told_in_a_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^t.*run --trace"):
        read_trace(text, "t")
    assert is_trace(text) == text.startswith(TEXT)


def test_check_writes_a_trace_that_the_command_sums_up(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    files = [str(DEMO / "base.f32.gguf"), str(DEMO / "healthy.lora.gguf")]
    run = ["check", *files, "--nulls", "0", "--trace", str(path), "--json", str(tmp_path / "r.json")]
    assert CliRunner().invoke(cli, run, catch_exceptions=False).exit_code == 0
    asked = CliRunner().invoke(cli, ["trace", str(path), "--json"], catch_exceptions=False)
    found = json.loads(asked.stdout)
    tokens = json.loads((tmp_path / "r.json").read_text())["timings"]["tokens"]
    assert {total["name"] for total in found["views"]} >= {"base", "base (rerun)", "tuned"}
    assert found["whole"]["tokens"] >= tokens > 0
    assert "slowest batches" in CliRunner().invoke(cli, ["trace", str(path)]).stdout
