"""How llama.cpp runs the candidate that ships. Knows the words of two programs; runs none of them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from itertools import chain, count
from pathlib import Path

from sway_gguf.choose.contenders import Contender
from sway_gguf.core.loras import Lora


def command_of(
    base: Path, contender: Contender, fixed: Sequence[Lora] = (), given: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Shell lines that run a candidate and what is loaded beside it in llama.cpp; PEFT folders are converted first.

    Args:
        base: of all.
        contender: the candidate.
        fixed: what is loaded beside it.
        given: adapters of all candidates; no converted file gets the name of one that was given.
    """
    asked = [*(each.path for each in fixed), contender.path, *given]
    taken = {base.name, *(path.name for path in asked if not path.is_dir())}
    files: dict[Path, str] = {}
    lines, words = list[str](), list[str]()
    last = contender.name.split(" at λ=")[0].replace("/", "-")
    named = [(each, each.path.resolve().name or "adapter") for each in fixed]
    for lora, name in [*named, (Lora(contender.path, contender.scale), last)]:
        if lora.path not in files:
            files[lora.path] = str(lora.path)
            if lora.path.is_dir():
                files[lora.path] = _free(name, taken)
                taken.add(files[lora.path])
                convert = ["sway-gguf", "convert", str(lora.path), "--base", str(base), "-o", files[lora.path]]
                lines.append(shlex.join(convert))
        path = files[lora.path]
        words += ["--lora", path] if lora.scale == 1.0 else ["--lora-scaled", f"{path}:{lora.scale:g}"]
    return (*lines, shlex.join(["llama-server", "-m", str(base), *words]))


def _free(name: str, taken: Collection[str]) -> str:
    """The first of name.gguf, name-2.gguf, … that is not taken."""
    ways = chain([f"{name}.gguf"], (f"{name}-{number}.gguf" for number in count(2)))
    return next(way for way in ways if way not in taken)
