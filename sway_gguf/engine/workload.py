"""How much work queries are: calls of llama.cpp and tokens, counted from their layout. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Rolling, Spans
from sway_gguf.engine.doors import Work
from sway_gguf.engine.embed import LONGEST
from sway_gguf.engine.layout import calls_of, lay_out, runs_of, tokens_of
from sway_gguf.engine.packing import Limits, group_jobs
from sway_gguf.engine.reading import LEAST, Manner, Reading, reading_of
from sway_gguf.engine.scoring import Ask

SCORED = (NextToken, Rolling, Completion, Spans)
"""Kinds of query that are laid out together."""


def tokens_fed(asks: Sequence[Ask], limits: Limits, manner: Manner) -> int:
    """Tokens fed to answer queries of any kinds together; replies count as if none ended early.

    A comparison feeds base and view.

    Args:
        asks: the queries, laid out.
        limits: of a batch.
        manner: how prompts of replies are read.
    """
    scored, compared = (
        [job for ask in asks for job in ask.jobs if isinstance(ask.query, k)] for k in (SCORED, Compare)
    )
    embedded = (job for ask in asks for job in ask.jobs if isinstance(ask.query, Embed))
    return (
        tokens_of(lay_out(scored, limits))
        + 2 * tokens_of(lay_out(compared, limits))
        + sum(len(job.tokens) for job in embedded)
        + sum(_reading(mates, limits, manner).tokens + sum(map(_room, mates)) for mates in _mates(asks, limits))
    )


def work_of(asks: Sequence[Ask], limits: Limits, manner: Manner, written: float = 1.0, *, rerun: bool = False) -> Work:
    """The work of answering queries of one kind at once.

    Args:
        asks: the queries, laid out.
        limits: of a batch.
        manner: how prompts of replies are read.
        written: share of the tokens asked for that a reply has before it ends.
        rerun: whether each call is taken in parts.
    """
    if asks and isinstance(asks[0].query, Generate):
        return _replying(asks, limits, manner, written, rerun)
    jobs = [job for ask in asks for job in ask.jobs]
    if asks and isinstance(asks[0].query, Embed):
        return Work(len(jobs), sum(min(len(job.tokens), LONGEST) for job in jobs))
    groups = lay_out(jobs, limits)
    calls = sum(len(runs_of(group, call, rerun)) for group in groups for call in calls_of(jobs, group, limits))
    return Work(calls, tokens_of(groups))


def _replying(asks: Sequence[Ask], limits: Limits, manner: Manner, written: float, rerun: bool) -> Work:
    """Calls that read the prompts; then each call writes a token of every reply."""
    calls, tokens = 0.0, 0.0
    for mates in _mates(asks, limits):
        reading = _reading(mates, limits, manner, rerun)
        fed = [max(1.0, _room(ask) * written) for ask in mates]
        calls += max(fed) + len(reading.beginning) + len(reading.rest)
        tokens += max(sum(fed), LEAST * max(fed)) + reading.tokens
    return Work(calls, tokens)


def _mates(asks: Sequence[Ask], limits: Limits) -> list[list[Ask]]:
    """Replies that are written side by side."""
    replies = [ask for ask in asks if isinstance(ask.query, Generate)]
    groups = group_jobs([ask.jobs[0] for ask in replies], limits, whole=False)
    return [[replies[index] for index in group.jobs] for group in groups]


def _room(ask: Ask) -> int:
    return ask.query.max_new_tokens if isinstance(ask.query, Generate) else 0


def _reading(asks: Sequence[Ask], limits: Limits, manner: Manner, rerun: bool = False) -> Reading:
    return reading_of([ask.tokens for ask in asks], limits, manner, rerun=rerun)
