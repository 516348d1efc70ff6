"""Whether a model still stops: loops, the end's probability, greedy replies, think blocks; values derived by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from sway_gguf.core.answers import Answer, Answers, CompletionScore, Generated
from sway_gguf.core.candidates import Thought
from sway_gguf.core.queries import Completion, Generate, Query
from sway_gguf.core.result import Diagnosis, ProbeResult, Verdict
from sway_gguf.core.sections import Section
from sway_gguf.material.loops import loops
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import build_probes
from sway_gguf.stats.binomial import more_often_p
from sway_gguf.suite.prepare import quick_suite
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.reading import Reading

SECTIONS = tuple(Section(f"s{n}", f"reply {n}", f"<u>{n}<a>", "dialogue", ending="<end>") for n in range(6))
LIMIT = 160


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ([7] * 12, True),  # one token, twelve times
        ([7] * 11, False),  # too short to tell from "ha ha ha"
        ([1, 2, 3, 4] * 3, True),
        ([9, 9, 8, *[1, 2, 3, 4, 5] * 3], True),
        ([9, 9, 8, *[1, 2, 3, 4, 5] * 3, 1, 2], True),  # the last time is cut off
        ([*[1, 2, 3, 4, 5] * 3, 6], False),  # it went on to something else
        ([1, 2, 3, 4, 5] * 2, False),  # said twice is no loop
        ([*[1, 2, 3, 4, 5] * 2, *range(20)], False),
        (list(range(160)), False),
        ([], False),
    ],
)
def test_a_loop_is_one_stretch_over_and_over_at_the_end(reply: Sequence[int], expected: bool) -> None:
    assert loops(reply) is expected


def test_fishers_p_as_derived_by_hand() -> None:
    # 6 of 6 against 1 of 6: of the C(12, 7) = 792 ways to place seven runs, C(6, 6)·C(6, 1) = 6 are as extreme.
    assert more_often_p(6, 1, 6) == pytest.approx(6 / 792)
    assert more_often_p(1, 1, 6) > 0.5


def probe_of(
    sections: tuple[Section, ...] = SECTIONS, thoughts: tuple[Thought, ...] = (), **options: Any
) -> Probe[Any]:
    sources = Sources(sections=sections, thoughts=lambda count: thoughts)
    return build_probes([{"name": "ending", "kind": "ending", **options}], sources)[0]


def answered(probe: Probe[Any], end: float, lengths: Sequence[int] = (), tokens: int = 1, tags: float = 0.5) -> Answers:
    """P(end) behind every reply, and how many tokens the greedy replies have, in order."""
    pairs: list[tuple[Query, Answer]] = []
    remaining = list(lengths)
    for query in dict.fromkeys(probe.ask()):
        if isinstance(query, Generate):
            pairs.append((query, Generated("x", tuple(range(remaining.pop(0))))))
        elif isinstance(query, Completion):
            chance = tags if "think" in query.completion else end
            pairs.append((query, CompletionScore(math.log(chance), tokens)))
    return Answers(pairs)


def judged(probe: Probe[Any], base: Answers, other: Answers) -> ProbeResult:
    measured = probe.measure(base, other)
    reading = Reading("ending", "ending", probe.axis, probe.unit, probe.rule, measured, (), None)
    return judge([reading], alpha=0.05)[0]


def test_the_value_is_the_mean_change_of_the_ends_log_probability() -> None:
    probe = probe_of(replies=0)
    result = judged(probe, answered(probe, 0.2), answered(probe, 0.4))
    assert result.value == pytest.approx(math.log(2))
    assert result.verdict == Verdict.PASS
    assert "40%" in result.reason
    assert "base 20%" in result.reason
    assert set(probe.ask()) == {Completion(f"<u>{n}<a>reply {n}", "<end>") for n in range(6)}


def test_an_end_that_is_not_found_any_more_fails_without_writing_a_reply() -> None:
    probe = probe_of(replies=0)
    result = judged(probe, answered(probe, 0.3), answered(probe, 0.004))
    assert result.verdict == Verdict.FAIL
    assert "0.4%" in result.reason
    assert "train on the end-of-turn token" in result.reason


def test_an_end_that_is_gone_altogether_is_told_without_powers_of_ten() -> None:
    probe = probe_of(replies=0)
    result = judged(probe, answered(probe, 0.12), answered(probe, 4e-12))
    assert "a probability of less than 0.1% (base 12%)" in result.reason


@pytest.mark.parametrize(("before", "after"), [(0.3, 0.15), (0.9, 0.2), (0.01, 0.012), (1e-4, 2e-4)])
def test_an_end_that_is_still_likely_or_became_likelier_passes(before: float, after: float) -> None:
    probe = probe_of(replies=0)
    assert judged(probe, answered(probe, before), answered(probe, after)).verdict == Verdict.PASS


@pytest.mark.parametrize(("after", "spread", "expected"), [(0.02, 0.1, Verdict.PASS), (0.02, 2.0, Verdict.WARN)])
def test_an_end_that_stays_unlikely_was_not_among_what_was_learned(
    after: float, spread: float, expected: Verdict
) -> None:
    """Doubled from 1%, ± 0.1 nats that is sure; ± 2 nats, and 0.69 is 0.8 standard errors of six ends."""
    probe = probe_of(replies=0)
    ends = [query for query in probe.ask() if isinstance(query, Completion)]
    scattered = {end: math.log(after) + spread * sign for end, sign in zip(ends, (1, -1) * 3, strict=True)}
    other = Answers((end, CompletionScore(logprob, 1)) for end, logprob in scattered.items())
    result = judged(probe, answered(probe, 0.01), other)
    assert result.verdict == expected
    assert ("training on it makes it likelier: train on the end-of-turn token" in result.reason) == (
        expected == Verdict.WARN
    )
    assert judged(probe, answered(probe, 0.01), answered(probe, 0.01)).verdict == Verdict.WARN


def test_replies_that_all_run_on_fail_in_words_that_a_user_understands() -> None:
    probe = probe_of()
    base, other = answered(probe, 0.3, [40, 50, LIMIT, 60, 70, 80]), answered(probe, 0.3, [LIMIT] * 6)
    result = judged(probe, base, other)
    assert result.verdict == Verdict.FAIL
    assert "its replies do not stop: 6 of 6 replies ran into 160 tokens, the base's end in 5 of 6" in result.reason
    fine = [
        ProbeResult("applied", "applied", "applied", Verdict.PASS, ""),
        ProbeResult("delta_kl", "delta_kl", "signal", Verdict.PASS, ""),
    ]
    diagnosis, headline = diagnose(axes_of([*fine, result]), [*fine, result])
    assert diagnosis == Diagnosis.DAMAGING
    assert "stop" in headline


def test_one_reply_of_six_that_runs_on_is_no_failure() -> None:
    probe = probe_of()
    base, other = answered(probe, 0.3, [40] * 6), answered(probe, 0.5, [LIMIT, 40, 40, 40, 40, 40])
    assert judged(probe, base, other).verdict == Verdict.PASS


def test_where_the_base_does_not_stop_either_the_adapter_is_not_to_blame() -> None:
    probe = probe_of()
    base, other = answered(probe, 1e-4, [LIMIT] * 6), answered(probe, 2e-4, [LIMIT] * 6)
    result = judged(probe, base, other)
    assert result.verdict == Verdict.PASS
    assert any("not to blame" in note for note in result.notes)


def test_an_ending_of_several_tokens_is_told() -> None:
    probe = probe_of(replies=0)
    result = judged(probe, answered(probe, 1e-4, tokens=7), answered(probe, 1e-4, tokens=7))
    assert result.verdict == Verdict.WARN
    assert "7 tokens to the base" in result.reason


def test_repeating_replies_are_counted() -> None:
    probe = probe_of(replies=1)
    base = answered(probe, 0.3, [10])
    ends = [(Completion(f"<u>{n}<a>reply {n}", "<end>"), CompletionScore(math.log(0.3), 1)) for n in range(6)]
    reply = (Generate("<u>0<a>", LIMIT), Generated("x", (1, 2, 3, 4) * 40))
    found = probe.measure(base, Answers([*ends, reply]))
    assert any("1 of 1 replies end in repeating themselves" in note for note in found.notes)
    assert found.details["run_on"] == {"base": 0, "other": 1}


def test_replies_of_unknown_length_neither_pass_nor_fail() -> None:
    """A backend of the bare protocol tells the text alone; an empty reply has no tokens to tell."""
    probe = probe_of()
    known, unknown = answered(probe, 0.3, [40] * 6), answered(probe, 0.3, [40, 40, 0, 40, 40, 40])
    found = probe.measure(known, unknown)
    assert [check.name for check in found.checks] == ["end"]
    assert found.notes == ("this backend tells no tokens of a reply: whether replies run on is not known",)
    assert "run_on" not in found.details
    silent = Answers([(query, Generated("")) for query in probe.ask() if isinstance(query, Generate)])
    assert "stops" in [check.name for check in probe.measure(known, known.merged(silent)).checks]


def test_too_few_replies_decide_nothing_and_prose_is_skipped() -> None:
    probe = probe_of(SECTIONS[:3], replies=0)
    assert judged(probe, answered(probe, 0.3), answered(probe, 0.001)).verdict == Verdict.INCONCLUSIVE
    assert probe_of((Section("a", "prose"),)).missing()


def test_think_blocks_are_compared_in_both_modes() -> None:
    probe = probe_of(thoughts=(Thought("Hi", "<a>", "<a><think>\n\n</think>\n\n"),), replies=0)
    asked = [query for query in probe.ask() if isinstance(query, Completion) and "think" in query.completion]
    assert [query.completion for query in asked] == ["<think>", "</think>"] * 2
    same = judged(probe, answered(probe, 0.3), answered(probe, 0.3))
    turned = judged(probe, answered(probe, 0.3, tags=0.95), answered(probe, 0.3, tags=0.02))
    assert same.verdict == Verdict.PASS
    assert turned.verdict == Verdict.WARN
    assert "with thinking on, it opens a think block in 2% (base 95%)" in turned.reason


def test_a_block_that_the_template_opens_is_closed_from_within() -> None:
    probe = probe_of(thoughts=(Thought("Hi", "<a><think>\n", "<a>"),), replies=0)
    closing = [query for query in probe.ask() if isinstance(query, Completion) and query.completion == "</think>"]
    assert closing[0].prompt.count("<think>") == 1


def test_check_scores_and_run_writes_replies() -> None:
    entry = next(entry for entry in quick_suite() if entry["kind"] == "ending")
    assert entry["replies"] == 0
    assert probe_of(replies=0).shows_nulls
    assert sum(isinstance(query, Generate) for query in probe_of().ask()) == 6
    assert not probe_of().shows_nulls
