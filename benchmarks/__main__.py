"""Runs the benchmarks, each in a process of its own, and gathers what they found.

Knows their names and order; nothing of what they measure.

    python -m benchmarks --markdown docs/benchmarks.md
    python -m benchmarks throughput overheads --quick
    python -m benchmarks lengths --keep figures --markdown docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.sides import Finding, common_options, given_to_all, left_out, machine, markdown, read, write_markdown

ALL = {
    "throughput": "packed scoring against llama.cpp alone",
    "reduction": "reducing logits",
    "divergence": "the KL table against llama-perplexity",
    "original": "the original's suite",
    "overheads": "what comes on top",
    "lengths": "from 1,000 to 100,000 tokens",
    "memory": "memory beyond llama.cpp's own",
    "generation": "replies side by side",
    "headers": "reading a header",
    "abreast": "views side by side",
    "fleet": "a sweep on two workers",
    "busy": "beside busy programs",
    "budget": "what --budget foresees",
    "whole": "the whole check",
    "shapes": "larger models",
}
"""The benchmarks that share `sides`, by module, with a title."""


def one(name: str, options: argparse.Namespace, folder: Path) -> list[Finding]:
    """What a benchmark found; where it ended before its time, that alone."""
    kept = folder / f"{name}.json"
    print(f"== {name}: {ALL[name]}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *given_to_all(options), "--json", str(kept)]
    code = subprocess.run(command, cwd=Path(__file__).parents[1]).returncode
    print(flush=True)
    return read(kept) if kept.exists() else [left_out(ALL[name], f"it ended with code {code}")]


def found_in(folder: Path) -> dict[str, list[Finding]]:
    """What benchmarks found that were kept there, in the order of all."""
    return {name: read(kept) for name in ALL if (kept := folder / f"{name}.json").exists()}


def main() -> None:
    """Run what was asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; all where none is named")
    parser.add_argument("--except", nargs="+", choices=ALL, default=[], dest="without", metavar="NAME")
    common_options(parser)
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a page, or the part of one that lies between its marks"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep what each finds there; the page holds all that is kept"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(ALL):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; they are {', '.join(ALL)}")
    about = machine()
    print(*(f"{name}: {value}" for name, value in about.items()), sep="\n", end="\n\n", flush=True)
    wanted = [name for name in options.names or ALL if name not in options.without]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            (folder / f"{name}.json").unlink(missing_ok=True)
        found = {name: one(name, options, folder) for name in wanted}
        shown = found_in(folder) | found
    if options.json:
        whole = {"machine": about, "findings": {name: [asdict(one) for one in all_] for name, all_ in found.items()}}
        options.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.markdown:
        write_markdown(options.markdown, markdown({ALL[name]: shown[name] for name in ALL if name in shown}, about))
    missed = [finding for findings in found.values() for finding in findings if finding.reached is False]
    print(f"{len(missed)} goals missed" + "".join(f"\n  {finding.line()}" for finding in missed))


if __name__ == "__main__":
    main()
