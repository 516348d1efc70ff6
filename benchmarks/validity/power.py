"""Adapters stopped after few steps, or drowned in noise: how small a lift is found, by nulls, looks and format.

Each adapter's answers, and those of its nulls, are measured once; every rule is then the product's own run on them.
Knows trainings and rules; judging is the product's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.llama import Llama
from benchmarks.training import tokenizer_of, tokens_of, trained
from benchmarks.validity.cells import Cell, Cells
from benchmarks.validity.documents import dialogues, told, unrelated
from benchmarks.validity.judging import judged
from benchmarks.validity.original import theirs
from benchmarks.validity.remembering import Remembering
from benchmarks.validity.subjects import Subject, written
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.core.views import DESIGNS
from sway_gguf.probes.lift import queries_of
from sway_gguf.suite.prepare import Prepared

RATE = 3e-4
"""Of learning, reached after ten steps."""
FORMS = {"template": "chat", "transcript": "plain"}
"""How dialogues are put to the model, by the product's name of the format; all are trained through the template."""
KINDS = ("applied", "delta_kl", "section_internalization")
NULLS, USUAL = (9, 19, 39), (2, 19)
RULES = ((1, 9), (1, 19), (2, 9), (2, 19), (2, 39))
"""Looks and nulls. All 39 nulls of a single look would take as long as the other rules together."""
ITEMS = 16
_DOCUMENTS = 1000
"""Seeds of the documents begin here, apart from those of other parts."""


class Stop(NamedTuple):
    """An adapter of a training.

    Attributes:
        step: after which it was stopped.
        scale: what its update is multiplied by.
        noise: Frobenius norm of a random update on top of each of its own, relative to that.
    """

    step: int
    scale: float = 1.0
    noise: float = 0.0


STOPS = {
    "1 step, times 0.01": Stop(1, 0.01),
    "1 step, times 0.1": Stop(1, 0.1),
    "1 step": Stop(1),
    "4 steps": Stop(4),
    "16 steps": Stop(16),
    "32 steps": Stop(32),
    "4 steps in 10 times the noise": Stop(4, noise=10),
    "4 steps in 30 times the noise": Stop(4, noise=30),
    "4 steps in 100 times the noise": Stop(4, noise=100),
}
"""By name, as they stand in the tables."""


def drowned(cell: Cell) -> bool:
    """Whether the adapter of a result is one in noise."""
    return STOPS[cell["stop"]].noise > 0


class Setting(NamedTuple):
    """One adapter as it is asked: of which training and stop, in which format, beside which nulls."""

    training: int
    stop: str
    form: str
    design: str

    @property
    def name(self) -> str:
        """In the results."""
        return ", ".join(map(str, self))


def settings(trainings: int, stops: Sequence[str]) -> list[Setting]:
    """Training by training. Designs other than the default are asked through the template alone."""
    asked = [("template", design) for design in DESIGNS] + [("transcript", DESIGNS[0])]
    return [Setting(number, stop, *how) for number in range(trainings) for stop, how in product(stops, asked)]


def in_noise(adapter: LoraAdapter, share: float, seed: int) -> LoraAdapter:
    """The adapter with as many ranks of Gaussian factors beside its own, their update `share` times as large."""
    rng, pairs = np.random.default_rng([seed, 11]), []
    for pair in adapter.pairs:
        a, b = (rng.standard_normal(each.shape).astype(np.float32) for each in (pair.a, pair.b))
        factor = np.float32(share * pair.product_norm() / replace(pair, a=a, b=b).product_norm())
        pairs.append(replace(pair, a=np.concatenate([pair.a, a]), b=np.concatenate([pair.b, factor * b], axis=1)))
    return replace(adapter, alpha=2 * adapter.alpha, pairs=tuple(pairs))


class Trainings:
    """The adapters of one training after another, and the runs that ask them."""

    def __init__(self, subject: Subject, backend: Remembering, folder: Path) -> None:
        self.subject, self.backend, self._folder = subject, backend, folder
        self._model = Llama(subject.path)
        self._number: int | None = None
        self._taken: tuple[int, str] | None = None

    def run_of(self, at: Setting) -> Prepared:
        """The run of a setting; the backend holds its adapter from now on."""
        if at.training != self._number:
            self._train(at.training)
        ready = self._runs[at.form].with_adapter(self._adapters[at.stop])
        if (at.training, at.stop) != self._taken:
            self.backend.swap(ready.stack)
            self._taken = at.training, at.stop
        return ready

    def _train(self, number: int) -> None:
        self._data(number).write_text(dialogues(told(_DOCUMENTS + number)), encoding="utf-8")
        self._general.write_text(unrelated(ITEMS), encoding="utf-8")
        self._runs = {form: self._prepared(number, form) for form in FORMS}
        queries = queries_of(self._runs["template"].texts.material.sections)
        with tokenizer_of(self.subject.path) as tokenizer:
            texts = tokens_of(queries, tokenizer, self._model.base.context_length)
        steps = sorted({stop.step for stop in STOPS.values()})
        by_step = dict(trained(self._model, texts, steps=steps, rate=RATE, seed=number))
        self._adapters = {name: self._kept(by_step[stop.step], number, name) for name, stop in STOPS.items()}
        self.backend.forget()
        self._number, self._taken = number, None

    @property
    def _general(self) -> Path:
        return self._folder / "general.jsonl"

    def _data(self, number: int) -> Path:
        return self._folder / f"dialogues-{number}.jsonl"

    def _prepared(self, number: int, form: str) -> Prepared:
        data, named = [self._data(number)], FORMS[form]
        return self.subject.prepared(data, general=self._general, kinds=KINDS, format=named, items=ITEMS)

    def _kept(self, adapter: LoraAdapter, number: int, name: str) -> Path:
        stop = STOPS[name]
        if stop.noise:
            adapter = in_noise(adapter, stop.noise, number)
        scaled = replace(adapter, alpha=adapter.alpha * stop.scale)
        return written(scaled, self._folder / f"training {number}, {name}.gguf")


def rules_of(at: Setting) -> list[tuple[int, int]]:
    """Looks and nulls: all of them for the default nulls through the template, the defaults alone otherwise."""
    return list(RULES) if at.form == "template" and at.design == DESIGNS[0] else [USUAL]


def found_by(ready: Prepared, backend: Remembering, at: Setting) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each rule makes of an adapter, by looks and nulls. Fewer nulls are the first of more."""
    seed = _DOCUMENTS * (1 + at.training) + list(STOPS).index(at.stop)
    for looks, nulls in rules_of(at):
        changed = {"looks": looks, "nulls": nulls, "null_design": at.design, "seed": seed}
        yield f"{looks} of {nulls}", judged(ready.with_defaults(**changed), backend)


def power(cells: Cells, subject: Subject, options: argparse.Namespace) -> None:
    """A cell for each setting."""
    stops = list(STOPS)[2:4] if options.quick else list(STOPS)
    by_name = {at.name: at for at in settings(options.trainings, stops)}
    with subject.opened() as backend, tempfile.TemporaryDirectory() as scratch:
        trainings = Trainings(subject, backend, Path(scratch))
        for name in cells.wanted("power", list(by_name)):
            at = by_name[name]
            ready = trainings.run_of(at)
            rules = dict(found_by(ready, backend, at))
            values = next(iter(rules.values()))["values"]
            more: dict[str, Any] = {}
            if at.form == "template" and at.design == DESIGNS[0]:
                prompts = next(list(probe.prompts) for probe in ready.probes if probe.kind == "delta_kl")
                more["original"] = theirs(backend, ready.texts.material, prompts)
            short = {rule: {"verdicts": found["verdicts"], "nulls": found["nulls"]} for rule, found in rules.items()}
            cells.add("power", name, **at._asdict(), values=values, rules=short, **more)
