"""How the engine runs. Knows llama.cpp's own flag names; holds values only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, field_validator

from sway_gguf.core.errors import UserError
from sway_gguf.core.strict import StrictModel

_DEFAULT_CONTEXT = 2048
_SMALLEST_CONTEXT = 4
_INT32 = 2**31 - 1
"""Where llama.cpp's integers end."""
_SMALL_MODEL = 50_000_000
"""Weights below which one thread is the default."""


class Workers(NamedTuple):
    """Views that are answered side by side: how many, and the threads of each."""

    number: int
    threads: int


class EngineSettings(StrictModel):
    """How llama.cpp runs, by its own names: the `engine` section of a spec, and what a backend is opened with.

    Attributes:
        threads: -t; 0 takes one for a model of fewer than 50 million weights, else half of the logical
            processors where there are more than four, else all.
        context: -c, the longest text evaluated in one piece, tokens; 0 takes 2048 or what the model was
            trained on, whichever is less. Longer texts are scored in windows.
        batch: -b, tokens per call.
        ubatch: -ub, tokens per step within a call.
        gpu_layers: -ngl; layers on the GPU, -1 for all.
        kv_type: type of the KV cache.
        flash_attention: -fa.
        streams: most texts evaluated side by side.
        parallel: --parallel, views answered side by side, each by threads of its own; 0 takes as many as there are
            threads for them. One on a GPU.
        embedder: a GGUF embedding model; None averages the base's own hidden states.
        rpc: HOST:PORT of llama.cpp's RPC servers, which hold the base's layers and compute them; an experiment.
    """

    threads: int = Field(default=0, ge=0, le=4096, description="-t; 0 chooses")
    context: int = Field(default=0, ge=0, le=_INT32, description="-c, longest text in one piece; 0 chooses")
    batch: int = Field(default=2048, ge=16, le=_INT32, description="-b")
    ubatch: int = Field(default=512, ge=16, le=_INT32, description="-ub")
    gpu_layers: int = Field(default=0, ge=-1, le=_INT32, description="-ngl; -1 for all")
    kv_type: Literal["f32", "f16", "bf16", "q8_0"] = Field(
        default="f16", description="type of the KV cache: f32, f16, bf16 or q8_0"
    )
    flash_attention: bool = Field(default=False, description="-fa")
    streams: int = Field(default=32, ge=1, le=256, description="texts evaluated side by side")
    parallel: int = Field(default=0, ge=0, le=256, description="--parallel, views side by side; 0 chooses")
    embedder: Path | None = Field(
        default=None, description="a GGUF embedding model; without one the base's hidden states are averaged"
    )

    rpc: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="experimental: HOST:PORT of llama.cpp's RPC servers, which hold the layers",
    )

    @field_validator("rpc")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            host, _, port = each.partition(":")
            if not host.strip() or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
                raise ValueError(f"{each!r} is no HOST:PORT, such as 192.168.1.7:50052")
        if len(set(value)) < len(value):
            raise ValueError("one server stands there twice")
        return value

    @property
    def layers(self) -> int:
        """Layers that are not computed on this machine's processors, -1 for all; with RPC servers all by default."""
        return -1 if self.rpc and not self.gpu_layers else self.gpu_layers

    @field_validator("context")
    @classmethod
    def _long_enough(cls, value: int) -> int:
        if 0 < value < 16:
            raise ValueError("a context of fewer than 16 tokens leaves no room to score anything")
        return value

    def thread_count(self, parameters: int) -> int:
        """Threads to use on this machine for a model of so many weights.

        llama.cpp's threads wait for each other after every operation. For a small model the waits are longer than the
        work as soon as anything else runs on the machine, even where their spinning is bounded.
        """
        return self.threads or (1 if parameters < _SMALL_MODEL else usual_threads())

    def workers(self, most: int) -> Workers:
        """How to answer views side by side where memory holds `most` of them at a time.

        Views do not wait for each other, so all threads are put to use even where a single view runs on one.
        """
        threads = self.threads or usual_threads()
        count = 1 if self.layers else max(1, min(self.parallel or threads, most))
        return Workers(count, max(1, threads // count))

    def width(self, trained: int) -> int:
        """Tokens evaluated in one piece by a model trained on `trained`; 0 where its file does not say.

        Raises:
            UserError: too few for any text.
        """
        held = min(self.context or _DEFAULT_CONTEXT, trained if trained > 0 else _DEFAULT_CONTEXT)
        if held < _SMALLEST_CONTEXT:
            raise UserError(
                f"a context of {held} tokens holds no text; give -c {_SMALLEST_CONTEXT} or more, and a model whose "
                "context_length is no less"
            )
        return held


def usual_threads() -> int:
    """Half of the logical processors where there are more than four: the user's machine does other things too."""
    logical = os.cpu_count() or 1
    return logical // 2 if logical > 4 else logical
