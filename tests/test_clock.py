"""A clock that is set back, or runs backwards, changes no number, loses no answer and holds nobody up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import SUITE

# What asks the system for the time of day is answered from here; clocks that only count go on as they are.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long calls;
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, at);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        at->tv_sec += atol(getenv("OFF_BY")) - atol(getenv("FALLS_BY")) * calls++;
    return code;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""
YEAR = 365 * 86_400
RUN = "from sway_gguf.cli.start import main; main()"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler to answer for the system's clock")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(SHIM, encoding="utf-8")
    words = [compiler, "-shared", "-fPIC", "-o", str(folder / "clock.so"), str(folder / "clock.c"), "-ldl"]
    subprocess.run(words, check=True)
    return folder / "clock.so"


def at(shim: Path, folder: Path, *words: str, off_by: int = 0, falls_by: int = 0) -> str:
    """Stdout of a command under such a clock."""
    known = {"LD_PRELOAD": str(shim), "OFF_BY": str(off_by), "FALLS_BY": str(falls_by)}
    known |= {"SWAY_GGUF_STORE": str(folder / "store"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=folder, env=os.environ | known, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, [line for line in done.stderr.splitlines() if "not used" in line]) == (0, []), done.stderr
    return done.stdout


def run(shim: Path, folder: Path, **clock: int) -> tuple[dict[str, Any], dict[str, float], str]:
    """A run's record without times, its timings, and when it says that it began."""
    (folder / "sway.yaml").write_text(SUITE, encoding="utf-8")
    record = json.loads(at(shim, folder, "run", "sway.yaml", "--json", "-", **clock))
    return record, record.pop("timings"), record.pop("started_at")


def test_a_clock_that_is_set_back_by_a_year_loses_no_answer(shim: Path, tmp_path: Path) -> None:
    before, evaluated, then = run(shim, tmp_path, off_by=YEAR)
    after, again, now = run(shim, tmp_path)
    assert then[:4] > now[:4]
    assert before == after
    assert (evaluated["tokens_from_store"], again["tokens"]) == (0, 0)
    assert evaluated["tokens"] > 0 < again["tokens_from_store"]
    assert again["run_seconds"] >= 0
    # What was read is stamped by the clock as it is now; by a stamp of the next year it would outlive all newer ones.
    assert ": 0 answers removed" not in at(shim, tmp_path, "store", "clear", "--unused-for", "0")


def test_a_clock_that_runs_backwards_changes_no_number(shim: Path, tmp_path: Path) -> None:
    backwards, timings, _ = run(shim, tmp_path, falls_by=3600)
    folder = tmp_path / "alone"
    folder.mkdir()
    assert backwards == run(shim, folder)[0]
    assert 0 <= timings["run_seconds"] < 60
