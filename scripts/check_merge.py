"""Holds `merge` against llama.cpp's own llama-export-lora: every weight of every merged tensor, bit by bit.

Both merge the same adapter into the same base: into F32 where the base is F32, else into F16, as that tool does. Their
file is then replayed as `inspect` does it: each tensor has to be the base with the whole update. Needs a C++ compiler
(`scripts/build_llama_tools.py` builds the tool). What is not adapted that tool copies as it stands, so it is left out.

    python -m scripts.check_merge [BASE ADAPTER]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from scripts.build_llama_tools import CannotBuildError, build
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.deploy.merge import merge
from sway_gguf.deploy.replay import replay
from sway_gguf.material.packaged import DEMO

UNITS = {"F16": np.uint16, "F32": np.uint32}


def exported(base: Path, adapter: Path, scale: float, out: Path) -> None:
    """Let llama.cpp's tool merge.

    Raises:
        CannotBuildError: there is no such tool, or it failed.
    """
    tool = build() / "llama-export-lora"
    words = ["-m", base, "--lora-scaled", f"{adapter}:{scale:g}", "-o", out, "-t", 1]
    done = subprocess.run([str(word) for word in (tool, *words)], capture_output=True, text=True, check=False)
    if done.returncode or not out.exists():
        raise CannotBuildError(f"llama-export-lora failed: {(done.stdout + done.stderr).strip().splitlines()[-1]}")


def compared(mine: Path, theirs: Path, adapter: LoraAdapter) -> str:
    """How the merged tensors of two files differ, in a line."""
    ours, other = GGUFFile(mine), GGUFFile(theirs)
    numbers, equal, farthest, apart = 0, 0, 0, 0.0
    for pair in adapter.pairs:
        kind = other.tensors[pair.module].type
        one, two = (file.read(pair.module).ravel() for file in (ours, other))
        as_stored = np.float16 if kind == "F16" else np.float32
        bits = [each.astype(as_stored).view(UNITS[kind]).astype(np.int64) for each in (one, two)]
        sign = 1 << (16 if kind == "F16" else 32) - 1
        placed = [np.where(each < sign, each, sign - each) for each in bits]  # in the order of the numbers
        steps = np.abs(placed[0] - placed[1])
        numbers, equal = numbers + steps.size, equal + int((steps == 0).sum())
        farthest, apart = max(farthest, int(steps.max())), max(apart, float(np.abs(one - two).max()))
    share = f"{100 * equal / numbers:.4f}% of {numbers:,} weights equal in every bit"
    # In F32 a sum that cancels to nearly nothing differs by many of its own units, and by none that matter.
    units = f"{farthest} units in the last place, " if kind == "F16" else ""
    most = f"the others off by {units}{apart:.1e} at most" if farthest else "all of them"
    return f"{len(adapter.pairs)} tensors, {share}, {most}"


def check(base: Path, adapter: Path, scale: float, scratch: Path) -> None:
    """Merge by both, and print what came of it."""
    lora, model = read_lora(adapter), read_base(base)
    kind = "F32" if model.tensors[lora.pairs[0].module].type == "F32" else "F16"
    mine, theirs = scratch / "ours.gguf", scratch / "theirs.gguf"
    merge(base, lora, mine, kind=kind, scale=scale)
    exported(base, adapter, scale, theirs)
    print(f"{base.name} + {adapter.name} at {scale:g}, {kind}: {compared(mine, theirs, lora)}", flush=True)
    found = replay(read_base(theirs), model, lora).tensors
    adapted = [each for each in found if each.adapted]
    states = Counter(f"{each.state}{', every bit' if each.exact else ''}" for each in adapted)
    scales = [each.scale for each in adapted if each.scale is not None]
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    print(f"    replayed: {told}; λ {min(scales):.6f} to {max(scales):.6f}", flush=True)
    for path in (mine, theirs):
        path.unlink()


def main() -> None:
    """The demo's files, or those that are named."""
    given = [Path(word) for word in sys.argv[1:]] or [DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for scale in (1.0, 0.5):
                check(given[0], given[1], scale, Path(scratch))
        except CannotBuildError as error:
            sys.exit(f"not compared: {error}")


if __name__ == "__main__":
    main()
