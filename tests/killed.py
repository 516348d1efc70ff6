"""Runs a small suite of the demo over and over, and kills the process at random moments; one import for all of them.

    python -m tests.killed FOLDER SEED KILLS

Each attempt is a fork that a clock kills; the next goes on with what the store holds. Prints as JSON how many units a
run has, and of each chain of attempts how many were killed, whether its record is that of a run without a store, and
how many units were evaluated in it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.digest import remembering
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.result_json import record_of
from sway_gguf.engine import evaluate, llama_backend
from sway_gguf.engine.store import open_store
from sway_gguf.engine.store_digests import RememberedDigests
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import run

KINDS = ("applied", "delta_kl", "section_internalization", "leakage")


def small() -> Prepared:
    """A run of some dozens of units that takes a second or two, two views side by side."""
    defaults, engine = Defaults(nulls=5, items=3), EngineSettings(parallel=2)
    files = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
    return prepare(default_spec(*files, data=DEMO / "document.md", defaults=defaults, engine=engine, kinds=KINDS))


def without_times(prepared: Prepared, folder: Path | None) -> dict[str, Any]:
    """The record of a run with the store in `folder`, or with none."""
    with open_store(folder) as store, remembering(RememberedDigests(store.file)), prepared.opened(store) as backend:
        record = record_of(run(prepared, backend))
    del record["started_at"], record["timings"]
    return record


def counting(log: Path) -> None:
    """From now on, each unit that is evaluated adds a byte to `log` before it is."""
    computed = evaluate.evaluated

    def counted(*given: Any) -> Any:
        with log.open("ab") as file:
            file.write(b".")
        return computed(*given)

    llama_backend.evaluated = counted


def attempt(prepared: Prepared, folder: Path | None, record: Path, seconds: float | None = None) -> None:
    """A run in a process of its own, which writes its record as the last thing it does; a clock may end it before."""
    child = os.fork()
    if child == 0:
        if seconds is not None:
            threading.Thread(target=_end_after, args=(seconds,), daemon=True).start()
        found = json.dumps(without_times(prepared, folder))
        record.write_text(found)
        os._exit(0)
    os.waitpid(child, 0)


def _end_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, seed: int, kills: int) -> None:
    """Kill so often, in one chain of attempts after the other; the last one is let come to its end."""
    prepared, draw, log, alone = small(), random.Random(seed), folder / "evaluated", folder / "alone.json"
    counting(log)
    began = time.monotonic()
    attempt(prepared, None, alone)
    took, units = time.monotonic() - began, log.stat().st_size
    chains = []
    while kills:
        store, record, killed = folder / f"store-{len(chains)}", folder / f"record-{len(chains)}.json", 0
        log.write_bytes(b"")
        while kills and not record.exists():
            # Some die before the model is loaded, some while they write; a dozen make one run.
            attempt(prepared, store, record, draw.uniform(0.0, took / 6))
            killed, kills = killed + (not record.exists()), kills - (not record.exists())
        if not record.exists():
            attempt(prepared, store, record)
        same = record.read_bytes() == alone.read_bytes()
        chains.append({"killed": killed, "same": same, "evaluated": log.stat().st_size})
    print(json.dumps({"units": units, "chains": chains}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
