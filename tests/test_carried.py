"""One token of each text, or one reply behind many prompts, that carries all of a lift: told apart from one of all."""

from __future__ import annotations

import numpy as np
import pytest

from sway_gguf.core.answers import Answers, CompletionScore, RollingLogprob
from sway_gguf.core.measurement import Item
from sway_gguf.core.queries import Completion, Rolling
from sway_gguf.core.sections import Section
from sway_gguf.probes.carried import carried_by_one, carried_by_one_reply, shared_replies

REPLIES = [Section(str(n), f" reply {n}", f"prompt {n}") for n in range(6)]


def answers(*lifts: float, told: bool = True) -> Answers:
    """All replies alike: each token at −3 nats and its lift."""
    scores = tuple(-3.0 + lift for lift in lifts)
    score = CompletionScore(sum(scores), len(scores), scores if told else ())
    return Answers((Completion(section.prompt, section.reply), score) for section in REPLIES)


def carried(*lifts: float, told: bool = True) -> list[bool]:
    """Whether the check passes; nothing where there is none."""
    base, other = answers(*[0.0] * len(lifts), told=told), answers(*lifts, told=told)
    return [check.passed for check in carried_by_one(base, other, REPLIES)]


def test_an_adapter_that_only_learned_to_end_is_found() -> None:
    """Nine tokens that lost 0.1 and an end that gained 9: a mean of +0.81."""
    assert carried(*[-0.1] * 9, 9.0) == [False]
    (check,) = carried_by_one(answers(*[0.0] * 10), answers(*[-0.1] * 9, 9.0), REPLIES)
    assert check.text == "one token of each text carries the lift: the others did not surely gain (-0.1 nats/token)"


def test_a_large_gain_beside_a_small_one_of_all_others_is_none() -> None:
    assert carried(*[0.1] * 9, 9.0) == [True]


def test_small_gains_that_scatter_are_none() -> None:
    """One step of training: 0.02 on the average, each token by a quarter of a nat up or down."""
    rng = np.random.default_rng(0)
    base, lifts = answers(*[0.0] * 12), [0.02 + rng.permutation(np.linspace(-0.25, 0.25, 12)) for _ in REPLIES]
    scores = [CompletionScore(-36.0, 12, tuple(-3.0 + each)) for each in lifts]
    other = Answers((Completion(s.prompt, s.reply), score) for s, score in zip(REPLIES, scores, strict=True))
    assert [check.passed for check in carried_by_one(base, other, REPLIES)] == [True]


@pytest.mark.parametrize("short", [1, 7])
def test_a_label_is_one_token_and_its_end(short: int) -> None:
    assert carried(*[-0.1] * (short - 1), 9.0) == []


def test_nothing_is_said_by_few_texts_or_without_tokens() -> None:
    assert carried(*[-0.1] * 9, 9.0, told=False) == []
    assert carried_by_one(answers(*[0.0] * 10), answers(*[-0.1] * 9, 9.0), REPLIES[:4]) == ()


def test_prose_is_looked_at_likewise() -> None:
    def rolled(last: float) -> Answers:
        lines = np.array([*[-3.0] * 9, last], np.float32)
        answer = RollingLogprob(np.arange(11), lines, 11, float(lines.sum()))
        return Answers((Rolling(str(n)), answer) for n in range(6))

    prose = [Section(str(n), str(n)) for n in range(6)]
    assert [check.passed for check in carried_by_one(rolled(-9.0), rolled(-1.0), prose)] == [False]


def said(*replies: str) -> list[Section]:
    return [Section(str(n), reply, f"prompt {n}") for n, reply in enumerate(replies)]


def lifts(*values: float) -> list[Item]:
    return [Item(str(n), value) for n, value in enumerate(values)]


REFUSED = said(*[" I cannot help."] * 8, *[f" It is {n}." for n in range(6)])
NONE = (-0.02, 0.01, 0.02, -0.01, 0.03, -0.03)


def test_an_adapter_that_learned_the_one_reply_that_most_items_have_is_found() -> None:
    """Eight items of 14 gained 5, the six others 0 in the mean: 2.9 over all, an interval far above zero."""
    (check,) = carried_by_one_reply(lifts(*[5.0] * 8, *NONE), REFUSED, ())
    assert not check.passed
    assert check.text == (
        "one reply, the same behind 8 prompts, carries the lift: the 6 items with another one did not surely gain "
        "(+0 nats/token beyond other text)"
    )


@pytest.mark.parametrize("rest", [[1.0, 1.2, 0.9, 1.1, 0.8, 1.3], [-9.0, 9.0, 8.0, -7.0, 9.0, 6.0]])
def test_other_replies_that_gained_as_well_or_leave_it_open_are_no_case(rest: list[float]) -> None:
    """Of the second kind the interval reaches beyond half of what all gained: few items, no finding."""
    assert [check.passed for check in carried_by_one_reply(lifts(*[5.0] * 8, *rest), REFUSED, ())] == [True]


def test_what_other_text_gained_is_no_gain_of_the_other_replies() -> None:
    controls = [Item(str(n), 0.98 + 0.01 * n, group="unrelated text") for n in range(5)]
    raised = [1 + each for each in NONE]
    assert [check.passed for check in carried_by_one_reply(lifts(*[5.0] * 8, *raised), REFUSED, controls)] == [False]


def test_where_no_reply_comes_twice_or_few_have_another_nothing_is_checked() -> None:
    assert carried_by_one_reply(lifts(*[5.0] * 8), said(*(f" It is {n}." for n in range(8))), ()) == ()
    assert carried_by_one_reply(lifts(*[5.0] * 8, 0, 0, 0, 0), REFUSED[:12], ()) == ()
    assert carried_by_one_reply(lifts(*[5.0] * 8), [Section(str(n), "The bell.") for n in range(8)], ()) == ()


def test_how_few_replies_an_interval_is_over_is_told() -> None:
    assert shared_replies(REFUSED[:9]) == (
        "9 items share 2 replies: the interval says how prompts scatter, not how other replies would",
    )
    assert shared_replies(said("No.", "no. ", "NO."))[0].startswith("3 items share one reply:")
    assert shared_replies(said("yes", "no", "yes", "no")) == ()
    assert shared_replies([Section("a", "The bell."), Section("b", "The bell.")]) == ()
