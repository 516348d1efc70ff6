"""One run of the product on one adapter, and what of its result the study keeps. Has no rule of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.false_alarms import let_through
from benchmarks.validity.cells import short
from benchmarks.validity.remembering import Remembering
from sway_gguf.core.answers import Changes
from sway_gguf.core.queries import Compare
from sway_gguf.core.result import SuiteResult, Verdict
from sway_gguf.core.views import TUNED
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.run import run

CLAIMS = ("signal", "direction")
"""The axes that say of an adapter that it learned something."""


class Toward(NamedTuple):
    """How far an adapter moves along a text, and how much of it is toward the text.

    Attributes:
        lift: mean over tokens of the change in log-probability, nats.
        kl: mean over the same places of KL(base ‖ tuned), nats.
        d: lift / √(2 kl): how far the text's own tokens stand out in the direction of the change, whatever its size.
    """

    lift: float
    kl: float
    d: float


def judged(ready: Prepared, backend: Remembering) -> dict[str, Any]:
    """Run it; which probes and axes claim something, and how many nulls that took."""
    return kept(run(ready, backend))


def kept(result: SuiteResult) -> dict[str, Any]:
    """What the study keeps of a result.

    `passed` are probes with PASS on an axis that claims something; `beyond` those that their nulls let through,
    whatever else they lack.
    """
    axes = {axis.axis: str(axis.verdict) for axis in result.axes if axis.axis in ("applied", *CLAIMS)}
    claims = [probe for probe in result.probes if probe.axis in CLAIMS]
    return {
        "axes": axes,
        "verdicts": {probe.kind: str(probe.verdict) for probe in claims},
        "passed": [probe.kind for probe in claims if probe.verdict == Verdict.PASS],
        "beyond": [probe.kind for probe in claims if let_through(probe, result.nulls.planned or result.nulls.count)],
        "values": {probe.kind: short(probe.value) for probe in claims},
        "nulls": result.nulls.count,
    }


def claimed(cell: dict[str, Any]) -> bool:
    """Whether a kept result says of its adapter that it learned something."""
    return any(cell["axes"].get(axis) == Verdict.PASS for axis in CLAIMS)


def toward(backend: Remembering, texts: Iterable[str]) -> Toward:
    """Of the tuned view along texts, each from its second token on."""
    with backend.inner.open(TUNED) as view:
        found = [each for each in view.answer([Compare(text) for text in texts]) if isinstance(each, Changes)]
    lift = float(np.concatenate([each.other - each.base for each in found]).mean())
    kl = float(np.concatenate([each.kl for each in found]).mean())
    return Toward(lift, kl, lift / math.sqrt(2 * kl) if kl > 0 else 0.0)


def adapted(ready: Prepared, path: Path, seed: int) -> Prepared:
    """The same run of another adapter, by another seed: other nulls, panel and shuffled controls."""
    return ready.with_adapter(path).with_defaults(seed=seed)
