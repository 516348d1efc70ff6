"""What benchmarks run on: the real model in three types, random adapters of any rank, and texts.

Knows files and shapes; does not run an engine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.real_model import fetched
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.deploy.merge import merge

LINEAR = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""The linear modules of a block."""


def base_option(parser: argparse.ArgumentParser) -> None:
    """--base."""
    parser.add_argument("--base", type=Path, metavar="GGUF", help="a model to use in place of the real demo's")


def base_of(options: argparse.Namespace) -> Path:
    """The model that was given, or the real demo's.

    Raises:
        UserError: the real demo's cannot be had.
    """
    return options.base or fetched()


def of_type(base: Path, kind: str, folder: Path) -> Path:
    """The same weights as another type: itself where it is of that one, else a file in `folder`."""
    if read_base(base).quantized == kind:
        return base
    path = folder / f"{base.stem}.{kind}.gguf"
    merge(base, None, path, kind=kind)
    return path


def settings_of(options: argparse.Namespace) -> EngineSettings:
    """The engine's settings from the common options."""
    return EngineSettings(threads=options.threads, gpu_layers=options.gpu_layers)


def random_adapter(base: BaseModel, rank: int, folder: Path, seed: int = 0) -> Path:
    """A LoRA on all linear modules, F16, as large as a light training makes it: a GGUF in `folder`."""
    rng = np.random.default_rng(seed)
    pairs = []
    for name, tensor in sorted(base.tensors.items()):
        if name.split(".")[-2] not in LINEAR:
            continue
        rows, columns = tensor.shape
        a = rng.standard_normal((rank, columns), np.float32) / np.float32(np.sqrt(columns))
        b = rng.standard_normal((rows, rank), np.float32) * np.float32(0.02)
        pairs.append(LoraPair(name, a, b, "F16", "F16"))
    path = folder / f"random-rank-{rank}.gguf"
    write_lora(LoraAdapter(path, base.architecture, 2.0 * rank, tuple(pairs)), path)
    return path
