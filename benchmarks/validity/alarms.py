"""Adapters that learned nothing, and such as learned something else: what passes, by our rule and by the original's.

Knows which adapters are held to which text; how they are made and judged is in other files.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from benchmarks.llama import Llama, Tokens
from benchmarks.training import tokenizer_of, tokens_of, trained
from benchmarks.validity.cells import Cells, short
from benchmarks.validity.documents import markdown, shuffled, told
from benchmarks.validity.judging import adapted, judged, toward
from benchmarks.validity.nothing import shape_of, untrained
from benchmarks.validity.original import theirs
from benchmarks.validity.remembering import Remembering
from benchmarks.validity.subjects import KINDS, Subject, written
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.core.queries import Query, Rolling
from sway_gguf.material.read import read_material
from sway_gguf.suite.prepare import Prepared

STEPS, RATE = (4, 12, 24), 1e-3
"""Of training, after which an adapter is judged; and the rate of learning."""
SOURCES = ("own", "other", "shuffled")
"""What an adapter of the second part was trained on: the data, another document of its style, the data's words."""


class Bench:
    """A subject with its base open: adapters go in, verdicts come out."""

    def __init__(self, subject: Subject, backend: Remembering, folder: Path, more: Sequence[str] = ()) -> None:
        self.subject, self.backend, self.folder = subject, backend, folder
        self.ready = subject.prepared(kinds=(*KINDS, *more))

    def taken(self, adapter: LoraAdapter, seed: int) -> Prepared:
        """A run of `adapter`, which the base holds from now on."""
        ready = adapted(self.ready, written(adapter, self.folder / "adapter.gguf"), seed)
        if self.subject.base.quantized:
            self.backend.forget()
        self.backend.swap(ready.stack)
        return ready

    @cached_property
    def prompts(self) -> list[str]:
        """Of the probe that measures how far next tokens move."""
        return next(list(probe.prompts) for probe in self.ready.probes if probe.kind == "delta_kl")

    @cached_property
    def texts(self) -> list[str]:
        """The data as prose."""
        return [section.prompt + section.text for section in self.ready.texts.material.sections]


@contextmanager
def bench(subject: Subject, more: Sequence[str] = ()) -> Iterator[Bench]:
    """Opened, with a folder for adapters; `more` probes than those that answer the claims."""
    with subject.opened() as backend, tempfile.TemporaryDirectory() as scratch:
        yield Bench(subject, backend, Path(scratch), more)


def learned_nothing(cells: Cells, subject: Subject, options: argparse.Namespace) -> None:
    """As many adapters as were asked for, each by a run's own seed."""
    with bench(subject) as at:
        numbers = range(options.adapters // subject.part)
        for name in cells.wanted("nothing", [f"{subject.name} {number}" for number in numbers]):
            number = int(name.split()[-1])
            shape = shape_of(number)
            ready = at.taken(untrained(subject.like, shape), number)
            found = judged(ready, at.backend)
            if number % options.original_every == 0:
                found["original"] = theirs(at.backend, ready.texts.material, at.prompts)
            cells.add("nothing", name, **shape._asdict() | {"rank": ready.adapter.ranks[0]}, **found)


def learned_otherwise(cells: Cells, subject: Subject, options: argparse.Namespace) -> None:
    """Adapters that were trained on the data, on another document of its style, and on its words in another order."""
    names = [f"{subject.name} {source} {seed}" for seed in range(options.trainings) for source in SOURCES]
    with bench(subject, ["content", "aim"]) as at:
        model = Llama(subject.path)
        for name in cells.wanted("otherwise", names):
            _, source, seed = name.split()
            texts, found = _tokens(at, model, source, int(seed)), []
            steps = STEPS[:2] if options.quick else STEPS
            for step, adapter in trained(model, texts, steps=steps, rate=RATE, seed=int(seed)):
                ready = at.taken(adapter, int(seed))
                moved = {key: short(value) for key, value in toward(at.backend, at.texts)._asdict().items()}
                found.append({"step": step, **moved, **judged(ready, at.backend)})
                if step == steps[-1]:
                    found[-1]["original"] = theirs(at.backend, ready.texts.material, at.prompts)
            cells.add("otherwise", name, source=source, seed=int(seed), steps=found)


def _tokens(at: Bench, model: Llama, source: str, seed: int) -> list[Tokens]:
    """What an adapter is trained on."""
    document = at.subject.data[0]
    if source == "shuffled":
        document = _beside(at, shuffled(document.read_text(encoding="utf-8"), seed))
    elif source == "other":
        document = _beside(at, markdown(told(seed)))
    queries: list[Query] = [Rolling(section.text) for section in read_material(document).sections]
    with tokenizer_of(at.subject.path) as tokenizer:
        return tokens_of(queries, tokenizer, model.base.context_length)


def _beside(at: Bench, text: str) -> Path:
    path = at.folder / "document.md"
    path.write_text(text, encoding="utf-8")
    return path
