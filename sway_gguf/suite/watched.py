"""A run that somebody watches: how far it is is told, and its speed is kept for the next one's plan.

Knows the order of these things; not how progress is shown, nor where a result goes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from sway_gguf.core.result import SuiteResult
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.warm import Warm
from sway_gguf.suite.measure import OnProgress
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.run import plan, run
from sway_gguf.suite.speeds import remember_speed

Watching = Callable[[int, int], AbstractContextManager[OnProgress]]
"""From the tokens of a run, and those that it may go on to, to what is called with the ones that are done."""


def run_watched(prepared: Prepared, backend: DoorBackend, watching: Watching) -> SuiteResult:
    """Run a suite on a loaded model."""
    work = plan(prepared)
    with watching(*work.span(backend.count_tokens_of)) as told:
        result = run(prepared, backend, told, work=work)
    if prepared.spec.models.endpoint is None:
        remember_speed(prepared.base, prepared.engine, result.timings)
    return result


def run_warm(prepared: Prepared, warm: Warm, watching: Watching) -> SuiteResult:
    """Run a suite on the model that is kept loaded, if it needs one; what a run leaves halfway is dropped."""
    if not prepared.needs_model:
        return run(prepared, None)
    try:
        backend = warm.backend(prepared.base, prepared.stack, prepared.adapter_hash, prepared.engine)
        return run_watched(prepared, backend, watching)
    except BaseException:
        warm.drop()
        raise
