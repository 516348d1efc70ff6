"""Views side by side against one view at a time, on as many threads in all: same views, same texts, one process.

Knows how to time. All sides score texts under an adapter at several scales, on the real demo's model and on the small
one, for which one thread is the default of a view that is alone. Contexts are made before anything is timed.

    python -m benchmarks.abreast
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.models import base_of, base_option, random_adapter
from benchmarks.random_model import random_texts
from benchmarks.sides import Finding, Goal, faster, in_turns, left_out, main
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.answers import Answers
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Query, Rolling
from sway_gguf.core.views import ScaledView, View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.abreast import Abreast

_GOAL = Goal("≥", 1.0)
_RANK, _VIEWS = 8, 3
"""Of the adapter; views per worker."""


def answered(asked: list[Query], backend: DoorBackend, view: View) -> Answers:
    """A view's answers, of which nothing is kept."""
    with backend.open(view) as opened:
        opened.answer(asked)
    return Answers([])


def every(abreast: Abreast, views: list[View], asked: list[Query]) -> None:
    """All views, as many at a time as the backend says."""
    for _ in abreast.each(views, partial(answered, asked)):
        pass


def compare(base: Path, options: argparse.Namespace, folder: Path) -> Iterator[Finding]:
    """Views side by side against one at a time on all threads, and on a single one."""
    threads = options.threads or EngineSettings().workers(sys.maxsize).number
    asked: list[Query] = [*map(Rolling, random_texts(4 if options.quick else 16, 40))]
    adapter = random_adapter(read_base(base), _RANK, folder)
    views: list[View] = [ScaledView(1 + number / 8) for number in range(_VIEWS * threads)]
    settings = {
        "side by side": EngineSettings(threads=threads, parallel=threads),
        "one at a time": EngineSettings(threads=threads, parallel=1),
        "on one thread": EngineSettings(threads=1, parallel=1),
    }
    with ExitStack() as stack:
        work: dict[str, Callable[[], None]] = {}
        for name, chosen in settings.items():
            backend = stack.enter_context(LlamaBackend(base, adapter, chosen))
            work[name] = partial(every, stack.enter_context(Abreast(backend)), views, asked)
            tokens = backend.count_tokens_of(asked) * len(views)
        times = in_turns(work, options.repeat)
    ours = times["side by side"]
    what = f"{base.name}, {threads} views side by side on one thread each"
    yield faster(what, ours, times["one at a time"], tokens, f"one at a time on {threads}", _GOAL)
    yield faster(what, ours, times["on one thread"], tokens, "one at a time on one thread", None)


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """The small model, and the real one where it can be had."""
    with tempfile.TemporaryDirectory() as scratch:
        yield from compare(DEMO / "base.f32.gguf", options, Path(scratch))
        try:
            base = base_of(options)
        except UserError as error:
            yield left_out("the real demo's model", error)
        else:
            yield from compare(base, options, Path(scratch))


if __name__ == "__main__":
    main(__doc__, measured, base_option)
