"""How much work queries are: calls of llama.cpp and tokens, counted from their layout. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Rolling, Spans
from sway_gguf.engine.doors import Work
from sway_gguf.engine.embed import LONGEST
from sway_gguf.engine.layout import calls_of, lay_out, runs_of, tokens_of
from sway_gguf.engine.packing import Job, Limits, group_jobs, parts_of, steps
from sway_gguf.engine.scoring import Ask

SCORED = (NextToken, Rolling, Completion, Spans)
"""Kinds of query that are laid out together."""


def tokens_fed(asks: Sequence[Ask], limits: Limits) -> int:
    """Tokens fed to answer queries of any kinds together; replies count as if none ended early."""
    together = [[job for ask in asks for job in ask.jobs if isinstance(ask.query, k)] for k in (SCORED, Compare)]
    apart = (job for ask in asks for job in ask.jobs if not isinstance(ask.query, (*SCORED, Compare)))
    return sum(tokens_of(lay_out(jobs, limits)) for jobs in together) + sum(len(job.tokens) for job in apart)


def work_of(asks: Sequence[Ask], limits: Limits, written: float = 1.0, *, rerun: bool = False) -> Work:
    """The work of answering queries of one kind at once.

    Args:
        asks: the queries, laid out.
        limits: of a batch.
        written: share of the tokens asked for that a reply has before it ends.
        rerun: whether each call is taken in parts.
    """
    if asks and isinstance(asks[0].query, Generate):
        return _replying(asks, limits, written, rerun)
    jobs = [job for ask in asks for job in ask.jobs]
    if asks and isinstance(asks[0].query, Embed):
        return Work(len(jobs), sum(min(len(job.tokens), LONGEST) for job in jobs))
    groups = lay_out(jobs, limits)
    calls = sum(len(runs_of(group, call, rerun)) for group in groups for call in calls_of(jobs, group, limits))
    return Work(calls, tokens_of(groups))


def _replying(asks: Sequence[Ask], limits: Limits, written: float, rerun: bool) -> Work:
    """Each prompt is read in calls of its own, which give the first token; then a call writes one of every reply."""
    calls, tokens = 0.0, 0.0
    for group in group_jobs([ask.jobs[0] for ask in asks], limits, whole=False):
        mates = [asks[index] for index in group.jobs]
        fed = [max(0.0, ask.query.max_new_tokens * written - 1) for ask in mates if isinstance(ask.query, Generate)]
        calls += max(fed) + sum(_reading(ask, limits, rerun) for ask in mates)
        tokens += sum(fed) + sum(len(ask.tokens) for ask in mates)
    return Work(calls, tokens)


def _reading(ask: Ask, limits: Limits, rerun: bool) -> int:
    return sum(len(parts_of(call, rerun)) for call in steps([Job(ask.tokens, len(ask.tokens) - 1)], limits))
