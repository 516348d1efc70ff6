"""Damaged inputs of every kind end in success or in one line for the user; `make fuzz` tries many more."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations import ODD, spoiled_bytes, spoiled_text, spoiled_tree

INPUTS, PARTS = 500, 4


@pytest.mark.skipif(sys.platform == "win32", reason="the limits of time and memory are those of POSIX")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_input_succeeds_or_is_refused_in_one_line(part: int) -> None:
    size = INPUTS // PARTS
    words = ["-m", "tests.fuzz", "--count", str(size), "--start", str(part * size)]
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, timeout=300, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert not found, f"{len(found)} findings, the first: {found[0]}; python -m tests.fuzz --only NUMBER --keep FOLDER"
    assert done.stdout.startswith(f"{size} inputs, 0 findings"), done.stderr[-2000:]
    assert done.returncode == 0


def test_a_tree_is_spoiled_by_seed_and_left_as_it_was() -> None:
    tree = {"a": [1, {"b": "x"}], "c": None}
    before = repr(tree)
    found = [repr(spoiled_tree(tree, random.Random(seed))) for seed in range(200)]
    assert found == [repr(spoiled_tree(tree, random.Random(seed))) for seed in range(200)]
    assert repr(tree) == before
    assert len(set(found)) > 150
    assert any(isinstance(value, float) and math.isnan(value) for value in ODD)


def test_text_and_bytes_are_spoiled_by_seed() -> None:
    text = json.dumps({"a": 1}, indent=1)
    assert len({spoiled_text(text, random.Random(seed)) for seed in range(200)}) > 100
    assert len({spoiled_bytes(text.encode(), random.Random(seed)) for seed in range(200)}) > 100
    assert spoiled_bytes(b"", random.Random(0)) == b""
