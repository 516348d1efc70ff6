"""Evaluates one unit of jobs on a loaded model. Knows what each kind of unit runs through; no queries, no stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sway_gguf.core.views import is_rerun
from sway_gguf.engine import packed, scoring
from sway_gguf.engine.contexts import ContextPool
from sway_gguf.engine.generate import generate_group
from sway_gguf.engine.keeping import Unit
from sway_gguf.engine.llama import Model
from sway_gguf.engine.open_view import OnTokens
from sway_gguf.engine.reading import LEAST
from sway_gguf.engine.reduce import NotFiniteError


def evaluated(unit: Unit, model: Model, pool: ContextPool, progress: OnTokens) -> Sequence[Any]:
    """The answer to each of the unit's jobs: log-probabilities or a row, changes, or a reply.

    Raises:
        JobError: a number is not finite.
    """
    view, limits = unit.view, unit.limits
    if unit.kind == "scores":
        return packed.score(pool, view, unit.jobs, unit.group, limits, progress)
    if unit.kind == "changes":
        return [*map(scoring.joined, packed.compare(pool, view, unit.jobs, unit.group, limits, progress))]
    context = pool.cleared(view, max(unit.group.streams, LEAST), unit.group.length, limits)
    queries = [sampling.query() for sampling in unit.sampling]
    prompts = [job.tokens[: job.first_output + 1] for job in unit.jobs]
    try:
        return generate_group(model, context, queries, prompts, limits, progress, pool.manner, rerun=is_rerun(view))
    except NotFiniteError as error:
        raise packed.JobError(error.row) from error
