"""The gate asked again and again on the same files by other seeds: how often does it change its mind, and on what?

A seed draws other nulls, another panel and other shuffled controls. Knows which adapters are asked; the gate is the
product's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.validity import power
from benchmarks.validity.cells import Cells
from benchmarks.validity.power import ITEMS, Setting, Trainings
from benchmarks.validity.remembering import Remembering
from benchmarks.validity.subjects import Subject
from sway_gguf.core.views import DESIGNS
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.run import run
from sway_gguf.verdict.gate import decide

PACKAGED = ("healthy", "random", "overtrained")
WEAK = ("1 step", "4 steps", "4 steps in 30 times the noise")
"""Of one training, by the names of the power study."""
KINDS = (*power.KINDS, "external_perplexity")
"""Of the packaged ones. Weak ones are asked what the study of power asks them: the base does not read their unrelated
dialogues well enough to tell of damage, and a gate that this leaves open could not change its mind."""
_AT_ONCE = 10
"""Seeds of one cell."""


def outcomes(ready: Prepared, backend: Remembering, seeds: range) -> Counter[str]:
    """How often the gate says what of the adapter, with the diagnosis, over runs by these seeds."""
    found: Counter[str] = Counter()
    for seed in seeds:
        result = run(ready.with_defaults(seed=seed), backend)
        found[f"{decide(result).outcome}, {result.diagnosis}"] += 1
    return found


def gates(cells: Cells, subject: Subject, options: argparse.Namespace) -> None:
    """A cell for ten seeds of each adapter, all adapters by the same ten first."""
    adapters = [*PACKAGED, *WEAK]
    names = [f"{name}, seeds from {first}" for first in range(0, options.seeds, _AT_ONCE) for name in adapters]
    with subject.opened() as backend, tempfile.TemporaryDirectory() as scratch:
        take = _taker(subject, backend, Path(scratch))
        for name in cells.wanted("gates", names):
            adapter, _, first = name.partition(", seeds from ")
            seeds = range(int(first), min(int(first) + _AT_ONCE, options.seeds))
            cells.add("gates", name, adapter=adapter, outcomes=dict(outcomes(take(adapter), backend, seeds)))


def _taker(subject: Subject, backend: Remembering, folder: Path) -> Callable[[str], Prepared]:
    """The run of an adapter by its name; the backend holds it from then on."""
    trainings = Trainings(subject, backend, folder)
    packaged = subject.prepared([DEMO / "document.md"], kinds=KINDS, items=ITEMS)
    taken: dict[str, Prepared] = {}

    def take(name: str) -> Prepared:
        if name not in taken:
            taken.clear()
            if name in PACKAGED:
                ready = packaged.with_adapter(DEMO / f"{name}.lora.gguf")
            else:
                ready = trainings.run_of(Setting(0, name, "template", DESIGNS[0]))
            backend.swap(ready.stack)
            taken[name] = ready
        return taken[name]

    return take
