"""A run that is killed at any moment goes on where it was, and nobody can tell from its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 50
AHEAD = 3
"""Views at work, and one, of which a run that ends early may have begun units that it does not need."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")
def test_fifty_kills_change_no_bit_and_lose_a_unit_of_each_view_at_work_at_most(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.killed", str(tmp_path), "0", str(KILLS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert sum(chain["killed"] for chain in found["chains"]) == KILLS
    assert found["units"] > 30
    for chain in found["chains"]:
        assert chain["same"]
        assert found["units"] <= chain["evaluated"] <= found["units"] + 2 * chain["killed"] + AHEAD
