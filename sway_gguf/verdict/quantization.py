"""What quantizing costs a base of a given size, from published perplexities. Knows a table; measures nothing.

Each line but the first: perplexity of a model on the test set of WikiText-2 by llama-perplexity, as it was published
beside that of its F16 or BF16 file; the loss is the natural logarithm of the ratio. Left out are models that were
trained for the type that they are quantized to. Some of these files were quantized by an importance matrix, most not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from sway_gguf.core.toll import Costs

TYPES = ("Q8_0", "Q4_K_M", "Q4_0")


class Lost(NamedTuple):
    """What one model lost.

    Attributes:
        model: its name.
        billions: weights.
        by_type: nats per token, by type of weights.
        source: where it stands.
    """

    model: str
    billions: float
    by_type: Mapping[str, float]
    source: str


def _published(
    model: str,
    billions: float,
    floats: float,
    q8_0: float | None,
    q4_k_m: float | None,
    q4_0: float | None,
    source: str,
) -> Lost:
    """From perplexities; None for a type that its table lacks."""
    given = zip(TYPES, (q8_0, q4_k_m, q4_0), strict=True)
    return Lost(model, billions, {kind: math.log(ppl / floats) for kind, ppl in given if ppl is not None}, source)


_QWEN_2 = "https://huggingface.co/Qwen/Qwen2-0.5B-Instruct-GGUF"
_QWEN_15 = "https://huggingface.co/Qwen/Qwen1.5-0.5B-Chat-GGUF"
_LLAMA_3 = "https://github.com/ggml-org/llama.cpp/pull/6936"
_LLAMA_1 = "https://github.com/ggml-org/llama.cpp/pull/1684 and tools/quantize/README.md of its time"
_LLAMA_3_70 = "https://github.com/ggml-org/llama.cpp/pull/6745"
_OPEN = "https://huggingface.co/SlyEcho/open_llama_{}b_ggml"

_OURS = "benchmarks/quantization_costs.py, on the packaged prose, from the F16 that its Q4_1 stands for"

TABLE = (
    Lost("SmolLM2 135M", 0.135, {"Q8_0": 0.0031, "Q4_K_M": 0.0606, "Q4_0": 0.1343}, _OURS),
    _published("Qwen2 0.5B", 0.5, 15.11, 15.13, 15.36, 16.28, _QWEN_2),
    _published("Qwen1.5 0.5B", 0.5, 34.20, 34.22, 34.27, 36.74, _QWEN_15),
    _published(
        "Gemma 3 1B",
        1.0,
        29.1129,
        None,
        None,
        34.4906,
        "https://huggingface.co/stduhpf/google-gemma-3-1b-it-qat-q4_0-gguf-small",
    ),
    _published("Qwen2 1.5B", 1.5, 10.43, 10.43, 10.61, 10.79, _QWEN_2),
    _published("Qwen1.5 1.8B", 1.8, 15.99, 15.99, 16.22, 16.54, _QWEN_15),
    _published(
        "Salamandra 2B", 2.0, 15.3799, 15.3831, 15.8651, None, "https://huggingface.co/robbiemu/salamandra-2b-instruct"
    ),
    _published("OpenLLaMA 3B", 3.0, 7.7861, 7.7874, None, 8.0962, _OPEN.format(3)),
    _published("Qwen1.5 4B", 4.0, 13.20, 13.21, 13.61, 13.44, _QWEN_15),
    _published("LLaMA 7B", 7.0, 5.9066, 5.9070, 5.9601, 6.1565, _LLAMA_1),
    _published("OpenLLaMA 7B", 7.0, 6.9966, 6.9968, 7.1116, 7.2116, _OPEN.format(7)),
    _published("Qwen2 7B", 7.0, 7.93, 7.94, 8.02, 8.19, _QWEN_2),
    _published("Qwen1.5 7B", 7.0, 14.21, 14.24, 14.35, 14.47, _QWEN_15),
    _published("Llama 3 8B", 8.0, 6.233160, 6.234284, 6.407115, 6.700147, _LLAMA_3),
    _published("LLaMA 13B", 13.0, 5.2543, 5.2548, 5.3002, 5.3860, _LLAMA_1),
    _published("Qwen1.5 14B", 14.0, 10.91, 10.91, 10.92, 10.92, _QWEN_15),
    _published("Qwen1.5 32B", 32.0, 8.87, 8.89, 8.96, 9.17, _QWEN_15),
    _published("Qwen2 57B-A14B", 57.0, 6.81, 6.81, 6.99, 7.02, _QWEN_2),
    _published("Llama 2 70B", 70.0, 3.4313, None, 3.4725, 3.5550, _LLAMA_3),
    _published("Llama 3 70B", 70.0, 2.8308, 2.8316, 2.9674, None, _LLAMA_3_70),
    _published("Qwen2 72B", 72.0, 5.58, 5.58, 5.61, 5.66, _QWEN_2),
    _published("Qwen1.5 72B", 72.0, 7.97, 7.99, 8.00, 8.01, _QWEN_15),
)
BANDS = (0.05, 0.3, 5.0, math.inf)
"""Billions of weights between which a band lies. Beyond five billion no trend over size is left."""
_ALIKE = 1.25
"""Losses whose ratio is smaller are taken for the same: the table is no more exact than that."""
_MANY = 10.0


def costs_of(parameters: int) -> Costs | None:
    """What quantizing costs bases of about so many weights; None where that is not known, as of toys.

    The median over the band of sizes that it falls into. Most single models lie within a factor of three of it, which
    is more than size explains within a band, so nothing is interpolated.
    """
    billions = parameters / 1e9
    if billions <= BANDS[0]:
        return None
    low, high = next((low, high) for low, high in pairwise(BANDS) if billions <= high)
    found = [model.by_type for model in TABLE if low < model.billions <= high]
    return Costs({kind: median(losses[kind] for losses in found if kind in losses) for kind in TYPES})


def against(low: float, high: float, costs: Costs) -> str:
    """Where a loss stands among what quantizing costs, such as "between what Q4_K_M and Q4_0 cost bases of this size".

    The ends of its interval are placed, not the loss itself, so that the words hold as surely as the interval does.

    Args:
        low, high: ends of the interval, nats per token.
        costs: to compare with.
    """
    whose = "this base" if costs.measured else "bases of this size"
    if high <= 0:
        return "no loss in the mean"
    least, most = _at_least(low, costs), _at_most(high, costs)
    if least == most:
        return f"{_alone(most)} {whose}"
    if least is None:
        return f"no more than {_alone(most)} {whose}"
    if least.times and most.times:
        return f"{least.times} to {most.times} times what {most.kind} costs {whose}"
    if most.times:
        return f"between {_alone(least)} and {_alone(most)} {whose}"
    cheaper, dearer = sorted((least.kind, most.kind), key=lambda kind: costs.by_type[kind])
    return f"between what {cheaper} and {dearer} cost {whose}"


class _Place(NamedTuple):
    """A loss as so many times what a type costs; no times for about as much."""

    kind: str
    times: str = ""


def _alone(place: _Place) -> str:
    count = "twice " if place.times == "2" else f"{place.times} times " if place.times else ""
    return f"{count}what {place.kind} costs"


def _at_most(loss: float, costs: Costs) -> _Place:
    """The cheapest type that costs as much, or how many times the dearest does."""
    enough = (kind for kind, cost in costs.by_type.items() if loss <= cost * _ALIKE)
    kind = next(enough, None)
    return _beyond(loss, costs) if kind is None else _Place(kind)


def _at_least(loss: float, costs: Costs) -> _Place | None:
    """The dearest type that costs no more, or how many times the dearest of all; None for less than the cheapest."""
    if loss > max(costs.by_type.values()) * _ALIKE:
        return _beyond(loss, costs)
    found = [kind for kind, cost in costs.by_type.items() if 0 < cost <= loss * _ALIKE]
    return _Place(found[-1]) if found else None


def _beyond(loss: float, costs: Costs) -> _Place:
    kind, cost = max(costs.by_type.items(), key=lambda pair: pair[1])
    ratio = loss / cost
    if ratio > _MANY:
        return _Place(kind, f"more than {_MANY:.0f}")
    return _Place(kind, f"{round(ratio) if ratio >= 3 else round(2 * ratio) / 2:g}")
