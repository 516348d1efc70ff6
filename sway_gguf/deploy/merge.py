"""Merges an adapter into a base and quantizes the result by llama.cpp. Sees to disk space and to whole files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.importance import read_importance
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.merge import PLAIN, check_readable, merged_size, write_merged
from sway_gguf.artifacts.whole import scratch, whole
from sway_gguf.core.errors import UserError
from sway_gguf.engine.child import in_child
from sway_gguf.engine.quantizing import QUANT_TYPES, quantize

_HEADROOM = 1.02
TYPES = (*PLAIN, *QUANT_TYPES)


def default_type(base: BaseModel) -> str:
    """What an adapter is best merged into where nothing was asked for.

    F16 keeps a base of floats, or of 8 bits, and the update on it. Below 8 bits the steps of Q8_0 are so much finer
    than the base's own that the update survives in them, in half the space.
    """
    return "F16" if _bits(base.quantized or "F16") >= 8 else "Q8_0"


def _bits(kind: str) -> int:
    """Of a weight, as the type's name has them: 4 for Q4_K_M and MXFP4."""
    digits = re.search(r"\d+", kind)
    return int(digits[0]) if digits else 0


def _on_quantized(base: BaseModel, kind: str) -> str:
    """What merging into a quantized base cannot show or avoid; "" for a base of floats."""
    if not base.quantized:
        return ""
    again = "" if kind == "F32" else f", and {kind} rounds what is merged once more"
    if _bits(kind) <= _bits(base.quantized):
        again += " by steps as coarse as the base's own, which can wipe the update out (quants measures it)"
    return (
        f"{base.path} is quantized itself ({base.quantized}): its weights are dequantized, so what was lost when the "
        f"original was quantized stays lost{again}; {base.float_file} would be the better base"
    )


def merge(
    base: Path,
    adapter: LoraAdapter | None,
    out: Path,
    *,
    kind: str,
    scale: float = 1.0,
    threads: int = 0,
    template: str | None = None,
    importance: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write base + scale · update as `kind` to `out`, which appears whole or not at all.

    A quantized type is made from a float16 file beside it, which is removed. A base that is quantized itself is
    dequantized, tensor by tensor; without an adapter and with F32, that gives the very weights that it stands for.

    Args:
        base: of any type that the gguf package can turn into floats.
        adapter: that fits it; None writes the base alone.
        out: the file.
        kind: one of TYPES.
        scale: λ.
        threads: for quantizing; 0 for llama.cpp's own choice.
        template: a chat template in place of the base's own.
        importance: an importance matrix of the base, by which a quantized type weighs its errors.
        say: told what is being done.

    Raises:
        UserError: an unknown type, too little space on the disk, weights that cannot be turned into floats, or one
            that the type cannot hold.
        EngineError: llama.cpp could not quantize.
    """
    if kind not in TYPES:
        raise UserError(f"unknown type {kind!r}; one of {', '.join(TYPES)}")
    model = read_base(base)
    check_readable(model)
    weights = read_importance(importance, model) if importance else None
    plain = kind if kind in PLAIN else "F16"
    _check_space(base, out, plain, also_quantized=kind != plain)
    if remark := _on_quantized(model, kind):
        say(remark)
    if adapter and adapter.only_merged:
        say(adapter.only_merged)
    try:
        with whole(out) as partial:
            say(f"merging into {plain}")
            if kind == plain:
                write_merged(base, adapter, scale, plain, partial, template)
                return
            with scratch(partial) as floats:
                write_merged(base, adapter, scale, plain, floats, template)
                say(f"quantizing to {kind}")
                in_child(quantize, floats, partial, kind, threads, weights)
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
