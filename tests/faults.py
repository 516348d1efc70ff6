"""Runs commands where the machine fails them: full and read-only disks, short memory, no home, nobody reading.

    python -m tests.faults FOLDER [--only NAME…]

Each command is the command line in a fork, with one import for all of them. Disks are small tmpfs mounts of this very
process (start it by `unshare -Urm`, or as root); where it cannot mount, those faults are told as left out. Prints a
line of JSON for each: the fault, the command, its exit code, what it said, and which files it left.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import llama_cpp  # noqa: F401 (as all of the next: imported once, for all forks)
import scipy.stats  # noqa: F401

import sway_gguf.deploy.quants
import sway_gguf.report.html
import sway_gguf.report.terminal
import sway_gguf.suite.run  # noqa: F401
from sway_gguf.cli.main import main as command_line
from sway_gguf.material.packaged import DEMO
from tests.short import DOCUMENT
from tests.sweep_files import demo_files, sweep_file

BASE, HEALTHY = str(DEMO / "base.f32.gguf"), str(DEMO / "healthy.lora.gguf")
TEXT = ("--data", str(DOCUMENT), "--general", str(DEMO / "general.txt"))
SUITE = f"""version: 1
models: {{base: {{base: {BASE}}}, ft: {{base: {BASE}, adapter: {HEALTHY}}}}}
data: {DEMO / "document.md"}
defaults: {{nulls: 5, items: 3}}
engine: {{threads: 1, parallel: 1}}
suite: [{{kind: applied}}]
"""
RESULTS = Path(__file__).parent / "results"
FILLER = "filler"
Change = Callable[[], object]
"""What is done to a process before its command begins."""


@dataclass(frozen=True)
class Place:
    """Where commands run: `inputs` holds what they read, `out` is where they are to write."""

    inputs: Path
    out: Path

    def words(self, command: str) -> list[str]:
        """The words of a command: `{in}` and `{out}` are these folders."""
        known = {"in": self.inputs, "out": self.out, "base": BASE, "adapter": HEALTHY, "text": " ".join(TEXT)}
        return command.format(**known).split()


def ran(
    words: Sequence[str], folder: Path, changes: Sequence[Change] = (), stdout: int | None = None
) -> dict[str, Any]:
    """A command in a fork, in `folder`; its exit code (below zero for a signal) and what it said."""
    files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 (closed below)
    said = [file.fileno() for file in files]
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.dup2(said[0] if stdout is None else stdout, 1)
        os.dup2(said[1], 2)
        sys.stdout, sys.stderr = (open(number, "w", 1, encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        sys.argv = ["sway-gguf", *words]
        sys.modules["__main__"] = ModuleType("__main__")  # or each child of it would import all of this module again
        for change in changes:
            change()
        try:
            command_line()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [os.pread(each, 1 << 20, 0).decode("utf-8", "replace") for each in said]
    for file in files:
        file.close()
    return {"code": code, "out": texts[0], "err": texts[1]}


@contextmanager
def disk(folder: Path, free: int, size: int = 64 << 20) -> Iterator[Path]:
    """A disk of its own with so many bytes left."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        with (folder / FILLER).open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(folder).free - free)))
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def files_in(folder: Path) -> list[str]:
    """What stands there, by its path from the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != FILLER)


WRITERS = {
    "null": "null {base} {adapter} --seed 1 -o {out}/null.gguf",
    "merge": "merge {base} {adapter} --type F16 -o {out}/m.gguf",
    "merge Q4_0": "merge {base} {adapter} --type Q4_0 -t 1 -o {out}/m.gguf",
    "init": "init {base} {adapter} {text} -o {out}/sway.yaml",
    "run": "run {in}/sway.yaml --json {out}/r.json --html {out}/r.html --no-store",
    "report": "report {in}/result.json -o {out}/r.html",
    "quants": "quants {base} {adapter} {text} --types F16 -t 1 --work {out}/work --no-store",
    "sweep": "sweep {in}/sweep.yaml --results {out}/out --no-store",
}
"""Commands that write, with all they write in {out}."""
READERS = {
    "run": "run {in}/sway.yaml --json -",
    "inspect": "inspect {base} {adapter} --json",
    "probes": "probes --json",
    "check": "check {base} {adapter} --dry-run",
}


def believing_in_room() -> None:
    """A disk that fills up behind the look at it."""
    shutil.disk_usage = lambda folder: mock.Mock(free=1 << 40)  # type: ignore[assignment]


def homeless() -> None:
    """No variable names a home, and the system does not know the user, as in some containers."""
    for name in ("HOME", "XDG_CACHE_HOME", "SWAY_GGUF_CACHE"):
        os.environ.pop(name, None)

    def unknown(uid: int) -> Any:
        raise KeyError(uid)

    pwd.getpwuid = unknown


def memory_of(headroom: int) -> Change:
    """Room for so many bytes more than this process has mapped already."""

    def limit() -> None:
        mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + headroom, resource.RLIM_INFINITY))

    return limit


def environment(**variables: str) -> Change:
    """Variables of the process."""
    return lambda: os.environ.update(variables)


def disk_full(place: Place) -> Iterator[dict[str, Any]]:
    """Outputs on a disk with no room, then a store on one."""
    for name, command in WRITERS.items():
        with disk(place.out, free=4 << 10):
            done = ran(place.words(command), place.inputs, [believing_in_room])
            yield {"command": name, **done, "left": files_in(place.out)}
    with disk(place.out, free=64 << 10):
        yield {"command": "store", **ran(place.words("run {in}/sway.yaml --json - --store {out}/store"), place.inputs)}
    with disk(place.out, free=0):
        full_cache = [environment(SWAY_GGUF_CACHE=str(place.out / "cache"))]
        yield {"command": "cache", **ran(place.words("run {in}/sway.yaml --json -"), place.inputs, full_cache)}


def read_only(place: Place) -> Iterator[dict[str, Any]]:
    """Outputs on a disk that may only be read, a store on one, and then inputs and working folder."""
    with disk(place.out, free=32 << 20):
        shutil.copytree(place.inputs, place.out / "inputs")
        subprocess.run(["mount", "-o", "remount,ro", str(place.out)], check=True)
        for name, command in WRITERS.items():
            yield {"command": name, **ran(place.words(command), place.inputs)}
        store = "run {in}/sway.yaml --json - --store {out}/store"
        yield {"command": "store", **ran(place.words(store), place.inputs)}
        for name, command in READERS.items():
            done = ran(Place(place.out / "inputs", place.out).words(command), place.out / "inputs")
            yield {"command": f"{name} there", **done}


def memory_short(place: Place) -> Iterator[dict[str, Any]]:
    """More and more room beyond what the imports took; at last enough for whatever each thread reserves at once."""
    for mebibytes in (1, 12, 40, 72, 4096):
        done = ran(place.words("run {in}/sway.yaml --json - --no-store"), place.inputs, [memory_of(mebibytes << 20)])
        yield {"command": f"run +{mebibytes} MiB", **done}


def no_home(place: Place) -> Iterator[dict[str, Any]]:
    """Nobody's home."""
    for name, command in READERS.items():
        yield {"command": name, **ran(place.words(command), place.out, [homeless]), "left": files_in(place.out)}
    for name in ("store info", "demo --real"):
        yield {"command": name, **ran(name.split(), place.out, [homeless]), "left": files_in(place.out)}


def nobody_reads(place: Place) -> Iterator[dict[str, Any]]:
    """A pipe whose reader has gone."""
    outputs = "run {in}/sway.yaml --json {out}/r.json --no-store"
    for name, command in {**READERS, "run to a file": outputs, "report": "report {in}/result.json"}.items():
        read, write = os.pipe()
        os.close(read)
        yield {"command": name, **ran(place.words(command), place.inputs, stdout=write), "left": files_in(place.out)}
        os.close(write)


def narrow(place: Place) -> Iterator[dict[str, Any]]:
    """A terminal of twenty columns."""
    shown = {
        "run": "run {in}/sway.yaml --no-store",
        "inspect": "inspect {base} {adapter}",
        "probes": "probes",
        "probe": "probes delta_kl",
        "report": "report {in}/result.json",
        "help": "check --help",
        "plan": "check {base} {adapter} {text} --dry-run",
    }
    for name, command in shown.items():
        yield {"command": name, **ran(place.words(command), place.inputs, [environment(COLUMNS="20")])}


FAULTS = {
    "disk full": disk_full,
    "read-only": read_only,
    "memory short": memory_short,
    "no home": no_home,
    "nobody reads": nobody_reads,
    "narrow": narrow,
}
MOUNTS = ("disk full", "read-only")


def prepared(folder: Path) -> Place:
    """The inputs of all commands, and an empty folder for what they write."""
    place = Place(folder / "inputs", folder / "out")
    place.inputs.mkdir()
    place.out.mkdir()
    (place.inputs / "sway.yaml").write_text(SUITE, encoding="utf-8")
    shutil.copy(RESULTS / "v1-healthy.json", place.inputs / "result.json")
    demo_files(place.inputs)
    sweep_file(place.inputs, suites=["small.yaml"])
    return place


def main() -> None:
    """Run what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=FAULTS, default=list(FAULTS))
    given = parser.parse_args()
    os.environ["SWAY_GGUF_CACHE"] = str(given.folder / "cache")
    os.environ.pop("SWAY_GGUF_STORE", None)
    for fault in given.only:
        scratch = given.folder / fault.replace(" ", "-")
        scratch.mkdir()
        try:
            for found in FAULTS[fault](prepared(scratch)):
                print(json.dumps({"fault": fault, **found}), flush=True)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            if fault not in MOUNTS:
                raise
            print(json.dumps({"fault": fault, "left out": str(error)}), flush=True)


if __name__ == "__main__":
    main()
