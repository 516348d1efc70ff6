"""Holds `convert` against llama.cpp's own convert_lora_to_gguf.py, family by family, bit by bit.

For each family a tiny random model and a LoRA on all of its linear layers are made by transformers and peft (as
`check_families.py` makes them, with one alpha for all, which is what that program reads). Both convert the folder, in
F32 and F16; every factor has to be the same in every bit, and so has alpha. The program comes from the source archive
of the installed llama-cpp-python, or from --source. Needs the `demo-build` extra.

    python -m scripts.check_converter [FAMILY…] [--source LLAMA_CPP]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from peft import LoraConfig

from scripts.build_llama_tools import unpacked_source
from scripts.check_families import ARCHITECTURES, drawn, random_model, write_gguf
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.peft import FAMILIES, read_peft

TYPES = ("F32", "F16")


def theirs(source: Path, config: Path, folder: Path, kind: str, out: Path) -> str:
    """Let llama.cpp's program convert; why it did not, or ""."""
    words = [str(source / "convert_lora_to_gguf.py"), str(folder), "--base", str(config), "--outtype", kind.lower()]
    done = subprocess.run(
        [sys.executable, *words, "--outfile", str(out)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def differing(one: LoraAdapter, other: LoraAdapter) -> list[str]:
    """Modules that are not the same in every bit, or in one alone."""
    mine, others = ({pair.module: pair for pair in each.pairs} for each in (one, other))
    wrong = sorted(mine.keys() ^ others.keys())
    for module in sorted(mine.keys() & others.keys()):
        ours, their = mine[module], others[module]
        same = (ours.a_type, ours.b_type, ours.shape) == (their.a_type, their.b_type, their.shape)
        if not (same and (ours.a == their.a).all() and (ours.b == their.b).all()):
            wrong.append(module)
    return wrong + (["alpha"] if one.alpha != other.alpha else [])


def check(family: str, source: Path, scratch: Path) -> bool:
    """Convert by both and print a line; whether all was the same."""
    model = random_model(family)
    base, folder, config = (scratch / f"{family}{end}" for end in (".gguf", "-peft", "-config"))
    write_gguf(model, family, base)
    model.config.architectures = [type(model).__name__]  # by which that program knows a model
    model.config.save_pretrained(config)
    drawn(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")).save_pretrained(folder)
    adapter, wrong = read_peft(folder, read_base(base)), list[str]()
    for kind in TYPES:
        mine, other = scratch / "mine.gguf", scratch / "theirs.gguf"
        if failed := theirs(source, config, folder, kind, other):
            print(f"{family:8} not compared, llama.cpp's converter: {failed}", flush=True)
            return False
        write_lora(replace(adapter, pairs=tuple(replace(p, a_type=kind, b_type=kind) for p in adapter.pairs)), mine)
        wrong += [f"{each} ({kind})" for each in differing(read_lora(mine), read_lora(other))]
    said = f"{len(wrong)} differ: {', '.join(wrong[:4])}" if wrong else f"every bit the same in {' and '.join(TYPES)}"
    print(f"{family:8} {len(adapter.pairs)} modules, {said}", flush=True)
    return not wrong


def main() -> None:
    """Check every family, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    parser.add_argument("--source", type=Path, help="a folder with llama.cpp's sources")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = given.source or unpacked_source(Path(scratch))
        found = [check(family, source, Path(scratch)) for family in given.families or (*FAMILIES, *ARCHITECTURES)]
    sys.exit(not all(found))


if __name__ == "__main__":
    main()
