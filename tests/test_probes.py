"""Each probe on scripted answers, with values derived by hand."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from sway_gguf.collect import collect, groups_of
from sway_gguf.core.adapter_facts import AdapterFacts, ModuleFacts
from sway_gguf.core.answers import Answer, Answers, CompletionScore
from sway_gguf.core.candidates import Candidate, Thought, Worded
from sway_gguf.core.divergence import js, js_distance, kl
from sway_gguf.core.errors import UserError
from sway_gguf.core.measurement import Measurement
from sway_gguf.core.queries import Completion, NextToken, Query, Rolling
from sway_gguf.core.sections import Paraphrase, Preference, Section
from sway_gguf.core.training import Moments, Training
from sway_gguf.core.views import BASE, View
from sway_gguf.engine.fake import FakeBackend, distribution, rolling, wordy_script
from sway_gguf.probes.adapter_ablation import peak_of, scale_check, shape_checks
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import KINDS, build_probes
from sway_gguf.probes.sources import SetMember


def probe_of(kind: str, sources: Sources, **options: Any) -> Probe[Any]:
    return build_probes([{"name": kind, "kind": kind, **options}], sources)[0]


def answers(pairs: Mapping[Query, Answer]) -> Answers:
    return Answers(pairs.items())


def test_applied_is_the_mean_over_prompts_of_the_largest_change() -> None:
    probe = probe_of("applied", Sources(prompts=("a", "b")))
    base = answers({NextToken("a"): distribution(1, 1), NextToken("b"): distribution(1, 1)})
    other = answers({NextToken("a"): distribution(1, 1), NextToken("b"): distribution(3, 1)})
    # ½ → ¼ is the larger change of the second prompt: ln 2
    assert probe.measure(base, other).value == pytest.approx(math.log(2) / 2, abs=1e-6)


@pytest.mark.parametrize("divergence", ["js", "kl"])
def test_delta_kl_is_the_mean_divergence_in_the_direction_stated(divergence: str) -> None:
    probe = probe_of("delta_kl", Sources(prompts=("a", "b")), divergence=divergence)
    p, q = distribution(1, 1, 2), distribution(5, 1, 1)
    found = probe.measure(
        answers({NextToken("a"): p, NextToken("b"): p}), answers({NextToken("a"): p, NextToken("b"): q})
    )
    expected = js(p, q) if divergence == "js" else kl(q, p)
    assert [item.value for item in found.items] == pytest.approx([0.0, expected], abs=1e-9)
    assert found.value == pytest.approx(expected / 2)


def test_section_internalization_takes_off_what_unrelated_text_gained() -> None:
    sections = (Section("one", "x"), Section("two", " y", "p"))
    probe = probe_of("section_internalization", Sources(sections=sections, general=("g",)))
    base = answers(
        {Rolling("x"): rolling(-2, -4), Completion("p", " y"): CompletionScore(-6, 2), Rolling("g"): rolling(-1, -1)}
    )
    other = answers(
        {Rolling("x"): rolling(-1, -2), Completion("p", " y"): CompletionScore(-2, 2), Rolling("g"): rolling(-0.5, -1)}
    )
    found = probe.measure(base, other)
    # lifts: 1.5 and 2; the control gained 0.25
    assert [item.value for item in found.items] == pytest.approx([1.5, 2.0])
    assert found.value == pytest.approx(1.75 - 0.25)
    assert [item.detail["contrast"] for item in found.items] == pytest.approx([-0.5, 0.5])


def test_preference_flip_is_the_mean_change_of_the_margin() -> None:
    triples = (Preference("p", " a", " b"), Preference("q", " a", " b"))
    probe = probe_of("preference_flip", Sources(preferences=triples))

    def scores(first: float, second: float) -> Answers:
        return answers(
            {
                Completion("p", " a"): CompletionScore(first, 1),
                Completion("p", " b"): CompletionScore(-2.0, 1),
                Completion("q", " a"): CompletionScore(second, 1),
                Completion("q", " b"): CompletionScore(-2.0, 1),
            }
        )

    found = probe.measure(scores(-3.0, -1.0), scores(-1.0, -1.5))
    # margins −1 → +1 and +1 → +0.5
    assert found.value == pytest.approx((2.0 - 0.5) / 2)
    assert (found.details["turned"], found.details["base_wrong"]) == (1, 1)


def test_a_margin_is_per_token_with_the_sum_beside_it() -> None:
    """A reply of one token against one of ten, all tokens losing 1 nat: the sums' margin grows by 9, this one by 0."""
    probe = probe_of("preference_flip", Sources(preferences=(Preference("p", " a", " b"),)))

    def scores(token: float) -> Answers:
        pairs = {(" a", 1), (" b", 10)}
        return answers({Completion("p", text): CompletionScore(token * count, count) for text, count in pairs})

    found = probe.measure(scores(-2.0), scores(-3.0))
    assert found.value == pytest.approx(0.0)
    assert found.details["sum_change"] == pytest.approx(9.0)
    assert found.details["chosen_lift"] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("chosen", "rejected", "missed"),
    [(0.5, -1.0, []), (-0.2, -1.5, ["chosen"]), (-5.0, -6.0, ["chosen", "no mere damage"])],
    ids=["learned", "displaced", "damaged"],
)
def test_a_chosen_reply_that_became_less_likely_is_told(chosen: float, rejected: float, missed: list[str]) -> None:
    probe = probe_of("preference_flip", Sources(preferences=(Preference("p", " a", " b"),)))

    def scores(right: float, wrong: float) -> Answers:
        found = {Completion("p", " a"): CompletionScore(right, 1), Completion("p", " b"): CompletionScore(wrong, 1)}
        return answers(found)

    found = probe.measure(scores(-7.0, -7.0), scores(-7.0 + chosen, -7.0 + rejected))
    assert [check.name for check in found.checks if not check.passed] == missed
    assert [check.fails for check in found.checks if not check.passed] == [name != "chosen" for name in missed]


def test_margins_that_all_text_stretches_alike_are_no_preference() -> None:
    """Every log-probability doubled: the triples' margin of 2 grows by 2, and so does that of general text."""
    general = tuple(" ".join(f"word{n}.{text}" for n in range(40)) for text in range(5))
    probe = probe_of("preference_flip", Sources(preferences=(Preference("p", " a", " b"),), general=general))
    scored = {query: CompletionScore(-1.0 if place % 2 == 0 else -3.0, 1) for place, query in enumerate(probe.ask())}
    sharper = {query: CompletionScore(2 * score.logprob, 1) for query, score in scored.items()}
    found = probe.measure(answers(scored), answers(sharper))
    assert found.items[0].value == pytest.approx(2.0)
    assert found.value == pytest.approx(0.0)


def test_a_preference_may_have_no_prompt_and_little_general_text_beside_it() -> None:
    triples = tuple(Preference("", f" a{n}", f" b{n}") for n in range(5))
    general = (" ".join(f"word{n}" for n in range(40)),)
    probe = probe_of("preference_flip", Sources(preferences=triples, general=general))
    same = answers({query: CompletionScore(-2.0, 1) for query in probe.ask()})
    found = probe.measure(same, same)
    assert found.value == 0.0
    assert found.controls == ()


def test_material_gains_nothing_by_what_other_text_loses() -> None:
    sections = tuple(Section(f"s{n}", f"x{n}") for n in range(5))
    probe = probe_of("section_internalization", Sources(sections=sections, general=("g",)))
    before = {query: rolling(-2.0, -2.0) for query in probe.ask()}
    after = {query: rolling(-9.0, -9.0) if query == Rolling("g") else rolling(-2.5, -2.5) for query in probe.ask()}
    assert probe.measure(answers(before), answers(after)).value == pytest.approx(-0.5)


def test_own_words_that_gain_in_any_order_are_no_lesson() -> None:
    sections = tuple(Section(f"s{n}", f"one two three four {n}") for n in range(5))
    probe = probe_of("section_internalization", Sources(sections=sections, general=("g",)))
    before = {query: rolling(-4.0, -4.0) for query in probe.ask()}
    assert len(before) == 5 + 1 + 2 * 5
    after = {query: rolling(-4.0, -4.0) if query == Rolling("g") else rolling(-3.0, -3.0) for query in probe.ask()}
    found = probe.measure(answers(before), answers(after))
    assert [item.value for item in found.items] == pytest.approx([1.0] * 5)
    assert found.value == pytest.approx(0.0)


def test_golds_whose_letters_gain_in_any_order_are_told() -> None:
    cases = tuple(Paraphrase(f"p{n}", f" answer{n}", (f"q{n}",)) for n in range(5))
    probe = probe_of("paraphrase_invariance", Sources(paraphrases=cases, general=("g",)))
    golds = {case.gold for case in cases}

    def scores(gold: float, mixed: float) -> Answers:
        asked = [query for query in probe.ask() if isinstance(query, Completion)]
        assert len(asked) == 15
        found: dict[Query, Answer] = {
            query: CompletionScore(gold if query.completion in golds else mixed, 1) for query in asked
        }
        return answers({**found, Rolling("g"): rolling(-1.0, -1.0)})

    def missed(mixed: float) -> list[str]:
        found = probe.measure(scores(-5.0, -8.0), scores(-3.0, mixed))
        return [check.name for check in found.checks if not check.passed]

    assert missed(-7.5) == []
    assert missed(-6.0) == ["content"]


def bits_text(bits: float, text: str) -> Answer:
    return rolling(-bits * math.log(2) * len(text))


def test_external_perplexity_leaves_out_what_the_base_cannot_read() -> None:
    texts = ("known one", "known two", "old prose")
    probe = probe_of("external_perplexity", Sources(general=texts))
    base = answers({Rolling(t): bits_text(4.0 if t == "old prose" else 1.0, t) for t in texts})
    other = answers({Rolling(t): bits_text(9.0 if t == "old prose" else 1.1, t) for t in texts})
    found = probe.measure(base, other)
    assert len(found.items) == 2
    assert found.value == pytest.approx(-0.1 * math.log(2) * 9)
    assert "only 2 of 3" in found.undecided
    assert "--general" in found.undecided


def test_external_perplexity_decides_with_five_known_texts() -> None:
    texts = tuple(f"text {n}" for n in range(5))
    known = answers({Rolling(t): bits_text(1.0, t) for t in texts})
    assert probe_of("external_perplexity", Sources(general=texts)).measure(known, known).undecided == ""


def test_ablation_asks_for_every_scale_but_zero_and_one() -> None:
    assert probe_of("adapter_ablation", Sources(prompts=("a",)), lambdas=[0, 0.25, 0.5, 1, 2]).scales == (0.25, 0.5, 2)


def curve(*values: float) -> tuple[np.ndarray, np.ndarray]:
    return np.linspace(0, 1, len(values)), np.array(values)


@pytest.mark.parametrize(
    ("values", "failed"),
    [
        ((0, 0.1, 0.2, 0.3, 0.4), set()),
        ((0, 0.13, 0.24, 0.33, 0.4), set()),
        ((0, 0.3, 0.1, 0.3, 0.4), {"rising"}),
        ((0, 0.3, 0.39, 0.399, 0.4), {"open"}),
        ((0, 0.0, 0.0, 0.0, 0.4), set()),
        ((0, 0.1, 0.6, 0.81, 0.83), set()),
        ((0, 0.83, 0.6, 0.81, 0.83), {"rising"}),
        ((0, 0.83, 0.83, 0.83, 0.83), {"open"}),
        ((0, 0.01, 0.02, 0.03, 0.83), set()),
    ],
    ids=["straight", "bent", "dented", "saturated", "a jump", "at its end", "dented", "there at once", "a cliff"],
)
def test_shapes_of_curves(values: tuple[float, ...], failed: set[str]) -> None:
    assert {check.name for check in shape_checks(*curve(*values)) if not check.passed} == failed


def test_ablation_finds_the_scale_at_which_the_document_is_likeliest() -> None:
    section = Section("s", "x")
    probe = probe_of("adapter_ablation", Sources(prompts=("a",), sections=(section,)))
    lift = {0.25: 0.1, 0.5: 0.3, 0.75: 0.6, 1.0: 0.9, 1.25: 1.2, 1.5: 1.0, 2.0: -3.0}
    points = {lam: Measurement(0.1 * lam, lift=lift[lam]) for lam in lift}
    found = probe.over_scales(points)
    assert found.value == pytest.approx(0.1)
    # the parabola through 0.9 at 1, 1.2 at 1.25 and 1.0 at 1.5 has its vertex at 1.275
    assert found.curve
    assert found.curve.peak == pytest.approx(1.275)
    assert found.curve.lifts == (0.0, *lift.values())
    assert all(check.passed for check in found.checks)


@pytest.mark.parametrize(
    ("lifts", "peak", "passed"),
    [
        ((0, 1, 2, 3), 2.0, False),
        ((0, 1, -1, -3), 0.5, False),
        ((0, -1, -2, -3), 0.0, False),
        ((0, 1, 2, 1), 4 / 3, True),
    ],
    ids=["under-scaled", "over-scaled", "harmful", "fine"],
)
def test_the_scale_response_warns_far_from_one(lifts: tuple[float, ...], peak: float, passed: bool) -> None:
    lambdas = [0.0, 0.5, 1.0, 2.0]
    found = peak_of(lambdas, lifts)
    assert scale_check(found, 2.0).passed == passed
    assert found == pytest.approx(peak, abs=0.2)


def test_ablation_of_a_zero_adapter_has_no_shape() -> None:
    probe = probe_of("adapter_ablation", Sources(prompts=("a",)))
    flat = {lam: Measurement(0.0) for lam in (*probe.scales, 1.0)}
    assert "flat" in probe.over_scales(flat).undecided


def test_ablation_measures_the_js_distance() -> None:
    probe = probe_of("adapter_ablation", Sources(prompts=("a",)))
    p, q = distribution(1, 1), distribution(3, 1)
    found = probe.measure(answers({NextToken("a"): p}), answers({NextToken("a"): q}))
    assert found.value == pytest.approx(js_distance(p, q))


TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
FULL = Sources(
    sections=tuple(
        Section(
            f"s{n}",
            f"section {n} tells of a small boat. It went out in the morning. Number {n} never came back.",
            ending=" the end",
        )
        for n in range(6)
    ),
    candidates=lambda count: tuple(
        Candidate(f"template {which}", tuple(Worded(f"{which}: ask {n} >", f"a reply {n}") for n in range(count)))
        for which in "ab"
    ),
    thoughts=lambda count: (Thought("why?", "why? >", "why? > <think></think>"),),
    preferences=(Preference("p", " a", " b"),),
    paraphrases=(Paraphrase("the colour is", " blue", ("its hue is",)),),
    general=tuple(f"general text {n} speaks of nothing in particular and does so at some length" for n in range(6)),
    prompts=tuple(f"prompt number {n}" for n in range(24)),
    adapter=lambda: (AdapterFacts(8.0, (ModuleFacts("m", 2, (4, 4), True, (2.0, 1.0), (3.0, 1.0), 0.1),)),),
    checkpoint=lambda folder: Training(
        tuple((n, 1.0) for n in range(8)), moments=(Moments("0", 100, first=0.2, second=1.0, noise=0.2),)
    ),
    chat=lambda dialogue, opens=True: "".join(f"{turn.role}: {turn.content}\n" for turn in dialogue.turns),
    members=(SetMember("a"), SetMember("b")),
    everyday=tuple(Section(f"e{n}", f"a reply of some length to number {n}", f"request {n}: ") for n in range(6)),
)
NEEDED: dict[str, dict[str, Any]] = {
    "training_drift": {"checkpoint": "there"},
    "gradient_ghost": {"checkpoint": "there"},
    "tool_use_fidelity": {"cases": [{"prompt": "rain?", "tools": [TOOL], "expected": {"name": "weather"}}]},
}


def all_answers(probe: Probe[Any], view: View, base: Answers | None = None) -> Answers:
    """What a view answers to everything that a probe asks, follow-ups included."""
    backend = FakeBackend(wordy_script(lambda view, query: 0.0))
    return collect(
        backend, view, groups_of({"it": probe.ask()}), follow_up=lambda own: {"it": probe.follow_up(base or own, own)}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_probe_says_what_it_lacks_and_measures_only_what_it_asked(kind: str) -> None:
    if kind != "calibration_drift":
        assert probe_of(kind, Sources()).missing()
    probe = probe_of(kind, FULL, **NEEDED.get(kind, {}))
    assert probe.missing() == ""
    base = all_answers(probe, BASE)
    found = probe.measure(base, all_answers(probe, BASE, base))
    # All modules alive, and a pull no stronger than noise leaves; everything else has not moved.
    assert found.value == pytest.approx(float(kind in ("adapter_health", "gradient_ghost")), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_probe_documents_its_value_and_its_fields(kind: str) -> None:
    probe = KINDS[kind]
    assert inspect.getdoc(probe)
    assert probe.question.endswith("?")
    assert probe.unit
    assert probe.passing
    fields = probe.options_type.model_json_schema()["properties"]
    assert [name for name, field in fields.items() if "description" not in field] == ["kind"]


def test_every_wrong_entry_is_named_at_once() -> None:
    entries = [
        {"name": "a", "kind": "delta_k"},
        {"name": "b", "kind": "delta_kl", "promts": ["x"]},
        {"name": "c", "kind": "external_perplexity", "tolerance": 0.3},
        {"name": "d", "kind": "applied"},
        {"name": "d", "kind": "applied"},
    ]
    with pytest.raises(UserError) as caught:
        build_probes(entries, Sources())
    message = str(caught.value)
    for part in ("did you mean 'delta_kl'", "did you mean 'prompts'", "'tolerance'", "two entries are named 'd'"):
        assert part in message
    assert "\n" not in message


def test_a_grid_that_ends_at_one_calls_no_curve_under_scaled() -> None:
    assert scale_check(1.0, 1.0).passed
    assert not scale_check(2.0, 2.0).passed
    assert not scale_check(0.3, 1.0).passed


def test_passed_checks_do_not_carry_the_words_of_failure() -> None:
    sections = tuple(Section(f"s{n}", f"x{n}") for n in range(5))
    probe = probe_of("section_internalization", Sources(sections=sections, general=("g",)))
    before = {query: rolling(-2.0, -2.0) for query in probe.ask()}
    learned = {query: rolling(-1.0, -1.0) if query != Rolling("g") else rolling(-2.0, -2.0) for query in probe.ask()}
    texts = [probe.measure(answers(before), answers(after)).checks[0] for after in (learned, before)]
    assert [(check.passed, "only" in check.text) for check in texts] == [(True, False), (False, True)]


def test_logits_on_a_straight_line_rise_to_the_end_all_at_once_and_that_is_no_fault() -> None:
    """Base and tuned find another token likeliest: between them D is nothing at λ = ½ and nearly all of it at ¾."""
    base, tuned = np.array([0.0, -14.0]), np.array([0.0, 8.0])
    scales = np.linspace(0, 1, 5)
    rows = [base + scale * (tuned - base) for scale in scales]
    logprobs = [(row - np.logaddexp(*row)).astype(np.float32) for row in rows]
    distances = np.array([js_distance(logprobs[0], row) for row in logprobs])
    assert distances[2] < 0.15 < 0.7 < distances[3]
    assert all(check.passed for check in shape_checks(scales, distances))
