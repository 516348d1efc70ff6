"""What quantizing cost a base, read back from the JSON that `quants` wrote. Knows that record; measures nothing."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.survival import SurvivalMatrix
from sway_gguf.core.toll import Costs

_ADAPTER = TypeAdapter(SurvivalMatrix)
_MOST_BYTES = 16 << 20
_AGAIN = "write it by sway-gguf quants --json, from a base in F16, BF16 or F32"


def read_costs(path: Path, parameters: int) -> Costs:
    """What quantizing costs a base of so many weights.

    The base may be a quantized file of the one that was measured: it has as many weights.

    Raises:
        UserError: it is no such file, holds no costs, or is of a base with another number of weights.
    """
    raw = parse_json(read_utf8(path, "a survival matrix", _MOST_BYTES), str(path), "give the JSON of sway-gguf quants")
    try:
        matrix = _ADAPTER.validate_python(raw)
    except ValidationError:
        raise UserError(f"{path}: this is no survival matrix; {_AGAIN}") from None
    if not matrix.costs:
        raise UserError(f"{path}: it does not say what quantizing costs its base; {_AGAIN}")
    if max(matrix.costs.values()) <= 0:
        raise UserError(f"{path}: quantizing took nothing from its base, which gives no measure; leave --quants out")
    if matrix.parameters != parameters:
        raise UserError(
            f"{path}: measured on a base of {matrix.parameters:,} weights, and this one has {parameters:,}; {_AGAIN}"
        )
    return Costs(dict(sorted(matrix.costs.items(), key=lambda pair: pair[1])), measured=True)
