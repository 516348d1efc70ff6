"""LoRA adapters in GGUF: factor pairs, scaling, and whether they fit a base.

Catches what llama.cpp would abort on, skip, or read as "no scaling". Does not draw nulls and does not load
anything into an engine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from gguf.constants import GGUFValueType
from numpy.typing import NDArray

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.core.errors import UserError
from sway_gguf.core.listing import few

Matrix = NDArray[np.float32]
ALPHA_KEY = "adapter.lora.alpha"
_SUFFIXES = (".lora_a", ".lora_b")
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_NOT_RUN = re.compile(r"\.(ssm_conv1d|shortconv\.conv|time_mix_([wavg]\d|decay_w\d|first|lerp\w*))\.weight$")
"""Weights of recurrent layers that llama.cpp multiplies without asking for adapters: one for them is loaded, and no
more."""
_SHOWN = 3
"""Mismatches in an error; an adapter of another base has hundreds."""


@dataclass(frozen=True)
class LoraPair:
    """The factors of one adapted tensor.

    For the token embedding llama.cpp stores A by row lookup, as [vocabulary, r]; here it is turned, so that
    for every pair the update is ΔW = (alpha / r) · B @ A. A mixture of experts has one more leading
    dimension, the expert.

    Attributes:
        module: name of the base tensor, such as "blk.0.attn_q.weight".
        a: [r, d_in], float32.
        b: [d_out, r], float32.
        a_type, b_type: ggml types in the file.
    """

    module: str
    a: Matrix
    b: Matrix
    a_type: str
    b_type: str

    @property
    def rank(self) -> int:
        """r."""
        return int(self.b.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the update, ([experts,] d_out, d_in)."""
        return (*self.b.shape[:-1], int(self.a.shape[-1]))

    @property
    def is_embedding(self) -> bool:
        """Whether the file holds A turned."""
        return self.module.endswith(_EMBEDDING)

    @property
    def finite(self) -> bool:
        """Whether both factors are free of NaN and infinity."""
        return bool(np.isfinite(self.a).all() and np.isfinite(self.b).all())

    @cached_property
    def upper(self) -> NDArray[np.float64]:
        """[experts,] r, r: R of the QR factorization of a B with as many rows as columns or more; kept, for all
        nulls want it."""
        return np.asarray(np.linalg.qr(self.b.astype(np.float64), mode="r"), np.float64)

    def inner(self, other: LoraPair) -> float:
        """⟨B₁A₁, B₂A₂⟩ (Frobenius) without forming the products: tr((B₁ᵀB₂)(A₂A₁ᵀ))."""
        b1, a1, b2, a2 = (each.astype(np.float64) for each in (self.b, self.a, other.b, other.a))
        return float(np.sum((b1.swapaxes(-1, -2) @ b2) * (a1 @ a2.swapaxes(-1, -2))))

    def product_norm(self) -> float:
        """Frobenius norm of B @ A, without forming the product."""
        return math.sqrt(max(0.0, self.inner(self)))


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """A LoRA adapter in memory.

    Attributes:
        path: where it came from.
        architecture: of the base it was made for.
        alpha: as stored; the scaling of a pair is alpha / its rank.
        pairs: sorted by module.
        skipped: tensors that llama.cpp would leave out without a word; a merge has those among `pairs`.
        base_name: the base named in the metadata, or "".
        in_file: whether `path` is a file that llama.cpp can load; a converted adapter lives in memory.
        said: which of several adapters in a folder it is, in a line; "" where there was nothing to choose.
    """

    path: Path
    architecture: str
    alpha: float
    pairs: tuple[LoraPair, ...]
    skipped: tuple[str, ...] = ()
    base_name: str = ""
    in_file: bool = True
    said: str = ""

    def scaling(self, pair: LoraPair) -> float:
        """alpha / r."""
        return self.alpha / pair.rank

    def update_norm(self, pair: LoraPair) -> float:
        """‖ΔW‖ (Frobenius) of one module at λ = 1."""
        return self.scaling(pair) * pair.product_norm()

    @property
    def only_merged(self) -> str:
        """That some of its pairs act in a merge alone, in a sentence; "" where all run."""
        names = [pair.module for pair in self.pairs if pair.module in self.skipped]
        if not names:
            return ""
        return (
            f"llama.cpp loads what the adapter has for {few(names)} and does not run it, and a merge applies it: "
            "by that the merged model differs from the adapter at run time"
        )

    @property
    def ranks(self) -> tuple[int, ...]:
        """Distinct ranks, ascending."""
        return tuple(sorted({pair.rank for pair in self.pairs}))


def read_lora(path: Path) -> LoraAdapter:
    """Read a LoRA adapter whole.

    Raises:
        UserError: not a LoRA, or one that llama.cpp would abort on, misread, or load in part.
    """
    file = GGUFFile(path)
    _check_metadata(file)
    norms = tuple(name for name in file.tensors if name.endswith("_norm.weight"))
    modules = sorted(_modules(file, set(norms)))
    _check_shapes(file, modules)
    pairs = tuple(_read_pair(file, module) for module in modules)
    return LoraAdapter(
        path=path,
        architecture=file.architecture,
        alpha=float(file.get(ALPHA_KEY)),
        pairs=pairs,
        skipped=(*norms, *filter(_NOT_RUN.search, modules)),
        base_name=file.text("general.base_model.0.name"),
    )


def check_finite(adapter: LoraAdapter, so: str) -> None:
    """Return where every factor is free of NaN and infinity.

    Args:
        adapter: to look through.
        so: what follows where one is not, in a few words.

    Raises:
        UserError: names the modules.
    """
    if broken := [pair.module for pair in adapter.pairs if not pair.finite]:
        raise UserError(f"{adapter.path}: NaN or infinity in {', '.join(broken[:3])}; {so}")


def mismatches(adapter: LoraAdapter, base: BaseModel) -> list[str]:
    """Every reason why `adapter` cannot run on `base`, one sentence each; empty when it fits."""
    return list(_mismatches(adapter, base))


def fits(adapter: LoraAdapter, base: BaseModel) -> None:
    """Raise one UserError that counts the mismatches and shows the first, or return."""
    found = mismatches(adapter, base)
    if found:
        more = "" if len(found) == 1 else f" ({len(found)} mismatches)"
        rest = "; and others, which inspect lists" if len(found) > _SHOWN else ""
        raise UserError(
            f"{adapter.path} does not fit {base.path}{more}: {'; '.join(found[:_SHOWN])}{rest}. "
            "Give the base that the adapter was trained on, or convert the adapter again for this one"
        )


def unrunnable(adapter: LoraAdapter, base: BaseModel) -> str:
    """Why llama.cpp ends the process over an adapter that fits and loads; "" where it runs.

    It finds adapters by the name of a weight. An embedding that is the output layer too has one name for both, and its
    factors stand as rows to be looked up, which cannot be multiplied by. A merge can still add them.
    """
    if _OUTPUT in base.tensors or not any(pair.is_embedding for pair in adapter.pairs):
        return ""
    return f"{adapter.path} adapts {_EMBEDDING}, which is this base's output layer too, and llama.cpp ends over that"


def _mismatches(adapter: LoraAdapter, base: BaseModel) -> Iterator[str]:
    if adapter.architecture != base.architecture:
        yield f"the adapter is for architecture {adapter.architecture!r}, the base is {base.architecture!r}"
    for pair in adapter.pairs:
        tensor = base.tensors.get(pair.module)
        if tensor is None:
            yield f"{pair.module} is not in the base"
        elif tensor.shape != (expected := pair.shape[::-1] if pair.is_embedding else pair.shape):
            yield f"{pair.module} is {_dims(expected)} in the adapter and {_dims(tensor.shape)} in the base"


def _dims(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _check_metadata(file: GGUFFile) -> None:
    path = file.path
    if file.kind != "adapter":
        raise UserError(
            f"{path}: this is a base model, but a LoRA adapter is wanted here; swap the two files, or check the path"
        )
    if (kind := file.text("adapter.type")) != "lora":
        raise UserError(f"{path}: adapter.type is {kind!r}; only 'lora' can be run")
    if not file.architecture:
        raise UserError(f"{path}: no general.architecture in its metadata; convert the adapter again")
    if file.value_type(ALPHA_KEY) is None:
        raise UserError(
            f"{path}: no {ALPHA_KEY}: llama.cpp would run it with no scaling at all; convert the adapter again"
        )
    if file.value_type(ALPHA_KEY) != GGUFValueType.FLOAT32:
        raise UserError(f"{path}: {ALPHA_KEY} is not a float32, llama.cpp would abort; convert the adapter again")
    alpha = float(file.get(ALPHA_KEY))
    if not math.isfinite(alpha) or alpha == 0:
        raise UserError(
            f"{path}: {ALPHA_KEY} is {alpha:g}: llama.cpp would run it with no scaling; convert the adapter again"
        )


def _modules(file: GGUFFile, skipped: set[str]) -> set[str]:
    names = [name for name in file.tensors if name not in skipped]
    strange = [name for name in names if not name.endswith(_SUFFIXES)]
    if strange:
        raise UserError(
            f"{file.path}: tensors that are no LoRA factors ({', '.join(strange[:4])}); llama.cpp would refuse it"
        )
    modules = {name.rsplit(".", 1)[0] for name in names}
    alone = [m for m in sorted(modules) if not all(m + suffix in file.tensors for suffix in _SUFFIXES)]
    if alone:
        raise UserError(f"{file.path}: one factor of the pair is missing for {', '.join(alone[:4])}; convert it again")
    if not modules:
        raise UserError(f"{file.path}: the adapter holds no LoRA tensors; there is nothing to test")
    return modules


def _check_shapes(file: GGUFFile, modules: Sequence[str]) -> None:
    """By the tensor table alone, so that nothing is read of factors that cannot be used."""
    for module in modules:
        a, b = (file.tensors[module + suffix].shape for suffix in _SUFFIXES)
        if len(a) == len(b) and len(a) in (2, 3) and a[:-2] == b[:-2]:
            rank = a[-1] if module.endswith(_EMBEDDING) else a[-2]
            if rank == b[-1]:
                continue
        raise UserError(
            f"{file.path}: the factors of {module} do not multiply: A is {_dims(a)}, B is {_dims(b)}; "
            "convert the adapter again"
        )


def _read_pair(file: GGUFFile, module: str) -> LoraPair:
    a, b = file.read(module + ".lora_a"), file.read(module + ".lora_b")
    if module.endswith(_EMBEDDING):
        a = a.swapaxes(-1, -2)
    types = (file.tensors[module + suffix].type for suffix in _SUFFIXES)
    return LoraPair(module, a, b, *types)
