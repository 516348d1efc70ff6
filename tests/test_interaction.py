"""interaction: what is said of a set by what each adapter does alone and all do together, by values made up by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from sway_gguf.core.queries import Completion, Query, Rolling
from sway_gguf.core.result import Diagnosis, ProbeResult, Verdict
from sway_gguf.core.sections import Section, said
from sway_gguf.core.views import BASE, TUNED, MemberView, View
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.probes.base import Sources
from sway_gguf.probes.interaction import Interaction
from sway_gguf.probes.registry import build_probes
from sway_gguf.probes.sources import SetMember
from sway_gguf.stats.standing import standings
from sway_gguf.suite.measure import measure
from sway_gguf.suite.schedule import Nulls, schedule
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import judge

Lift = Callable[[View, str], float]
GENERAL = tuple(f"Some general text, number {n}, that is of neither adapter" for n in range(6))


def text_of(name: str, count: int = 8) -> tuple[Section, ...]:
    return tuple(
        Section(f"{name} {n}", f"{name} says something that nobody else says, {n} times") for n in range(count)
    )


def probe_of(own: bool = True, count: int = 8, **sources: Any) -> Interaction:
    texts = {name: text_of(name, count) for name in "ab"}
    members = tuple(SetMember(f"{name}.gguf", text if own else ()) for name, text in texts.items())
    given = {"sections": texts["a"] + texts["b"], "general": GENERAL, "members": members} | sources
    (probe,) = build_probes([{"name": "interaction", "kind": "interaction"}], Sources(**given))
    assert isinstance(probe, Interaction)
    return probe


def judged(lift: Lift, probe: Interaction | None = None) -> tuple[ProbeResult, FakeBackend]:
    """The outcome where a view lifts each word of a text by so much, and a little more or less from text to text."""

    def effect(view: View, query: Query) -> float:
        assert isinstance(query, Rolling | Completion)
        text = query.text if isinstance(query, Rolling) else query.completion
        wobble = 0.02 * ((sum(map(ord, text)) % 7) - 3)
        # Words in another order, as controls have them, say nothing of a or b.
        of = text[0] if text[1:6] == " says" else ""
        return 0.0 if view == BASE else lift(view, of) * (1 + wobble)

    asked, backend = probe or probe_of(), FakeBackend(wordy_script(effect))
    found = measure(backend, [asked], schedule([asked], Nulls(range(1, 20))))
    assert not found.failed
    return judge(found.readings, alpha=0.05)[0], backend


def table(a: Mapping[str, float], b: Mapping[str, float], both: Mapping[str, float]) -> Lift:
    """Lifts on the texts of a, of b and of nobody, by view."""
    views = {MemberView(0): a, MemberView(1): b, TUNED: both}
    return lambda view, text: views[view].get(text if text in ("a", "b") else "", views[view].get("", 0.0))


SKILL_A, SKILL_B = {"a": 0.8, "b": 0.1}, {"a": 0.05, "b": 0.6}


def test_each_is_asked_alone_and_all_together_and_no_null_is_asked() -> None:
    result, backend = judged(table(SKILL_A, SKILL_B, {"a": 0.85, "b": 0.7}))
    assert {view for view, _ in backend.asked} == {BASE, TUNED, MemberView(0), MemberView(1)}
    assert len(backend.asked) == len(set(backend.asked))
    assert result.verdict == Verdict.PASS
    # What adds up does not interact.
    assert result.value == pytest.approx(0.0, abs=1e-6)
    assert [item.detail["together"] for item in result.items][:1] == pytest.approx([0.85], rel=0.1)
    assert "with b.gguf the lift on a.gguf's text rises from 0.80 to 0.85 nats/token" in result.notes
    (first, second, third) = result.notes[2:]
    assert first.startswith("on a.gguf's text: a.gguf alone 0.80 [")
    assert "together 0.70 [" in second
    assert "interaction 0.00 [" in second
    assert third.startswith("on unrelated text: a.gguf alone 0.00")
    assert result.table is not None
    assert result.table.columns == ("a.gguf alone", "b.gguf alone", "together", "interaction")


def test_what_one_does_to_the_others_skill_is_told_with_its_numbers() -> None:
    result, _ = judged(table(SKILL_A, SKILL_B, {"a": 0.6, "b": 0.7}))
    assert result.verdict == Verdict.WARN
    assert result.reason == "with b.gguf the lift on a.gguf's text falls from 0.80 to 0.60 nats/token"
    assert [item.value for item in result.items][:1] == pytest.approx([0.6 - 0.85], rel=0.1)


@pytest.mark.parametrize(
    ("both", "verdict", "told"),
    [
        (0.8, Verdict.PASS, "is kept, from 0.80 to 0.80"),
        (0.77, Verdict.PASS, "falls from 0.80 to 0.77"),
        (0.72, Verdict.INCONCLUSIVE, "falls from 0.80 to 0.72 nats/token; whether by more than 10% is open"),
        (0.6, Verdict.WARN, "falls from 0.80 to 0.60"),
        (0.3, Verdict.FAIL, "falls from 0.80 to 0.30"),
    ],
)
def test_a_loss_is_told_as_soon_as_it_is_sure_and_judged_by_its_share(both: float, verdict: Verdict, told: str) -> None:
    result, _ = judged(table(SKILL_A, SKILL_B, {"a": both, "b": 0.7}))
    assert result.verdict == verdict
    assert f"with b.gguf the lift on a.gguf's text {told}" in result.reason


def test_a_skill_that_is_mostly_gone_fails_the_direction_and_names_the_diagnosis() -> None:
    result, _ = judged(table(SKILL_A, SKILL_B, {"a": 0.2, "b": 0.7}))
    assert result.verdict == Verdict.FAIL
    toward = ProbeResult("sections", "section_internalization", "direction", Verdict.PASS, "")
    others = [ProbeResult(axis, axis, axis, Verdict.PASS, "") for axis in ("applied", "signal", "collateral")]
    probes = [toward, *others, result]
    diagnosis, headline = diagnose(axes_of(probes), probes, adapters=2)
    assert diagnosis == Diagnosis.OFF_TARGET
    assert "with b.gguf the lift on a.gguf's text falls from 0.80 to 0.20 nats/token" in headline


def test_a_pass_does_not_answer_whether_the_set_moved_toward_its_text() -> None:
    result, _ = judged(table(SKILL_A, SKILL_B, {"a": 0.85, "b": 0.7}))
    assert not result.decides
    assert next(axis for axis in axes_of([result]) if axis.axis == "direction").verdict == Verdict.INCONCLUSIVE


def test_an_adapter_that_is_noise_has_no_skill_to_keep() -> None:
    result, _ = judged(table({"a": 0.8}, {"a": -0.1, "b": -0.05}, {"a": 0.78, "b": 0.0}))
    assert result.verdict == Verdict.WARN
    assert result.reason.startswith("b.gguf alone does not surely lift its own text beyond other text (-0.05 [")


def test_an_adapter_that_lifts_any_text_has_no_skill_however_large_the_lift() -> None:
    """Noise makes unlikely text likelier; it is no lesson where other text gains as much."""
    everything = {"a": 0.5, "b": 0.5, "": 0.5}
    result, _ = judged(table({"a": 0.8}, everything, {"a": 1.2, "b": 0.5}))
    assert result.verdict == Verdict.WARN
    assert result.reason.startswith("b.gguf alone does not surely lift its own text beyond other text (")


def test_two_halves_of_one_adapter_lift_more_together_and_the_interaction_is_explained() -> None:
    half = {"a": 0.6, "b": 0.6}
    probe = probe_of(own=False, likeness=lambda one, other: 1.0)
    result, _ = judged(table(half, half, {"a": 0.8, "b": 0.8}), probe)
    assert result.verdict == Verdict.PASS
    assert "with b.gguf the lift of a.gguf on the data rises from 0.60 to 0.80 nats/token" in result.reason
    assert result.value == pytest.approx(-0.4, rel=0.1)
    assert any("(cosine 1.00) point the same way" in note for note in result.notes)


def test_an_adapter_that_undoes_the_other_fails() -> None:
    skill, opposite = {"a": 0.8, "b": 0.8}, {"a": -0.9, "b": -0.9}
    probe = probe_of(own=False, likeness=lambda one, other: -1.0)
    result, _ = judged(table(skill, opposite, {}), probe)
    assert result.verdict == Verdict.FAIL
    assert "with b.gguf the lift of a.gguf on the data falls from 0.80 to 0.00" in result.reason
    assert any("against each other" in note for note in result.notes)


def test_one_text_of_both_is_told_for_each() -> None:
    text = text_of("a")
    probe = probe_of(members=(SetMember("a.gguf", text), SetMember("b.gguf", text)))
    result, _ = judged(table({"a": 0.8}, {"a": 0.4}, {"a": 0.6}), probe)
    assert "the lift of a.gguf on the text of a.gguf and b.gguf falls from 0.80 to 0.60" in result.reason
    assert len(result.items) == len(text)


def test_too_few_items_decide_nothing_and_data_that_nobody_lifts_neither() -> None:
    few, _ = judged(table(SKILL_A, SKILL_B, {"a": 0.1, "b": 0.1}), probe_of(count=4))
    assert few.verdict == Verdict.INCONCLUSIVE
    assert "4 items of a.gguf's text are too few; give 1 or more in addition" in few.reason
    nobody, _ = judged(table({}, {}, {}), probe_of(own=False))
    assert nobody.verdict == Verdict.INCONCLUSIVE
    assert "nothing to keep" in nobody.reason


def test_it_needs_several_adapters_and_their_text() -> None:
    assert "one adapter alone" in probe_of(members=()).missing()
    assert "--data-of" in probe_of(own=False, sections=()).missing()
    assert probe_of().missing() == ""


def test_loss_that_is_just_within_the_tolerance_is_rarely_called_surely_lost() -> None:
    """At the very edge, where exactly a tenth is lost, chance calls one of twenty lost, or kept, at most."""
    rng, runs, called = np.random.default_rng(3), 300, 0
    for _ in range(runs):
        alone, together = rng.normal(0.8, 0.2, (1, 10)), rng.normal(0.72, 0.2, 10)
        known = standings(alone, together, 0.1, seed=0, confidence=0.95)
        assert known is not None
        called += known[0].loses or known[0].keeps
    assert called <= 0.05 * runs + 2 * np.sqrt(0.05 * 0.95 * runs)


def test_an_adapter_of_which_no_text_tells_anything_is_not_passed() -> None:
    members = (SetMember("a.gguf", text_of("a")), SetMember("b.gguf"))
    probe = probe_of(members=members, sections=text_of("a"))
    assert [text.owners for text in probe.texts if text.owners] == [(0,)]
    result, _ = judged(table(SKILL_A, SKILL_B, {"a": 0.85, "b": -5.0}), probe)
    assert result.verdict == Verdict.INCONCLUSIVE
    assert "no text tells what b.gguf taught" in result.reason


def test_text_of_one_adapter_that_is_not_asked_is_not_taken_for_what_the_others_share() -> None:
    whole = text_of("a")
    members = (SetMember("a.gguf", whole[:5], frozenset(map(said, whole))), SetMember("b.gguf"))
    assert [text.owners for text in probe_of(members=members, sections=whole).texts if text.owners] == [(0,)]
