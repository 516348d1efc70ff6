"""What is true of an adapter, in NumPy and float32: what its own text gained, and what text gained that it should leave
alone. No answer, contrast or tolerance of the product takes part; its tokens and scored places do.

Knows files and a model; neither labels nor verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.clinic.bases import Kit
from benchmarks.clinic.case import Case
from benchmarks.clinic.train import Example
from benchmarks.llama import Llama
from benchmarks.training import factors_of
from sway_gguf.artifacts.lora import LoraAdapter

_TEXTS, _TOKENS = 24, 96
"""At most so many of a file, each cut there."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Mean change of log-probability per token, nats; None where it cannot be computed.

    Attributes:
        own_text: of what was held out of the data where its user has that, else of the data.
        other_text: of general text, the file that lost most.
    """

    own_text: float | None = None
    other_text: float | None = None


def truth(kit: Kit, case: Case) -> Truth:
    """Of a case on its base in the first type of weights; nothing of a base that comes quantized, which NumPy is too
    slow for, and of an adapter that is not finite."""
    if kit.header.quantized:
        return Truth()
    model = Llama(kit.form(kit.forms[0], case.base)) if case.base else kit.model
    adapter, texts = case.make(kit), kit.texts(case.data)
    own = _change(model, adapter, kit.examples(texts.holdout or texts.data))
    others = [_change(model, adapter, kit.examples(path)) for path in kit.general]
    return Truth(_finite(own), _finite(min(others)))


def _change(model: Llama, adapter: LoraAdapter, examples: Sequence[Example]) -> float:
    """Mean over texts of the mean over tokens that count."""
    (rank,) = adapter.ranks
    factors, scaling, found = factors_of(adapter), adapter.alpha / rank, []
    for ids, start in ((each.ids[:_TOKENS], each.start) for each in examples[:_TEXTS]):
        if start < len(ids):
            with np.errstate(invalid="ignore", over="ignore"):
                after, before = model.logprobs(ids, factors, scaling), model.logprobs(ids)
            found.append(float((after - before)[start - 1 :].mean(dtype=float)))
    return sum(found) / len(found)


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
