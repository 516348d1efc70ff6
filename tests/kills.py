"""Kills `run`, `quants`, `merge` and `sweep` at random moments, looks at what is left, and lets them come to their end.

    python -m tests.kills [run quants merge sweep] [--kills 50] [--seed 0]

Each attempt is the command line in a fork, which is ended by SIGKILL at a moment drawn from a part of the time that an
undisturbed one takes; the next goes on in the same folder. Behind each kill no output may be there that is not whole.
Where an attempt comes to its end, its outputs have to be those of the undisturbed command, and nothing else may be
left. Prints a line of JSON for each command; exit code 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import llama_cpp  # noqa: F401 (as all of the next: imported once, for all forks)
import pyarrow.parquet
import scipy.stats  # noqa: F401

import sway_gguf.deploy.quants
import sway_gguf.report.html
import sway_gguf.report.terminal
import sway_gguf.suite.run  # noqa: F401
from sway_gguf.cli.held import held_by
from sway_gguf.cli.main import main as command_line
from sway_gguf.fleet.table import read_rows
from sway_gguf.material.packaged import DEMO
from tests.short import DOCUMENT
from tests.sweep_files import demo_files, sweep_file

BASE, HEALTHY = str(DEMO / "base.f32.gguf"), str(DEMO / "healthy.lora.gguf")
TEXT = ("--data", str(DOCUMENT), "--general", str(DEMO / "general.txt"))
QUANTS_IN = ("--work", "work", "--store", "store")
SUITE = f"""version: 1
models: {{base: {{base: {BASE}}}, ft: {{base: {BASE}, adapter: {HEALTHY}}}}}
data: {DEMO / "document.md"}
defaults: {{nulls: 5, items: 3}}
engine: {{threads: 1, parallel: 2}}
suite: [{{kind: applied}}, {{kind: delta_kl}}, {{kind: section_internalization}}, {{kind: leakage}}]
"""
COST = {"load_seconds", "peak_memory", "prompt_speed", "generation_speed"}
WHEN = {"started_at", "timings"}
OURS = re.compile(r"\.lock|\..*\.sway-part|answers\.sqlite(-wal|-shm)?|speeds\.json")
"""Names of what is no output: locks, files in the making, the store and what is remembered of speeds."""


@dataclass(frozen=True)
class Killed:
    """A command to kill.

    Attributes:
        words: after `sway-gguf`, to be run in its folder.
        outputs: what it writes there, each with what is to be the same in the end, from its path.
        grows: the output that gets a line at a time.
        part: of an undisturbed command's time from which the moments are drawn: a small one where work is kept.
        leaves: pattern of what else may stand in its folder behind a kill, and not in the end.
        prepare: puts its inputs into the folder.
    """

    words: tuple[str, ...]
    outputs: dict[str, Callable[[Path], Any]]
    grows: str = ""
    part: float = 1.0
    leaves: str = "(?!)"
    prepare: Callable[[Path], object] = lambda folder: None


def record(path: Path) -> Any:
    """A result without what tells when and how fast."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name not in WHEN}


def page(path: Path) -> bool:
    """Whether a page is whole, from its first mark to its last; it tells times."""
    return held_by(path) == "result"


def matrix(path: Path) -> Any:
    """A survival matrix without what each file cost."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return found | {"rows": [{key: each for key, each in row.items() if key not in COST} for row in found["rows"]]}


def table(path: Path) -> Any:
    """A sweep's rows by cell, each with its result."""
    said: list[str] = []
    rows = read_rows(path.parent, said.append)
    assert not said, said
    return {row.key: [row.diagnosis, row.headline, row.values, record(path.parent / row.result)] for row in rows}


def rows_in(path: Path) -> int:
    """How many rows a Parquet table holds, which only a whole one tells."""
    return int(pyarrow.parquet.read_metadata(path).num_rows)


CASES = {
    "run": Killed(
        ("run", "sway.yaml", "--json", "r.json", "--html", "r.html", "--store", "store"),
        {"r.json": record, "r.html": page},
        part=0.5,
        prepare=lambda folder: (folder / "sway.yaml").write_text(SUITE, encoding="utf-8"),
    ),
    "quants": Killed(
        ("quants", BASE, HEALTHY, *TEXT, "--types", "F16,Q4_0", "-t", "1", *QUANTS_IN, "--json", "q.json"),
        {"q.json": matrix},
        part=0.4,
        leaves=r"[0-9a-f]{16}-.*\.gguf",
    ),
    "merge": Killed(
        ("merge", BASE, HEALTHY, "--type", "Q4_K_M", "-t", "1", "-o", "m.gguf"), {"m.gguf": Path.read_bytes}
    ),
    "sweep": Killed(
        ("sweep", "sweep.yaml", "--results", "out"),
        {"out/table.jsonl": table, "out/table.parquet": rows_in, "out/grid.html": page},
        grows="out/table.jsonl",
        part=0.5,
        prepare=lambda folder: (demo_files(folder), sweep_file(folder, seeds=list(range(6)), suites=["small.yaml"])),
    ),
}


def attempt(words: tuple[str, ...], folder: Path, seconds: float | None) -> int:
    """Run a command in `folder` and end it after so many seconds; its exit code, or -9."""
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.environ["SWAY_GGUF_CACHE"] = str(folder / "cache")
        said = os.open(folder.parent / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = ["sway-gguf", *words]
        sys.modules["__main__"] = ModuleType("__main__")  # or each child of it would import all of this module again
        try:
            command_line()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        os._exit(70)
    if seconds is not None:
        time.sleep(seconds)
        # Nobody waited for it yet, so this is no other process.
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def found_in(case: Killed, folder: Path) -> dict[str, Any]:
    """What each output holds that is there; what is wrong with one raises."""
    return {name: read(folder / name) for name, read in case.outputs.items() if (folder / name).exists()}


def stands(found: Any, wanted: Any, grows: bool) -> bool:
    """Whether an output is what it is in the end; one that grows may hold less, and nothing else."""
    return all(wanted.get(key) == each for key, each in found.items()) if grows else bool(found == wanted)


def left_in(case: Killed, folder: Path, inputs: set[Path], *, ended: bool) -> Iterator[str]:
    """Files that should not be there."""
    for path in set(folder.rglob("*")) - inputs:
        name = path.relative_to(folder)
        known = str(name) in case.outputs or name.parts[:2] == ("out", "cells") or OURS.fullmatch(path.name)
        making = path.name.endswith(".sway-part") or re.fullmatch(case.leaves, path.name)
        if path.is_file() and ((making or not known) if ended else not (known or making)):
            yield f"{name} is left"


def prepared(case: Killed, folder: Path) -> set[Path]:
    """Make the folder with the command's inputs."""
    folder.mkdir()
    case.prepare(folder)
    return set(folder.rglob("*"))


def killed_often(name: str, kills: int, seed: int, scratch: Path) -> dict[str, Any]:
    """Kill a command so often; what came of it."""
    case, draw = CASES[name], random.Random(f"{name} {seed}")
    alone = scratch / "alone"
    prepared(case, alone)
    began = time.monotonic()
    code = attempt(case.words, alone, None)
    took, wanted = time.monotonic() - began, found_in(case, alone)
    if code or len(wanted) < len(case.outputs):
        return {"command": name, "wrong": [f"undisturbed it ended with {code}"]}
    moments: list[float] = []
    making, chains, wrong = 0, 0, list[str]()
    while len(moments) < kills or not chains:
        folder = scratch / f"chain-{chains}"
        inputs = prepared(case, folder)
        chains, over = chains + 1, False
        while not over:
            seconds = draw.uniform(0.0, took * case.part) if len(moments) < kills else None
            code = attempt(case.words, folder, seconds)
            over = code != -signal.SIGKILL
            if not over:
                moments.append(seconds or 0.0)
                making += any(folder.rglob("*.sway-part"))
            wrong += left_in(case, folder, inputs, ended=over)
            try:
                found = found_in(case, folder)
            except Exception as error:
                wrong.append(f"behind a kill at {seconds} s: {type(error).__name__}: {error}")
                continue
            if over and (code or found != wanted):
                wrong.append(f"in the end (code {code}) not what an undisturbed command gives")
            halves = [name for name, holds in found.items() if not stands(holds, wanted[name], name == case.grows)]
            wrong += [f"{name} is not whole behind a kill" for name in halves]
        shutil.rmtree(folder)
    spread = {"from": round(min(moments, default=0), 2), "to": round(max(moments, default=0), 2)}
    return {
        "command": name, "seconds undisturbed": round(took, 2), "kills": len(moments), "moments": spread,
        "with files in the making": making, "came to its end": chains, "wrong": wrong,
    }  # fmt: skip


def main() -> None:
    """Kill what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(CASES)}")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    failed = False
    for name in given.commands or CASES:
        with tempfile.TemporaryDirectory() as scratch:
            found = killed_often(name, given.kills, given.seed, Path(scratch))
        print(json.dumps(found), flush=True)
        failed = failed or bool(found["wrong"])
    sys.exit(failed)


if __name__ == "__main__":
    main()
