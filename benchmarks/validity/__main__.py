"""Runs the study, part by part, and writes its tables and figures.

Knows the parts and their sizes; nothing of what they measure.

    python -m benchmarks.validity --quick
    python -m benchmarks.validity --json docs/validity.jsonl --markdown docs/statistics.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.validity.alarms import learned_nothing, learned_otherwise
from benchmarks.validity.cells import Cells
from benchmarks.validity.power import power
from benchmarks.validity.seeds import gates
from benchmarks.validity.sessions import session_of
from benchmarks.validity.subjects import Subject, demo, real, stories
from benchmarks.validity.types import types

Part = Callable[[Cells, Subject, argparse.Namespace], None]
PARTS: dict[str, Part] = {
    "nothing": learned_nothing,
    "otherwise": learned_otherwise,
    "power": power,
    "gates": gates,
    "types": types,
}
"""By name: adapters that learned nothing; that learned otherwise; power; the gate by other seeds; types of a base."""
ALSO_ON = {"nothing": ("stories260k", "SmolLM2"), "types": ("SmolLM2",)}
"""Bases beside the demo's on which a part is made where they are asked for."""
WHOLE = {"adapters": 400, "trainings": 5, "seeds": 20, "original_every": 4}
QUICK = {"adapters": 21, "trainings": 1, "seeds": 5, "original_every": 7}


def main() -> None:
    """Measure what is asked for and not there yet; write what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="little of everything, within ten minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="results, a line each; what stands there is kept")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="a page with places for tables, and its figures")
    parser.add_argument("--stories", type=Path, metavar="FOLDER", help="with stories260K.f32.gguf and its text")
    parser.add_argument("--real", action="store_true", help="also on SmolLM2, with few items")
    parser.add_argument("--adapters", type=int, help="that learned nothing, on the demo's base")
    parser.add_argument("--trainings", type=int, help="of each sort")
    parser.add_argument("--seeds", type=int, help="of the gate, per adapter")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS", help="end between two results, to go on later")
    parser.add_argument("--write", action="store_true", help="measure nothing more")
    options = parser.parse_args()
    for name, size in (QUICK if options.quick else WHOLE).items():
        if getattr(options, name, None) is None:
            setattr(options, name, size)
    cells = Cells(options.json, options.stop_after)
    subjects = [demo()]
    subjects += [stories(options.stories)] if options.stories else []
    subjects += [real()] if options.real else []
    cells.begin(session_of(options))
    for part in () if options.write else options.only:
        for subject in subjects:
            if subject.name in ("demo", *ALSO_ON.get(part, ())):
                PARTS[part](cells, subject, options)
    if options.markdown:
        from benchmarks.validity.page import write

        write(options.markdown, cells)


if __name__ == "__main__":
    main()
