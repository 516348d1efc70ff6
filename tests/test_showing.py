"""Replies and heat gathered in a run: what is taken, that tokens are the text, and that no number depends on it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Completion, Rolling, Split
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.result_json import record_of, to_json
from sway_gguf.core.sections import Section
from sway_gguf.core.views import BASE, TUNED
from sway_gguf.core.withheld import QUOTED, without_texts
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.scoring import pieces
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.base import Sources
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.terminal import print_result
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import plan, run
from sway_gguf.suite.showing import example_of, laid_over
from sway_gguf.suite.visit import tokens_of

ADAPTER = DEMO / "healthy.lora.gguf"


def prepared(show: int | None) -> Prepared:
    defaults = Defaults(nulls=1, items=6, prompts=6, show=show)
    kinds = ["section_internalization", "delta_kl"]
    spec = default_spec(
        DEMO / "base.f32.gguf", ADAPTER, data=(DEMO / "document.md",), defaults=defaults, kinds=kinds,
        engine=EngineSettings(threads=1),
    )  # fmt: skip
    return prepare(spec)


@pytest.fixture(scope="module")
def shown() -> SuiteResult:
    with LlamaBackend(DEMO / "base.f32.gguf", ADAPTER, prepared(3).engine) as backend:
        return run(prepared(3), backend)


def test_base_and_tuned_replies_and_heat_are_gathered_in_the_runs_own_visits(shown: SuiteResult) -> None:
    assert len(shown.replies) == len(shown.heat) == 3
    assert any(reply.base != reply.tuned for reply in shown.replies)
    for heat in shown.heat:
        assert len(heat.tokens) == len(heat.base) == len(heat.tuned) > 0
        if heat.origin == "trained":
            known = [text for asked in shown.texts.values() for text in asked]
            assert heat.lead + "".join(heat.tokens) in known
            assert sum(heat.tuned) > sum(heat.base)


def test_what_is_shown_changes_no_number_of_the_run(shown: SuiteResult) -> None:
    with LlamaBackend(DEMO / "base.f32.gguf", ADAPTER, prepared(None).engine) as backend:
        bare = run(prepared(None), backend)
    assert not bare.replies
    assert not bare.heat
    for each in (bare, shown):
        assert each.timings["tokens"] > 0
    same = [json.dumps(record_of(replace(r, replies=(), heat=()))["probes"]) for r in (bare, shown)]
    assert same[0] == same[1]


def test_the_plan_counts_what_is_shown_in_two_views_and_asks_no_probes_question_again() -> None:
    backend = FakeBackend(wordy_script(lambda view, query: 0.0))
    with_it, without = plan(prepared(3)), plan(prepared(0))
    sums = [sum(tokens_of(work.every, backend.count_tokens_of).values()) for work in (with_it, without)]
    more = sums[0] - sums[1]
    assert more == with_it.shown_cost(backend.count_tokens_of) > 0
    assert without.shown == ()
    assert not any(isinstance(query, Rolling) for query in with_it.shown)
    assert {visit.view for visit in with_it.visits if any(not unit.askers for unit in visit.groups)} == {BASE, TUNED}


def test_data_holdout_and_everyday_take_turns() -> None:
    def dialogues(name: str) -> tuple[Section, ...]:
        return tuple(Section(f"{name}{n}", f" {name} reply {n}", f"{name} asks {n}:") for n in range(9))

    sources = Sources(sections=dialogues("data"), holdout=dialogues("kept"), everyday=dialogues("daily"))
    assert [reply.origin for reply in example_of(sources, 3).asked] == ["trained", "held-out", "everyday"]
    assert [reply.origin for reply in example_of(replace(sources, holdout=()), 4).asked] == ["trained"] * 2 + [
        "everyday"
    ] * 2
    assert example_of(sources, 0).queries == ()
    only = example_of(sources, 1)
    assert Completion(only.asked[0].prompt, only.asked[0].wanted) in only.queries


def test_tokens_that_share_a_character_are_the_text_all_the_same() -> None:
    whole = "é€😀"
    assert pieces([bytes([byte]) for byte in whole.encode()]) == ("", "é", "", "", "€", "", "", "", "😀")
    assert "".join(pieces([whole.encode()[:4], whole.encode()[4:-1]])).startswith("é")


def test_a_token_over_the_boundary_takes_the_prompts_end_and_a_vocabularys_blank_is_dropped() -> None:
    assert laid_over("ask: a", "nswer", ("an", "swer")) == ("ask: ", ("an", "swer"))
    assert laid_over("", "word more", (" word", " more")) == ("", ("word", " more"))
    assert laid_over("p", "xy", ("<unk>",)) == ("p", ("<unk>",))


def test_the_engine_tells_each_token_of_a_completion(demo_backend: LlamaBackend) -> None:
    prompt, text = "The heron of", " the émigré 😀 sleeps."
    with demo_backend.open(BASE) as view:
        score, tokens = view.answer([Completion(prompt, text), Split(prompt, text)])
    assert len(score.logprobs) == score.num_tokens == len(tokens.ids) == len(tokens.pieces)  # type: ignore[union-attr]
    assert sum(score.logprobs) == pytest.approx(score.logprob, rel=1e-6)  # type: ignore[union-attr]
    assert laid_over(prompt, text, tokens.pieces) == (prompt, tokens.pieces)  # type: ignore[union-attr]


def test_without_texts_no_stretch_of_any_text_is_left(shown: SuiteResult) -> None:
    texts = [text for asked in shown.texts.values() for text in asked]
    texts += [words for reply in shown.replies for words in (reply.prompt, reply.base, reply.tuned, reply.wanted)]
    bare = to_json(without_texts(shown))
    stretches = {text[at : at + QUOTED] for text in texts for at in range(len(text) - QUOTED + 1)}
    assert stretches
    assert not [each for each in stretches if json.dumps(each, ensure_ascii=False)[1:-1] in bare]
    told = json.loads(bare)
    assert [p["value"] for p in told["probes"]] == [probe.value for probe in shown.probes]
    keys = [[item.key for item in probe.items] for probe in shown.probes]
    assert [[item["key"] for item in probe["items"]] for probe in told["probes"]] == keys


def test_the_terminal_shows_replies_side_by_side(shown: SuiteResult) -> None:
    console = PlainConsole(width=80)
    with console.capture() as drawn:
        print_result(shown, console)
    assert drawn.get().count("tuned") >= 3
    assert "(trained)" in drawn.get()
