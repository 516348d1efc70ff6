"""Opens a backend whose layers lie on RPC servers, once these were seen to compute what this machine does.

The base alone answers a few prompts here and there. Equal bits are the best; where the kernels are others, rounding is,
and a refusal follows what goes beyond it. Knows backends and answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.stack import Adapted
from sway_gguf.core.answers import LogProbs
from sway_gguf.core.divergence import js
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.queries import NextToken
from sway_gguf.core.views import BASE, BASE_RERUN, View
from sway_gguf.engine.footprint import free_memory
from sway_gguf.engine.identity import Identity
from sway_gguf.engine.keeping import Store
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.rpc import Agreement, check_servers
from sway_gguf.engine.rpc_guard import guard

_TEXT = (
    "Every spring the river rises and floods the low meadows. The people of the village move their sheep to the hills, "
    "mend the old stone walls and wait. In May the water falls, and what it leaves behind is the best soil for miles: "
    "dark, wet and full of life. 12 + 30 = 42, and def add(a, b): return a + b"
)
_WORDS = (1, 2, 4, 8, 16, 32, 48, 60)
"""Where the text is cut: short prompts and longer ones, read as one."""
LEAST_TOLERANCE, FLOORS = 1e-4, 4.0
"""Mean divergence, nats, that is taken for rounding: so much, or so many times what rounding does to this base here."""
LARGE_TOLERANCE = 1e-2
"""The same where the base does not fit into memory, and its rounding is not measured."""
_LIKELY = np.log(1e-3)
"""Log-probability from which on a token counts in the greatest difference; of rarer ones it says nothing."""


class RemoteBackend(LlamaBackend):
    """A base whose layers lie on RPC servers.

    What these are nobody tells. So answers are kept under the bits that they gave in the trial: those of other servers,
    or of the same with another build, are not theirs unless they give the same bits.
    """

    agreement: Agreement | None = None

    def agrees(self, found: Agreement) -> None:
        """Take note that the servers compute what this machine does."""
        self.agreement = found
        self._identity = self._identified()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What came of the trial."""
        return (self.agreement.said,) if self.agreement else ()

    def layout(self) -> dict[str, Any]:
        """How batches are laid out, and who computes, for the record."""
        return super().layout() | ({"rpc": self.agreement.record} if self.agreement else {})

    def _identified(self) -> Identity:
        elsewhere = self.agreement.fingerprint if self.agreement else ""
        return Identity(self.base, self.settings, self.stack, elsewhere)


class _Mapped(LlamaBackend):
    """The same on this machine, with weights as they lie in the file and on the servers."""

    repack = False


def opened(
    base: Path | BaseModel, adapter: Path | Adapted | None, settings: EngineSettings, store: Store | None
) -> RemoteBackend:
    """A backend on the servers that `settings` name; arguments as of `LlamaBackend`.

    Raises:
        UserError: a server cannot be used, or computes something else.
        EngineError: llama.cpp could not load the base.
    """
    check_servers(settings.rpc)
    header = read_base(base) if isinstance(base, Path) else base
    here, floor = _here(header, settings)
    guard(settings.rpc)
    backend = RemoteBackend(header, adapter, settings, store)
    try:
        with backend.unkept():
            there = _rows(backend, BASE)
        guard(settings.rpc)  # By now the connection stands.
        backend.agrees(agreement(settings.rpc, here, there, floor))
    except BaseException:
        backend.close()
        raise
    return backend


def agreement(
    servers: tuple[str, ...], here: Sequence[LogProbs], there: Sequence[LogProbs], floor: float | None
) -> Agreement:
    """How the two compare.

    Args:
        servers: that gave `there`.
        here, there: [V] log-probabilities for each prompt, of this machine and of the servers.
        floor: mean divergence of this machine from itself by rounding; None where it was not measured.

    Raises:
        UserError: they differ by more than rounding.
    """
    divergence = _divergence(here, there)
    tolerance = LARGE_TOLERANCE if floor is None else max(LEAST_TOLERANCE, FLOORS * floor)
    if not divergence <= tolerance:
        raise UserError(
            f"--rpc {', '.join(servers)}: the base answers otherwise there than on this machine: mean divergence "
            f"{divergence:.2g} nats over {len(here)} prompts, where {tolerance:.2g} is taken for rounding; use servers "
            "of the same llama.cpp build"
        )
    difference = max(_greatest(one, other) for one, other in zip(here, there, strict=True))
    equal = all(np.array_equal(one, other) for one, other in zip(here, there, strict=True))
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(row, "<f4").tobytes() for row in there)).hexdigest()
    return Agreement(servers, len(here), equal, difference, divergence, tolerance, digest)


def _divergence(here: Sequence[LogProbs], there: Sequence[LogProbs]) -> float:
    """The mean; infinite where a number is none."""
    if any(np.isnan(row).any() for row in (*here, *there)):
        return float("inf")
    return float(np.mean([js(one, other) for one, other in zip(here, there, strict=True)]))


def _greatest(one: LogProbs, other: LogProbs) -> float:
    likely = (one > _LIKELY) | (other > _LIKELY)
    return float(np.abs(one[likely].astype(np.float64) - other[likely]).max())


def _here(base: BaseModel, settings: EngineSettings) -> tuple[list[LogProbs], float | None]:
    """What this machine computes, and how far its own rounding carries; weights stay mapped, as the servers have them.

    A base that is larger than the free memory is read from the disk once, and its rounding is left out.
    """
    own = settings.model_copy(update={"rpc": (), "gpu_layers": 0})
    size, free = sum(path.stat().st_size for path in base.shards or (base.path,)), free_memory()
    with _Mapped(base, None, own) as backend:
        rows = _rows(backend, BASE)
        if free is not None and size > free:
            return rows, None
        again = _rows(backend, BASE_RERUN)
    return rows, _divergence(rows, again)


def _rows(backend: LlamaBackend, view: View) -> list[LogProbs]:
    words = _TEXT.split(" ")
    prompts = [NextToken(" ".join(words[:count])) for count in _WORDS]
    kept = [prompt for prompt in prompts if backend.count_tokens(prompt) <= backend.width] or prompts[:1]
    try:
        with backend.open(view) as opened_view:
            return [np.asarray(row, np.float32) for row in opened_view.answer(kept)]
    except NonFiniteError as error:
        where = f"--rpc {', '.join(backend.settings.rpc)}" if backend.settings.rpc else str(backend.base.path)
        raise UserError(f"{where}: the base gives numbers that are not finite ({error})") from None
