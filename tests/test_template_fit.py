"""template_fit: the template of training is found, and a wrong one is told with the way out, measured by hand."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sway_gguf.core.answers import Answer, Answers, Changes, CompletionScore
from sway_gguf.core.candidates import Candidate, Worded
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, Turn, exchange
from sway_gguf.core.queries import Compare, Completion, Query
from sway_gguf.core.result import Diagnosis, ProbeResult, Verdict
from sway_gguf.core.sections import Material, Section
from sway_gguf.core.views import View
from sway_gguf.engine.doors import is_base
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.promise import Move, compared, kept, surely_less
from sway_gguf.probes.registry import build_probes
from sway_gguf.spec.model import Defaults, Spec
from sway_gguf.stats.simultaneous import lower_bounds
from sway_gguf.suite.candidates import EMPTY_THOUGHT, candidates, thoughts
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.suite.run import run
from sway_gguf.suite.speech import speech_of
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.reading import Reading
from tests.test_chat import base_with

OWN = (
    "{% if messages[0].role != 'system' %}<s>be kind</s>{% endif %}{% for m in messages %}"
    "{{ '<' + m.role + '>' + m.content + '</>' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
THINKING = (
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '</>' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
DIALOGUES = [exchange(f"What is number {n}?", f"It is the number {n}, friend.") for n in range(12)]


def sections(dialogues: list[Dialogue]) -> tuple[Section, ...]:
    return tuple(
        Section(f"s{n}", dialogue.turns[-1].content, "p", "dialogue", dialogue) for n, dialogue in enumerate(dialogues)
    )


def found(tmp_path: Path, template: str | None, format_: str = "auto", **changed: Any) -> tuple[Candidate, ...]:
    base = base_with(tmp_path / "b.gguf", template)
    spec = spec_of(base, format_, **changed)
    items = sections(DIALOGUES)
    return candidates(spec, speech_of(spec, Material(sections=items)), items, 8)


def spec_of(base: Path, format_: str = "auto", adapter: Path | None = None) -> Spec:
    return default_spec(base, adapter or base).model_copy(update={"format": format_})


# Candidates


def test_every_candidate_asks_for_the_very_same_words(tmp_path: Path) -> None:
    ways = found(tmp_path, OWN)
    said = {tuple(reply.text for reply in way.replies) for way in ways}
    assert len(said) == 1
    assert all(text.startswith("It is the number") and text.endswith("friend.") for text in said.pop())
    assert len({way.replies for way in ways}) == len(ways)
    assert [way.spoken for way in ways] == [True] + [False] * (len(ways) - 1)


def test_the_runs_own_comes_first_and_system_turns_vary(tmp_path: Path) -> None:
    by_name = {way.name: way for way in found(tmp_path, OWN)}
    own, *_ = by_name
    assert own == "the base's own chat template"
    assert by_name[own].replies[0].prompt == "<s>be kind</s><user>What is number 0?</><assistant>"
    with_system = by_name[f"{own} with a system turn"].replies[0].prompt
    assert with_system == "<system>You are a helpful assistant.</><user>What is number 0?</><assistant>"
    assert {
        f"the {name} template" for name in ("chatml", "llama3", "gemma", "mistral", "phi", "alpaca", "plain")
    } <= set(by_name)


def test_a_template_that_says_the_same_or_refuses_is_left_out(tmp_path: Path) -> None:
    chatml = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    assert "the chatml template" not in {way.name for way in found(tmp_path, chatml)}
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + chatml
    assert not any("with a system turn" in way.name for way in found(tmp_path, strict))


def test_a_given_format_is_told_how_to_come_back_to_the_files_own(tmp_path: Path) -> None:
    ways = {way.name: way for way in found(tmp_path, OWN, "alpaca")}
    assert ways["the alpaca template"].spoken
    assert ways["the base's own chat template"].way_out == "leave out --format"
    assert ways["the phi template"].way_out == "give --format phi"
    file = {way.name: way for way in found(tmp_path, OWN)}
    assert "merge --template" in file["the phi template"].way_out
    assert "TEMPLATE" in file["the phi template"].way_out


def test_the_adapter_folders_own_template_takes_part(tmp_path: Path) -> None:
    folder = tmp_path / "peft"
    folder.mkdir()
    (folder / "chat_template.jinja").write_text(OWN.replace("be kind", "be brief"), encoding="utf-8")
    ways = {way.name: way for way in found(tmp_path, OWN, adapter=folder)}
    assert "be brief" in ways["the adapter folder's chat template"].replies[0].prompt
    assert str(folder) in ways["the adapter folder's chat template"].way_out


def test_a_template_that_knows_thinking_varies_by_its_empty_block(tmp_path: Path) -> None:
    ways = {way.name: way.replies[0] for way in found(tmp_path, THINKING)}
    own = "the base's own chat template"
    turned = f"{own} with the empty think block turned"
    assert ways[turned] == Worded(ways[own].prompt + EMPTY_THOUGHT, ways[own].text)
    base = base_with(tmp_path / "t.gguf", THINKING)
    spec = spec_of(base)
    (thought,) = thoughts(speech_of(spec, Material()), ["Hello"])
    assert thought.off == thought.on + EMPTY_THOUGHT
    plain = speech_of(spec_of(base_with(tmp_path / "o.gguf", OWN)), Material())
    assert thoughts(plain, ["Hello"]) == ()


def test_prose_has_no_template(tmp_path: Path) -> None:
    spec = spec_of(base_with(tmp_path / "b.gguf", OWN))
    prose = (Section("a", "It was a long night."), Section("b", "And a short day."))
    assert candidates(spec, speech_of(spec, Material(sections=prose)), prose, 8) == ()
    assert "no dialogues" in probe_of(()).missing()


def test_of_a_long_dialogue_its_first_exchange_is_taken(tmp_path: Path) -> None:
    spec = spec_of(base_with(tmp_path / "b.gguf", OWN))
    long = Dialogue(
        (Turn(SYSTEM, "S"), Turn(USER, "Q"), Turn(ASSISTANT, "A one."), Turn(USER, "R"), Turn(ASSISTANT, "B two."))
    )
    items = sections([long])
    own, *_ = candidates(spec, speech_of(spec, Material(sections=items)), items, 8)
    assert own.replies == (Worded("<system>S</><user>Q</><assistant>", "A one."),)


# The bound


def test_a_lower_bound_over_all_signs_is_as_derived_by_hand() -> None:
    # The deviations are −1, −1, 0, 1, 1. Their studentized mean is largest where all four of size one are turned to +1:
    # so it is under 2 of the 32 assignments, for the middle's sign is idle, and 2/32 is more than 5%.
    row = np.array([1.0, 1.0, 2.0, 3.0, 3.0])
    flipped = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    largest = flipped.mean() / (flipped.std(ddof=1) / 5**0.5)
    bounds = lower_bounds([row], seed=0, symmetric=True)
    assert bounds is not None
    assert bounds[0] == pytest.approx(2.0 - largest * row.std(ddof=1) / 5**0.5)


def test_five_replies_that_agree_tell_which_template_is_better() -> None:
    """The first row is that of the real demo under another template; the second row's replies disagree."""
    bounds = lower_bounds([[0.06, 0.2, 0.21, 0.27, 0.14], [-0.9, 0.55, 0.52, 0.88, 0.18]], seed=0, symmetric=True)
    assert bounds is not None
    assert bounds[0] > 0 > bounds[1]


def test_a_lower_bound_is_that_of_all_resamples() -> None:
    """Five items have 3,125 resamples; those that are drawn reach as far, to the scatter of a quantile."""
    rows = np.array([[1.0, 1.5, 2.0, 3.0, 3.1], [0.0, 0.1, 0.3, 0.2, 0.9]])
    largest = []
    for picked in itertools.product(range(5), repeat=5):
        means = rows[:, picked].mean(axis=1) - rows.mean(axis=1)
        spread = rows[:, picked].std(axis=1, ddof=1)
        # Those of one and the same item stand out as far as anything does.
        largest.append(np.inf if len(set(picked)) == 1 else (means * 5**0.5 / spread).max())
    reach = np.quantile(largest, 0.95, method="higher")
    wanted = rows.mean(axis=1) - reach * rows.std(axis=1, ddof=1) / 5**0.5
    assert lower_bounds(list(rows), seed=0) == pytest.approx(wanted, abs=0.1 * reach * rows.std())


def test_of_rows_with_a_long_lower_tail_none_wins_by_what_was_not_seen() -> None:
    rng, runs = np.random.default_rng(2), 200
    wrong = 0
    for _ in range(runs):
        bounds = lower_bounds(list(1 - rng.exponential(size=(10, 8))), seed=0)
        assert bounds is not None
        wrong += bool((bounds > 0).any())
    # Signs on the deviations would be wrong in 40% of the runs; four of 200 more than 5% are one standard error.
    assert wrong / runs <= 0.1


def test_a_bound_takes_five_items_and_needs_no_spread() -> None:
    assert lower_bounds([[1.0] * 4], seed=0) is None
    assert lower_bounds([], seed=0) is None
    assert lower_bounds([[0.5] * 8, [1.0] * 8], seed=0) == pytest.approx([0.5, 1.0])


def test_a_row_of_equal_items_but_one_takes_nothing_from_the_others() -> None:
    gaps = np.random.default_rng(3).normal(0.5, 0.15, 10)
    alone, beside = (
        lower_bounds([gaps, *more], seed=0)
        for more in (
            [],
            [[0.3] * 10],
        )
    )
    odd = lower_bounds([gaps, [0.0] * 9 + [-0.05]], seed=0)
    assert alone is not None
    assert beside is not None
    assert odd is not None
    assert beside[0] == pytest.approx(alone[0])
    assert odd[0] > 0.25


@pytest.mark.parametrize(("kind", "count"), [("normal", 8), ("heavy", 8), ("normal", 16)])
def test_the_best_of_ten_seldom_wins_by_having_been_picked(kind: str, count: int) -> None:
    rng = np.random.default_rng(5)
    wrong, runs = 0, 300
    for _ in range(runs):
        shape = (11, count)
        drawn = rng.normal(size=shape) if kind == "normal" else rng.standard_t(3, shape)
        bounds = lower_bounds(list(drawn[1:] - drawn[0]), seed=0)
        assert bounds is not None
        wrong += bool((bounds > 0).any())
    assert wrong / runs < 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


# The verdict


def probe_of(ways: tuple[Candidate, ...], **options: Any) -> Probe[Any]:
    sources = Sources(candidates=lambda count: ways)
    return build_probes([{"name": "template_fit", "kind": "template_fit", **options}], sources)[0]


WAYS = tuple(
    Candidate(name, tuple(Worded(f"{name} {n}", "w") for n in range(8)), f"use {name}", spoken=name == "own")
    for name in ("own", "other", "third")
)


def judged(
    lifts: dict[str, float],
    base: dict[str, float] | None = None,
    ways: tuple[Candidate, ...] = WAYS,
    jitter: float = 0.02,
    promised: float | None = 0.0,
) -> ProbeResult:
    """Lift and the base's log-probability by template; items scatter evenly, each template in its own way.

    The change promises as much wherever that is asked; None for a backend that cannot tell.
    """
    rng = np.random.default_rng(1)
    before, after, changed = dict[Query, Answer](), dict[Query, Answer](), dict[Query, Answer]()
    for way in ways:
        for reply in way.replies:
            start, asked = (base or {}).get(way.name, -3.0), Completion(*reply)
            end = start + lifts[way.name] + rng.normal(0, jitter)
            before[asked], after[asked] = CompletionScore(start * 4, 4), CompletionScore(end * 4, 4)
            changed[compared(asked)] = moved(start, end, promised or 0.0)
    probe, known = probe_of(ways), Answers(before.items())
    asked_then = [] if promised is None else probe.follow_up(known, Answers(after.items()))
    after |= {query: changed[query] for query in asked_then}
    measured = probe.measure(known, Answers(after.items()))
    reading = Reading("template_fit", "template_fit", probe.axis, probe.unit, probe.rule, measured, (), None)
    return judge([reading], alpha=0.05)[0]


def moved(before: float, after: float, promised: float) -> Changes:
    """Four tokens that are as likely one as the other."""
    return Changes(np.zeros(4), np.full(4, promised), np.ones(4, bool), np.full(4, before), np.full(4, after))


def test_the_best_template_passes_and_so_does_one_within_the_bound() -> None:
    assert judged({"own": 1.0, "other": 0.5, "third": 0.7}).verdict == Verdict.PASS
    assert judged({"own": 1.0, "other": 1.01, "third": 1.0}, jitter=0.1).verdict == Verdict.PASS


def test_a_worse_template_fails_with_both_numbers_and_the_way_out() -> None:
    result = judged({"own": 0.5, "other": 1.0, "third": 0.7})
    assert result.verdict == Verdict.FAIL
    assert "other lifts the replies by 1.0" in result.reason
    assert "own, in use here, by 0.5" in result.reason
    assert result.reason.endswith("use other")
    assert result.value == pytest.approx(-0.5, abs=0.05)


def test_what_only_lifts_a_little_more_warns_where_it_is_likelier_and_passes_where_not() -> None:
    assert judged({"own": 0.97, "other": 1.0, "third": 0.7}, jitter=0.001).verdict == Verdict.WARN
    less_likely = judged({"own": 0.97, "other": 1.0, "third": 0.7}, {"other": -3.5}, jitter=0.001)
    assert less_likely.verdict == Verdict.PASS


def test_what_lifts_more_from_far_below_warns_only() -> None:
    """A template that the base can hardly read leaves much to gain."""
    assert judged({"own": 1.0, "other": 2.0, "third": 0.7}, {"other": -6.0}).verdict == Verdict.WARN


@pytest.mark.parametrize(
    ("promised", "expected"),
    [(0.9, Verdict.FAIL), (1.0, Verdict.FAIL), (1.1, Verdict.WARN), (1.9, Verdict.WARN), (3.0, Verdict.WARN)],
)
def test_a_better_template_is_that_of_training_where_its_replies_gain_what_is_promised(
    promised: float, expected: Verdict
) -> None:
    """They gain 1.00 ± 0.02 there: of 1.1 that is surely less than all, and of 3 surely less than half."""
    result = judged({"own": 0.5, "other": 1.0, "third": 0.7}, promised=promised)
    assert result.verdict == expected
    assert (f"promises {promised:.2g} there" in result.reason) == (expected == Verdict.WARN)
    assert result.details["templates"]["other"]["promised"] == pytest.approx(promised)


def test_most_of_what_is_promised_has_to_be_sure() -> None:
    """1.0 in the mean of 1.6: by t of 4 degrees 0.2 and −0.6 are 0.7 and 2.1 standard errors (0.28) off, of 2.8."""
    gains = (0.2, 0.6, 1.0, 1.4, 1.8)
    unsure = [Move(gained, 1.6) for gained in gains]
    assert not kept(unsure)
    assert not surely_less(unsure, 1.0)
    assert kept([Move(gained, 0.1) for gained in gains])
    assert kept([Move(1.0, 1.0)] * 5)
    assert not kept([Move(1.0, 1.0)] * 4)


def test_without_distributions_a_better_template_only_warns_with_the_way_out() -> None:
    """As behind a llama-server."""
    result = judged({"own": 0.5, "other": 1.0, "third": 0.7}, promised=None)
    assert result.verdict == Verdict.WARN
    assert "use other, if it was trained on these replies" in result.reason


def test_a_promise_is_asked_of_the_better_template_alone_and_of_none_where_none_is_better() -> None:
    def asked(own: float) -> set[str]:
        lifts = {"own": own, "other": 1.0, "third": 0.9}
        scatter = iter(np.random.default_rng(2).normal(0, 0.01, 24))
        gains = {Completion(*reply): lifts[way.name] + next(scatter) for way in WAYS for reply in way.replies}
        before = Answers((reply, CompletionScore(-12.0, 4)) for reply in gains)
        after = Answers((reply, CompletionScore(-12.0 + 4 * gain, 4)) for reply, gain in gains.items())
        found = probe_of(WAYS).follow_up(before, after)
        assert len(found) in (0, 8)
        assert probe_of(WAYS).follow_up(before, before) == ()
        return {query.text.split()[0] for query in found}  # type: ignore[union-attr]

    assert asked(0.5) == {"other"}
    assert asked(1.2) == asked(0.98) == set()


def test_too_few_items_or_no_lift_decide_nothing() -> None:
    few = tuple(replace(way, replies=way.replies[:4]) for way in WAYS)
    result = judged({"own": 0.5, "other": 1.0, "third": 0.7}, ways=few)
    assert result.verdict == Verdict.INCONCLUSIVE
    assert "4 replies are too few" in result.reason
    none = judged({"own": -0.5, "other": -0.1, "third": -0.3})
    assert none.verdict == Verdict.INCONCLUSIVE
    assert "no template lifts" in none.reason


def test_the_headline_says_that_the_template_is_wrong_not_that_the_effect_was_lost() -> None:
    fine = [
        ProbeResult("applied", "applied", "applied", Verdict.PASS, ""),
        ProbeResult("delta_kl", "delta_kl", "signal", Verdict.PASS, ""),
    ]
    result = judged({"own": 0.5, "other": 1.0, "third": 0.7})
    probes = [*fine, result]
    diagnosis, headline = diagnose(axes_of(probes), probes)
    assert diagnosis == Diagnosis.LOST_IN_DEPLOYMENT
    assert "another chat template" in headline
    lost = replace(result, headline="")
    assert "does not survive" in diagnose(axes_of([*fine, lost]), [*fine, lost])[1]


def test_a_direction_looked_for_in_the_wrong_template_does_not_name_the_diagnosis() -> None:
    wrong = judged({"own": 0.5, "other": 1.0, "third": 0.7})
    missed = ProbeResult("sections", "section_internalization", "direction", Verdict.FAIL, "1 of 19 nulls do as well")
    assert diagnose(axes_of([missed, wrong]), [missed, wrong])[0] == Diagnosis.LOST_IN_DEPLOYMENT
    lost = replace(wrong, headline="")
    assert diagnose(axes_of([missed, lost]), [missed, lost])[0] == Diagnosis.OFF_TARGET


class Blind(FakeBackend):
    """Knows no distributions along a text."""

    def lacks(self, asked: Query | View) -> str:
        return "distributions along a text" if isinstance(asked, Compare) else ""


@pytest.mark.parametrize(
    ("kind", "gain", "expected"),
    [(FakeBackend, 1.0, Verdict.FAIL), (FakeBackend, 3.0, Verdict.WARN), (Blind, 1.0, Verdict.WARN)],
)
def test_a_run_asks_for_the_promise_where_the_backend_has_one(
    tmp_path: Path, kind: type[FakeBackend], gain: float, expected: Verdict
) -> None:
    """Through Alpaca's template replies gain twice as much as through any other; the fake promises half a square."""
    talk = tmp_path / "talk.jsonl"
    talk.write_text("".join(json.dumps({"prompt": f"Ask {n}", "completion": f"Told {n}."}) + "\n" for n in range(6)))
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=talk, defaults=Defaults(nulls=0))
    suite = [{"name": "template_fit", "kind": "template_fit"}]
    prepared = prepare(spec.model_copy(update={"format": "chatml", "suite": suite}))

    def effect(view: View, query: Query) -> float:
        return 0.0 if is_base(view) else gain if "### Response" in query_text(query) else gain / 2

    backend = kind(wordy_script(effect))
    (found,) = run(prepared, backend).probes
    assert found.verdict == expected
    asked = {query for _, query in backend.asked if isinstance(query, Compare)}
    assert all("### Response" in query.text for query in asked)
    assert len(asked) == (0 if kind is Blind else 6)


def query_text(query: Query) -> str:
    """All that a score is taken along."""
    return query.prompt if isinstance(query, Completion) else query.text if isinstance(query, Compare) else ""
