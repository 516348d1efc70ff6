"""The bound on spinning: set before OpenMP is loaded, told by the runtime itself; what a user set wins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sway_gguf.engine import waiting
from sway_gguf.engine.waiting import bound_spinning, one_blas_thread
from sway_gguf.material.packaged import DEMO

VARIABLES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY", "OMP_WAIT_POLICY")
OURS = {variable: bound for variable, bound, _ in waiting._BOUNDS}
ENGINE = "import sway_gguf.engine.llama as llama; print(llama.system_info())"
IN_A_CHILD = f"""
from pathlib import Path
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.deploy.deployment import Asked, measured
if __name__ == "__main__":
    measured(Path({str(DEMO / "base.f32.gguf")!r}), None, Asked((), (), ("Anna",)), EngineSettings())
"""


def spin_counts(code: str, folder: Path, **given: str) -> list[str]:
    """What GCC's runtime says of its spin count, once per process that loads it; skips where another is loaded."""
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, str(script)],
        env=clean | given | {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if not found and "OPENMP = 1" not in done.stdout:
        pytest.skip("this build of llama.cpp waits without GCC's runtime")
    return found


def test_the_runtime_is_loaded_with_the_bound(tmp_path: Path) -> None:
    assert spin_counts(ENGINE, tmp_path) == [OURS["GOMP_SPINCOUNT"]]


def test_what_the_user_set_wins(tmp_path: Path) -> None:
    assert spin_counts(ENGINE, tmp_path, GOMP_SPINCOUNT="777") == ["777"]
    assert spin_counts(ENGINE, tmp_path, OMP_WAIT_POLICY="passive") == ["0"]
    assert int(spin_counts(ENGINE, tmp_path, OMP_WAIT_POLICY="active")[0]) > 1_000_000


def test_a_deployment_is_measured_with_the_bound_in_its_own_process(tmp_path: Path) -> None:
    # The parent loads no engine: what is measured has a process to itself.
    assert spin_counts(IN_A_CHILD, tmp_path) == [OURS["GOMP_SPINCOUNT"]]


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({}, {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}),
        ({"GOMP_SPINCOUNT": "5"}, {"KMP_BLOCKTIME"}),
        ({"KMP_BLOCKTIME": "5"}, {"GOMP_SPINCOUNT"}),
        ({"KMP_LIBRARY": "turnaround"}, {"GOMP_SPINCOUNT"}),
        ({"OMP_WAIT_POLICY": "active"}, set()),
    ],
)
def test_each_runtime_is_bounded_unless_the_user_has_said_how_it_waits(given: dict[str, str], added: set[str]) -> None:
    environment = dict(given)
    bound_spinning(environment)
    assert environment == given | {name: OURS[name] for name in added}


def test_linear_algebra_has_one_thread_unless_the_user_gives_it_more() -> None:
    fresh: dict[str, str] = {}
    one_blas_thread(fresh)
    assert fresh == {"OPENBLAS_NUM_THREADS": "1"}
    for given in ({"OPENBLAS_NUM_THREADS": "4"}, {"OMP_NUM_THREADS": "3"}):
        kept = dict(given)
        one_blas_thread(kept)
        assert kept == given
