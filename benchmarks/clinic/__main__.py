"""Runs the clinic: every adapter on every form of its base through the product's commands; the original's rule beside.

Each visit is kept at once, with the versions and settings that made it, and one that is kept is not made again; so a
run that was stopped goes on.

    python -m benchmarks.clinic --json clinic.jsonl --base demo inn
    python -m benchmarks.clinic --json clinic.jsonl --only never-stops --again
    python -m benchmarks.clinic --json clinic.jsonl --markdown docs/clinic.md --minutes 0
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.clinic.bases import Kit, kits
from benchmarks.clinic.case import Case, named
from benchmarks.clinic.demo_cases import DEMO_CASES
from benchmarks.clinic.file_cases import FILES
from benchmarks.clinic.inn_cases import SOUND, TRAINING
from benchmarks.clinic.original import Theirs, installed, theirs
from benchmarks.clinic.real_cases import SMOLLM2_CASES, STORIES_CASES
from benchmarks.clinic.rows import Row, kept, read
from benchmarks.clinic.table import made_with, markdown, summary
from benchmarks.clinic.truth import Truth, truth
from benchmarks.clinic.visit import visit
from benchmarks.sides import processor, versions, write_markdown
from sway_gguf.core.errors import UserError

CASES: Mapping[str, Sequence[Case]] = {
    "demo": DEMO_CASES,
    "inn": (*SOUND, *TRAINING, *FILES),
    "stories": STORIES_CASES,
    "smollm2": SMOLLM2_CASES,
}
"""By base."""
_MODELS = Path(__file__).parents[3] / "shared" / "models"


def one(kit: Kit, case: Case, form: str, options: argparse.Namespace) -> Row:
    """Visit one adapter."""
    made = made_now(options)
    with tempfile.TemporaryDirectory(dir=kit.folder) as scratch:
        folder = Path(scratch)
        held = case.held(kit, form, folder / "held")
        start = time.monotonic()
        found = visit(held, folder, engine=options.words)
        took = time.monotonic() - start
        first = form == kit.forms[0]
        other = theirs(held) if options.original and first else Theirs("", "", "")
        true = truth(kit, case) if first else Truth()
    return Row(
        kit.name,
        form,
        case.name,
        case.fault,
        case.accepted,
        found.word,
        found.why,
        found.by,
        other.gate,
        other.check,
        other.why,
        round(took, 1),
        true.own_text,
        true.other_text,
        *made,
    )


def made_now(options: argparse.Namespace) -> tuple[str, str]:
    """Versions and settings of a visit that begins now."""
    others = ("llama-cpp-python", *(["dlm-sway"] if options.original else []), "numpy")
    return versions(*others), f"{' '.join(options.words) or 'no options'}; {processor()}"


def wanted(options: argparse.Namespace) -> Iterator[tuple[Kit, Case, str]]:
    """Visits in order: all adapters on the first form of their base, then on the second, and so on."""
    made = kits(options.folder, options.models)
    for name in options.base or CASES:
        try:
            kit = made[name]()
        except UserError as error:
            print(f"left out: {name} ({error})", flush=True)
            continue
        if kit is None:
            print(f"left out: {name}; --models names a folder that holds it", flush=True)
            continue
        cases = named(CASES[name]).values()
        for form in kit.forms[: options.forms]:
            for case in cases:
                if options.only and case.name not in options.only:
                    continue
                if kit.has(case.data):
                    yield kit, case, form
                elif form == kit.forms[0]:
                    print(f"left out: {name} {case.name}; --models names a folder with its texts", flush=True)


def as_labelled(rows: Sequence[Row]) -> list[Row]:
    """What was kept under today's labels, without cases that are no more."""
    cases = {(base, case.name): case for base, of in CASES.items() for case in of}
    known = ((row, cases[row.base, row.case]) for row in rows if (row.base, row.case) in cases)
    return [replace(row, fault=case.fault, accepted=case.accepted) for row, case in known]


def in_order(rows: Sequence[Row]) -> list[Row]:
    """As the cases stand, the sound ones first."""
    places = {(base, case.name): place for base, cases in CASES.items() for place, case in enumerate(cases)}
    return sorted(rows, key=lambda row: (not row.healthy, list(CASES).index(row.base), places[row.base, row.case]))


def main() -> None:
    """Visit what was asked for and is not kept yet; print a line for each, and what all of it comes to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", nargs="+", choices=CASES, metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="of this name")
    parser.add_argument("--forms", type=int, default=3, help="types of weights of each base")
    parser.add_argument("--folder", type=Path, default=Path(".sway-clinic"), help="for bases and trained adapters")
    parser.add_argument("--models", type=Path, default=_MODELS, help="holds stories260k and smollm2, where they are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep each visit there, a line each; goes on from it")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables between the page's marks")
    parser.add_argument("--again", action="store_true", help="make visits anew that other versions or settings made")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no visit after so long")
    parser.add_argument("--without-original", dest="original", action="store_false", help="do not ask the original")
    parser.add_argument("-t", "--threads", type=int, default=0, help="as the engine's -t; 0 is its default")
    options = parser.parse_args()
    options.original &= installed()
    options.words = ["-t", str(options.threads), "--parallel", "1"] if options.threads else []
    options.folder = options.folder.absolute()
    os.environ.setdefault("SWAY_GGUF_STORE", str(options.folder / "store"))
    rows = as_labelled(read(options.json)) if options.json else []
    today = made_now(options)
    there = {row.key for row in rows if row.made_with == today or not options.again}
    start = time.monotonic()
    for kit, case, form in wanted(options) if options.minutes > 0 else ():
        if time.monotonic() - start > 60 * options.minutes:
            print("time is over; the same command goes on", flush=True)
            break
        if (kit.name, form, case.name) in there:
            continue
        row = one(kit, case, form, options)
        print(row.line(), flush=True)
        rows = [other for other in rows if other.key != row.key] + [row]
        if options.json:
            kept(row, options.json)
    if rows:
        print(*summary(rows), *made_with(rows), sep="\n")
    if options.markdown and not rows:
        parser.error("there is no visit to write tables of; name the file of kept ones by --json")
    if options.markdown:
        write_markdown(options.markdown, markdown(in_order(rows)))


if __name__ == "__main__":
    main()
