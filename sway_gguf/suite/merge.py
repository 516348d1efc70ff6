"""Merges an adapter into a base and quantizes the result by llama.cpp. Sees to disk space and to whole files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.merge import PLAIN, merged_size, write_merged
from sway_gguf.artifacts.whole import scratch, whole
from sway_gguf.core.errors import UserError
from sway_gguf.engine.child import in_child
from sway_gguf.engine.llama import QUANT_TYPES, quantize

_HEADROOM = 1.02
TYPES = (*PLAIN, *QUANT_TYPES)


def merge(
    base: Path,
    adapter: LoraAdapter | None,
    out: Path,
    *,
    kind: str,
    scale: float = 1.0,
    threads: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write base + scale · update as `kind` to `out`, which appears whole or not at all.

    A quantized type is made from a float16 file beside it, which is removed.

    Raises:
        UserError: an unknown type, too little space on the disk, or a weight that the type cannot hold.
        EngineError: llama.cpp could not quantize.
    """
    if kind not in TYPES:
        raise UserError(f"unknown type {kind!r}; one of {', '.join(TYPES)}")
    plain = kind if kind in PLAIN else "F16"
    _check_space(base, out, plain, also_quantized=kind != plain)
    try:
        with whole(out) as partial:
            say(f"merging into {plain}")
            if kind == plain:
                write_merged(base, adapter, scale, plain, partial)
                return
            with scratch(partial) as floats:
                write_merged(base, adapter, scale, plain, floats)
                say(f"quantizing to {kind}")
                in_child(quantize, floats, partial, kind, threads)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error})") from error


def _check_space(base: Path, out: Path, plain: str, *, also_quantized: bool) -> None:
    size = merged_size(base, plain)
    needed = int(size * _HEADROOM * (1.6 if also_quantized else 1.0)) + (32 << 20)
    folder = out.absolute().parent
    if not folder.is_dir():
        raise UserError(f"{out}: the folder {folder} is not there; make it or choose another path")
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"{out}: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free; make room first")
