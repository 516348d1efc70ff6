"""What quantizing cost a base, read back from the JSON that `quants` wrote. Knows that record; measures nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.survival import SurvivalMatrix
from sway_gguf.core.toll import Costs

_ADAPTER = TypeAdapter(SurvivalMatrix)
_MOST_BYTES = 16 << 20
_AGAIN = "write it by sway-gguf quants BASE ADAPTER --data FILE --json FILE, where BASE is {whose} in F16, BF16 or F32"


class Told(NamedTuple):
    """What quantizing cost a base, and what is not sure of it, in a line; "" where all is."""

    costs: Costs
    remark: str


def read_costs(path: Path, parameters: int, vectors: str) -> Told:
    """What quantizing costs a base of so many weights.

    The base may be a quantized file of the one that was measured: it has as many weights, and the same vectors.

    Args:
        path: what `quants` wrote.
        parameters: weights of the base.
        vectors: digest of its vectors (`artifacts/kin.py`); "" where it has none.

    Raises:
        UserError: it is no such file, holds no costs, or is of another base.
    """
    raw = parse_json(read_utf8(path, "a survival matrix", _MOST_BYTES), str(path), "give the JSON of sway-gguf quants")
    again, again_here = (_AGAIN.format(whose=whose) for whose in ("the model", "this model"))
    try:
        matrix = _ADAPTER.validate_python(raw)
    except ValidationError:
        raise UserError(f"{path}: this is no survival matrix; {again}") from None
    if not matrix.costs:
        raise UserError(
            f"{path}: it does not say what quantizing costs its base; {again}, and the first of --types one of these"
        )
    if max(matrix.costs.values()) <= 0:
        raise UserError(f"{path}: quantizing took nothing from its base, which gives no measure; leave --quants out")
    if matrix.parameters != parameters:
        raise UserError(
            f"{path}: measured on a base of {matrix.parameters:,} weights, and this one has {parameters:,}; "
            f"{again_here}"
        )
    if matrix.vectors and vectors and matrix.vectors != vectors:
        raise UserError(
            f"{path}: measured on another base, of as many weights: its norms or biases are other ones, or "
            f"another converter's; {again_here}"
        )
    known = matrix.vectors and vectors
    remark = f"what quantizing costs is read from {path}, which does not tell its base: one of as many weights"
    costs = Costs(dict(sorted(matrix.costs.items(), key=lambda pair: pair[1])), measured=True)
    return Told(costs, "" if known else remark)
