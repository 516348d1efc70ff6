"""One base in several types, the same adapters on each: do the verdicts agree, and how near were those that do not?

Knows types and adapters; judging, merging and quantizing are the product's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.llama import Llama
from benchmarks.models import of_type
from benchmarks.training import tokenizer_of, tokens_of, trained
from benchmarks.validity.cells import Cells, short
from benchmarks.validity.power import RATE
from benchmarks.validity.subjects import Subject, written
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.null import null_adapter
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.rules import AboveTolerance, BelowTolerance
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.lift import queries_of
from sway_gguf.suite.demo import KINDS
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.run import run

TYPES = ("Q8_0", "Q4_K_M", "Q4_0")
ITEMS = 16
SCALES = (0.1, 0.3, 3.0)
"""At which the subject's trained adapter is taken in addition."""
STEPS = (2, 4, 8, 16)
"""Of a training on the data, where the base can be trained here."""
DAMAGED = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Scales of the demo's over-trained adapter: damage from none to far beyond every tolerance."""


def adapters_of(subject: Subject, options: argparse.Namespace) -> dict[str, Callable[[], LoraAdapter]]:
    """How each is made, by name: what helps, what does nothing, what breaks the model more and more, what is weak."""
    like = subject.like
    found: dict[str, Callable[[], LoraAdapter]] = {
        "trained": lambda: like,
        "a null of it": lambda: null_adapter(like, 1),
    }
    if options.quick:
        return found
    if subject.name == "demo":
        worn = read_adapter(DEMO / "overtrained.lora.gguf", subject.base)
        found |= {f"over-trained, times {scale:g}": partial(_scaled, worn, scale) for scale in DAMAGED}
    found |= {f"trained, times {scale:g}": partial(_scaled, like, scale) for scale in SCALES}
    if subject.name == "demo":
        stops = cache(partial(_stopped, subject))
        found |= {f"stopped after {step} steps": partial(lambda step: stops()[step], step) for step in STEPS}
    return found


def _scaled(adapter: LoraAdapter, scale: float) -> LoraAdapter:
    return replace(adapter, alpha=adapter.alpha * scale)


def _stopped(subject: Subject) -> dict[int, LoraAdapter]:
    """Of one training on the subject's data, by step."""
    model, queries = Llama(subject.path), queries_of(subject.prepared().texts.material.sections)
    with tokenizer_of(subject.path) as tokenizer:
        texts = tokens_of(queries, tokenizer, model.base.context_length)
    return dict(trained(model, texts, steps=STEPS, rate=RATE))


def types(cells: Cells, subject: Subject, options: argparse.Namespace) -> None:
    """A cell for each adapter on each type, adapter by adapter."""
    kinds = [subject.base.quantized or "F32", *(TYPES[:1] if options.quick else TYPES)]
    adapters = adapters_of(subject, options)
    asked = {f"{subject.name}, {name}, {kind}": (name, kind) for name in adapters for kind in kinds}
    with tempfile.TemporaryDirectory() as scratch:
        on = cache(partial(_prepared, subject, Path(scratch)))
        for name in cells.wanted("types", list(asked)):
            adapter, kind = asked[name]
            file = written(replace(adapters[adapter](), in_file=False), Path(scratch) / "adapter.gguf")
            ready = on(kind).with_adapter(file)
            with ready.opened() as backend:
                found = _kept(ready, run(ready, backend))
            cells.add("types", name, subject=subject.name, adapter=adapter, type=kind, **found)


def _prepared(subject: Subject, folder: Path, kind: str) -> Prepared:
    """A run on the subject's base in this type, which is written into `folder` where it is another."""
    base = subject if kind == "F32" else replace(subject, path=of_type(subject.path, kind, folder))
    return base.prepared(kinds=KINDS, items=ITEMS if subject.name == "demo" else None)


def _kept(ready: Prepared, result: SuiteResult) -> dict[str, Any]:
    """Diagnosis, axes, and what stood against a tolerance, with the words that the report has for it."""
    rules = {probe.options.name: probe.rule for probe in ready.probes}
    limits = {name: rule.tolerance for name, rule in rules.items() if isinstance(rule, AboveTolerance | BelowTolerance)}
    return {
        "diagnosis": str(result.diagnosis),
        "axes": {axis.axis: str(axis.verdict) for axis in result.axes},
        "probes": {probe.name: str(probe.verdict) for probe in result.probes},
        "values": {probe.name: short(probe.value) for probe in result.probes},
        "limits": {
            probe.name: {
                "limit": limits[probe.name],
                "interval": [short(end) for end in probe.interval] if probe.interval else None,
                "reason": probe.reason,
            }
            for probe in result.probes
            if probe.name in limits
        },
    }
