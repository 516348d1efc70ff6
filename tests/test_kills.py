"""A killed command leaves nothing half-written where its output should be; `make kills` tries many more moments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")
def test_killed_commands_leave_nothing_half_written_and_end_with_the_bytes_of_undisturbed_ones() -> None:
    """`run` has fifty kills of its own in test_kept_killed.py."""
    command = [sys.executable, "-m", "tests.kills", "quants", "merge", "sweep", "--kills", str(KILLS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["wrong"] for each in found] == [[], [], []], done.stderr
    assert [each["kills"] for each in found] == [KILLS] * 3
    assert done.returncode == 0
