"""Factors of experts, one by one or packed into one matrix by a trainer, as the stacks that llama.cpp multiplies with.

An expert that was not adapted gets factors of zeros, which change nothing. Knows names and shapes; not what a GGUF is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, Matrix
from sway_gguf.core.errors import UserError

_EXPERT = re.compile(r"^(?P<stack>.+\.experts)\.(?P<number>\d+)\.(?P<part>[^.]+)$")
_PACKED = re.compile(r"^(?P<stack>.+\.experts)(\.base_layer)*$")
_FUSED, _DOWN = ".gate_up_proj", "ffn_down_exps.weight"
_MLX_STACK = (
    (re.compile(r"\.block_sparse_moe\.switch_mlp\."), ".block_sparse_moe.experts."),
    (re.compile(r"\.switch_mlp\."), ".experts."),
)


@dataclass(frozen=True, slots=True)
class Factors:
    """Of one module, or of a stack of them: ΔW = scaling · B @ A.

    Attributes:
        a: [r, d_in], of experts [experts, r, d_in].
        b: [d_out, r], of experts [experts, d_out, r].
        scaling: s.
    """

    a: Matrix
    b: Matrix
    scaling: float


def stacked(folder: Path, factors: Mapping[str, Factors], experts: int) -> dict[str, Factors]:
    """The same modules, those of experts together under the name without their number.

    Where ranks differ the smaller ones are filled up with zeros; where scalings do, the quotient goes into B.

    Raises:
        UserError: an expert that the base does not have, or shapes that do not stack.
    """
    found: dict[str, Factors] = {}
    groups: dict[str, dict[int, Factors]] = {}
    for module, each in factors.items():
        match = _EXPERT.match(module)
        if match is None:
            found |= _named_apart(_plain(module), each)
            continue
        number = int(match["number"])
        if number >= experts:
            raise UserError(f"{folder}: {module}, but the base has {experts} experts; it is for another base")
        groups.setdefault(f"{match['stack']}.{match['part']}", {})[number] = each
    for name, group in groups.items():
        if name in found:
            raise UserError(f"{folder}: {name} is there as a stack and expert by expert; save one adapter alone")
        found[name] = _stack(folder, name, group, experts)
    return found


def unpacked(
    folder: Path, factors: Mapping[str, tuple[Matrix, Matrix]], base: BaseModel
) -> dict[str, tuple[Matrix, Matrix]]:
    """The same modules, with what peft's target_parameters pack taken apart.

    There one A [experts · r, d_in] and one B [d_out, r · experts] stand for a parameter of all experts: the rows of an
    expert lie together in A, while each of its columns in B is followed by those of the others. Their name does not
    say which parameter it is, so the shape does.

    Raises:
        UserError: shapes that are no parameter of the base's experts.
    """
    down = next((info.shape for name, info in base.tensors.items() if name.endswith(_DOWN)), None)
    found = {}
    for module, (a, b) in factors.items():
        match = _PACKED.match(module)
        if match is None or down is None or a.ndim != 2:
            found[module] = (a, b)
            continue
        experts, width, hidden = down
        if a.shape[0] % experts:
            raise UserError(f"{folder}: {module} has rank {a.shape[0]} over {experts} experts; it is for another base")
        each_a = a.reshape(experts, -1, a.shape[1])
        each_b = np.ascontiguousarray(b.reshape(b.shape[0], -1, experts).transpose(2, 0, 1))
        ends = (a.shape[1], b.shape[0])
        if ends == (width, 2 * hidden):
            found[match["stack"] + _FUSED] = (each_a, each_b)
        elif ends == (hidden, width):
            found[f"{match['stack']}.down_proj"] = (each_a, each_b)
        else:
            raise UserError(
                f"{folder}: {module} maps {ends[0]} to {ends[1]}, the base's experts {width} to twice {hidden} and "
                f"{hidden} to {width}; it is for another base"
            )
    return dict(sorted(found.items()))


def _named_apart(module: str, factors: Factors) -> dict[str, Factors]:
    """Of gate_up_proj, as a config names it, both tensors of llama.cpp: the first half of the outputs is the gate."""
    if not module.endswith(_FUSED) or factors.b.ndim != 3:
        return {module: factors}
    stack, halves = module.removesuffix(_FUSED), np.split(factors.b, 2, axis=1)
    return {
        f"{stack}.{name}": replace(factors, b=np.ascontiguousarray(half))
        for name, half in zip(("gate_proj", "up_proj"), halves, strict=True)
    }


def _plain(module: str) -> str:
    for pattern, name in _MLX_STACK:
        module = pattern.sub(name, module)
    return module


def _stack(folder: Path, name: str, group: Mapping[int, Factors], experts: int) -> Factors:
    ends = {(each.a.shape[1], each.b.shape[0]) for each in group.values()}
    if len(ends) > 1:
        raise UserError(f"{folder}: the experts of {name} have other shapes than each other; save the adapter again")
    columns, rows = next(iter(ends))
    rank, scaling = max(each.a.shape[0] for each in group.values()), next(iter(group.values())).scaling
    a, b = np.zeros((experts, rank, columns), np.float32), np.zeros((experts, rows, rank), np.float32)
    for number, each in group.items():
        own = each.a.shape[0]
        a[number, :own], b[number, :, :own] = each.a, each.b
        if each.scaling != scaling:
            with np.errstate(over="ignore", invalid="ignore"):
                b[number] *= np.float32(each.scaling / scaling)
    return Factors(a, b, scaling)


def adapted_experts(adapter: LoraAdapter) -> dict[str, Sequence[int]]:
    """The experts whose update is not zero, by module; modules of experts alone."""
    found: dict[str, Sequence[int]] = {}
    for pair in adapter.pairs:
        if pair.b.ndim == 3:
            alive = np.any(pair.a, axis=(1, 2)) & np.any(pair.b, axis=(1, 2))
            found[pair.module] = [int(number) for number in np.flatnonzero(alive)]
    return found
