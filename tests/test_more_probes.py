"""Probes of replies, dialogues, topics and factors, with values derived by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sway_gguf.core.adapter_facts import AdapterFacts, ModuleFacts
from sway_gguf.core.answers import Answer, Answers, Changes, CompletionScore, Embedding, Generated, Tokens
from sway_gguf.core.dialogue import Dialogue
from sway_gguf.core.divergence import js
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Split
from sway_gguf.core.sections import Paraphrase, Section
from sway_gguf.engine.fake import distribution
from sway_gguf.probes.adapter_health import effective_rank, outliers, stands_out
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import build_probes
from sway_gguf.probes.tool_use_fidelity import ToolCase, first_call, score
from sway_gguf.probes.top1_flips import kl_table


def probe_of(kind: str, sources: Sources, **options: Any) -> Probe[Any]:
    return build_probes([{"name": kind, "kind": kind, **options}], sources)[0]


def answers(pairs: Mapping[Query, Answer]) -> Answers:
    return Answers(pairs.items())


CASES = Sources(paraphrases=(Paraphrase("p", " g", ("q", "r")), Paraphrase("s", " h", ("t",))))


def scored(logprobs: Sequence[float]) -> Answers:
    """Scores of two-token replies after p, q, r and s, t."""
    asked = [Completion(x, " g") for x in "pqr"] + [Completion(x, " h") for x in "st"]
    return answers({query: CompletionScore(score, 2) for query, score in zip(asked, logprobs, strict=True)})


@pytest.mark.parametrize(("intent", "value"), [("generalize", 0.75), ("memorize", 2.5), ("both", 0.75)])
def test_paraphrase_invariance_tells_words_from_meaning(intent: str, value: float) -> None:
    found = probe_of("paraphrase_invariance", CASES, intent=intent).measure(
        scored([-6, -6, -6, -8, -8]), scored([-2, -5, -3, -2, -7])
    )
    # per token: verbatim lifts 2 and 3; after other words (½ + 1½)/2 = 1 and ½
    assert [item.detail["verbatim"] for item in found.items] == [2.0, 3.0]
    assert [item.detail["paraphrase"] for item in found.items] == [1.0, 0.5]
    assert found.value == pytest.approx(value)
    assert found.details["generalization_ratio"] == pytest.approx(0.75 / 2.5)
    passed = {check.name: check.passed for check in found.checks}
    assert passed["learned"]
    assert passed.get("generalizes") is (None if intent == "memorize" else False)


def changes(kl: Sequence[float], same: Sequence[bool], base: Sequence[float], other: Sequence[float]) -> Changes:
    return Changes(np.array(kl), np.array(same), np.array(base), np.array(other))


def test_top1_flips_is_the_share_of_positions_and_knows_the_kl_table() -> None:
    texts = tuple(f"text {n}" for n in range(5))
    one = changes([0.0, 0.4], [True, False], [math.log(0.5)] * 2, [math.log(0.5), math.log(0.3)])
    probe = probe_of("top1_flips", Sources(general=texts))
    found = probe.measure(answers({}), answers({Compare(text): one for text in texts}))
    assert found.value == 0.5
    assert found.undecided == ""
    table = kl_table([one])
    cells = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert cells["mean KL, nats"] == pytest.approx(0.2)
    assert cells["share of same top"] == 0.5
    # Δp is 0 and −0.2
    assert cells["RMS change of p"] == pytest.approx(math.sqrt(0.04 / 2))


def test_top1_flips_leaves_out_what_the_base_cannot_read() -> None:
    unknown = changes([0.0], [False], [-1000.0], [-1000.0])
    found = probe_of("top1_flips", Sources(general=("ab",))).measure(answers({}), answers({Compare("ab"): unknown}))
    assert "--general" in found.undecided


def test_a_pack_of_facts_lies_where_a_leading_tilde_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facts.jsonl").write_text('{"prompt": "1 + 1 =", "gold": " 2"}\n', encoding="utf-8")
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    (asked,) = probe_of("calibration_drift", Sources(), pack="~/facts.jsonl").ask()
    assert isinstance(asked, Completion)
    assert asked.prompt.endswith("1 + 1 =")


def test_calibration_drift_counts_only_what_the_base_knew() -> None:
    pairs = [[f"q{n}", " a"] for n in range(6)]
    probe = probe_of("calibration_drift", Sources(), items=pairs, min_base_logprob=-2.5)

    def side(scores: Sequence[float]) -> Answers:
        return answers({Completion(f"q{n}", " a"): CompletionScore(value, 2) for n, value in enumerate(scores)})

    found = probe.measure(side([-1, -1, -1, -1, -1, -9]), side([-1, -1, -1, -2, -3, -1]))
    # the sixth was never known; the others lost 0, 0, 0, ½ and 1 nats per token, the last 2 > 1 nats in sum
    assert found.value == pytest.approx(-0.3)
    assert (found.details["known"], found.details["regressed"]) == (5, 1)
    # that one, at −3, is now as unlikely as what was never known
    assert found.turned is not None
    assert found.turned.words == "forgot 1 of 5 facts that the base knew (20%)"
    assert not found.checks[0].passed
    assert probe_of("calibration_drift", Sources()).ask().__len__() == 240


def test_prompt_collapse_finds_the_half_life() -> None:
    lengths = [0, 100, 200]
    probe = probe_of(
        "prompt_collapse", Sources(prompts=("a", "b", "c")), context_lengths=lengths, assert_half_life_tokens=150
    )
    queries = [probe.ask()[i] for i in range(9)]
    assert [(q.prompt, q.filler_tokens) for q in queries if isinstance(q, NextToken)] == [
        (prompt, length) for length in lengths for prompt in "abc"
    ]
    flat = distribution(1, 1)
    # For p = (½+e, ½−e), JS to the even distribution is near e²/2 · … : four times less with half the shift.
    shifts = {0: 0.2, 100: 0.1, 200: 0.05}
    other = {
        q: distribution(0.5 + shifts[q.filler_tokens], 0.5 - shifts[q.filler_tokens])
        for q in queries
        if isinstance(q, NextToken)
    }
    found = probe.measure(answers(dict.fromkeys(queries, flat)), answers(other))
    assert found.value == pytest.approx(js(flat, distribution(0.7, 0.3)))
    # a quarter every 100 tokens is a half every 50
    assert found.details["half_life"] == pytest.approx(50, rel=0.03)
    assert [check.passed for check in found.checks] == [False]


def test_prompt_collapse_has_words_for_a_curve_that_grows() -> None:
    probe = probe_of("prompt_collapse", Sources(prompts=("a", "b", "c")), context_lengths=[0, 10])
    other = {q: distribution(1, 3 if q.filler_tokens else 2) for q in probe.ask() if isinstance(q, NextToken)}
    found = probe.measure(answers(dict.fromkeys(probe.ask(), distribution(1, 1))), answers(other))
    assert found.details["half_life"] is None
    assert "grows" in found.notes[0]
    assert all(check.passed for check in found.checks)


def test_prompt_collapse_adapts_lengths_to_what_the_context_holds() -> None:
    probe = probe_of("prompt_collapse", Sources(prompts=("a",), context=512))
    assert {q.filler_tokens for q in probe.ask() if isinstance(q, NextToken)} == {0, 256}
    probe = probe_of("prompt_collapse", Sources(prompts=("a",), context=128))
    assert {q.filler_tokens for q in probe.ask() if isinstance(q, NextToken)} == {0, 32, 64}
    assert "holds no text before them" in probe_of("prompt_collapse", Sources(prompts=("a",), context=80)).missing()


def test_cluster_kl_is_the_share_of_variance_between_topics() -> None:
    prompts = tuple(f"{topic}{n}" for topic in "xy" for n in range(4))
    probe = probe_of("cluster_kl", Sources(prompts=prompts), num_clusters=2, min_prompts=4)
    vectors = {Embed(p): Embedding(np.array([p[0] == "x", p[0] == "y"], np.float32)) for p in prompts}
    base = answers({**{NextToken(p): distribution(1, 1) for p in prompts}, **vectors})

    def moved(by_topic: bool) -> Answers:
        return answers(
            {
                NextToken(p): distribution(3, 1) if (p[0] == "x" if by_topic else int(p[1]) < 2) else distribution(1, 1)
                for p in prompts
            }
        )

    assert probe.measure(base, moved(by_topic=True)).value == pytest.approx(1.0)
    assert probe.measure(base, moved(by_topic=False)).value == pytest.approx(0.0, abs=1e-9)
    assert [q.text for q in probe.follow_up(base, base) if isinstance(q, Embed)] == list(prompts)
    assert list(probe.follow_up(base, moved(by_topic=True))) == []


def unit(x: float, y: float) -> Embedding:
    return Embedding(np.array([x, y], np.float32) / np.float32(math.hypot(x, y)))


def test_adapter_revert_is_the_approach_to_gold() -> None:
    sources = Sources(paraphrases=tuple(Paraphrase(f"p{n}", " gold", (f"q{n}",)) for n in range(5)))
    probe = probe_of("adapter_revert", sources, max_new_tokens=4)
    asked = list(probe.ask())
    assert asked == [Generate(f"q{n}", 4) for n in range(5)]
    base = answers({**dict.fromkeys(asked, Generated("base")), Embed("base"): unit(1, 0), Embed(" gold"): unit(0, 1)})
    other = answers({**dict.fromkeys(asked, Generated("mine")), Embed("mine"): unit(1, 1)})
    assert set(probe.follow_up(base, base)) == {Embed("base"), Embed(" gold")}
    assert set(probe.follow_up(base, other)) == {Embed("mine")}
    found = probe.measure(base, other)
    # cos(mine, gold) = √½, cos(base, gold) = 0
    assert found.value == pytest.approx(math.sqrt(0.5), abs=1e-6)
    assert found.details["reverted"] == 0
    assert "own last hidden states" in found.notes[1]


def test_style_fingerprint_is_the_share_of_the_way_to_the_document() -> None:
    sources = Sources(prompts=("a", "b"), sections=(Section("s", "One two three four five six seven eight."),))
    probe = probe_of("style_fingerprint", sources, extended="off")
    plain = answers(dict.fromkeys(probe.ask(), Generated("One two. One two.")))
    there = answers(dict.fromkeys(probe.ask(), Generated("One two three four five six seven eight.")))
    assert probe.measure(plain, plain).value == 0.0
    assert probe.measure(plain, there).value == pytest.approx(1.0)


def recital(kind: str, told: Sequence[int], sections: int = 5) -> tuple[Probe[Any], Answers, Answers]:
    """Sections of which `told` tokens out of eight are recited; control text is not."""
    texts = [
        f"{'section' if n < sections else 'other'} {n} begins like this and then it goes on"
        for n in range(2 * sections)
    ]
    sources = Sources(
        sections=tuple(Section(f"s{n}", text) for n, text in enumerate(texts[:sections])),
        general=tuple(texts[sections:]),
    )
    probe = probe_of(kind, sources, perturbations=["case_flip"], prefix_chars=20)
    wanted = tuple(range(1, 9))

    def side(run: Sequence[int]) -> Answers:
        found: dict[Query, Answer] = {}
        for query in probe.ask():
            if isinstance(query, Split):
                found[query] = Tokens(wanted)
            elif isinstance(query, Generate):
                clean = query.prompt.startswith("section")
                found[query] = Generated("…", (99, *run, 98) if clean else (99, 98))
            elif isinstance(query, Completion):
                told_it = run and query.prompt.startswith("section")
                found[query] = CompletionScore(math.log(0.25) if told_it else -50.0, 8)
        return answers(found)

    return probe, side(()), side(told)


def test_leakage_is_recall_beyond_base_and_unseen_text() -> None:
    probe, base, other = recital("leakage", (3, 4, 5, 6))
    found = probe.measure(base, other)
    # a run of 4 of 8 tokens; nothing after the perturbed beginning, nothing on unseen text
    assert found.value == pytest.approx(0.5)
    assert found.details["longest_run"] == 4
    assert found.details["perturbed_recall"] == 0.0
    assert probe.measure(base, base).value == 0.0


def test_leakage_tells_how_many_samples_bring_a_passage_out() -> None:
    probe, base, other = recital("leakage", (3, 4, 5, 6))
    found = probe.measure(base, other)
    # q = ¼ needs three samples at even chance; e⁻⁵⁰ needs ln 2 · e⁵⁰
    assert found.details["discoverable"] == {"base": 0.0, "tuned": 1.0}
    assert found.details["discoverable_unseen"] == {"base": 0.0, "tuned": 0.0}
    assert found.details["fewest_samples"] == 3
    assert found.items[0].detail["samples_needed_base"] == pytest.approx(math.log(2) * math.exp(50))
    assert [(part.values, part.less) for part in found.parts] == [((1.0,) * 5, (0.0,) * 5)]
    assert "1000 samples bring out 5 of 5 passages (base 0), of text never trained on 0 of 5" in found.notes[1]
    still = probe.measure(base, base)
    assert still.details["discoverable"] == {"base": 0.0, "tuned": 0.0}
    assert still.parts[0].values == (0.0,) * 5


def test_only_what_is_asked_is_perturbed_and_shown_not_the_template_around_it() -> None:
    asked = "Tell me of the kettle"
    prompt = f"<start>user\n{asked}<end>\n<start>assistant\n"
    said = "It boils a litre in ninety-one seconds"
    sources = Sources(
        sections=(Section("s", said, prompt, "dialogue"),),
        general=("g",),
        requests={prompt: asked},
        reworded=lambda given, words: given.replace(asked, words),
    )
    probe = probe_of("leakage", sources, perturbations=["case_flip"])
    prompts = {query.prompt for query in probe.ask() if isinstance(query, Generate)}
    assert prompts == {prompt, prompt.replace(asked, asked.swapcase())}
    same = answers(
        {
            query: Tokens((1, 2)) if isinstance(query, Split)
            else CompletionScore(-1.0, 2) if isinstance(query, Completion)
            else Generated("…", (1,))
            for query in probe_of("leakage", replace(sources, holdout=sources.sections)).ask()
        }
    )  # fmt: skip
    shown = probe_of("leakage", replace(sources, holdout=sources.sections), perturbations=[]).measure(same, same)
    assert shown.items[0].label == repr(asked)


def test_leakage_fails_where_a_canary_comes_out_that_the_base_does_not_tell() -> None:
    probe, _, _ = recital("leakage", ())
    told = build_probes(
        [{"name": "l", "kind": "leakage", "canaries": [{"prompt": "the code is", "secret": "1234"}]}], probe.sources
    )[0]
    query = next(q for q in told.ask() if isinstance(q, Generate) and q.prompt == "the code is")
    silent = {q: Generated("…", (1,)) for q in told.ask() if isinstance(q, Generate)}
    scores = {q: CompletionScore(-9.0, 2) for q in told.ask() if isinstance(q, Completion)}
    same = {**scores, **{q: Tokens((7, 8)) for q in told.ask() if isinstance(q, Split)}}
    quiet, tells = (answers({**silent, **more, **same}) for more in ({}, {query: Generated("x 1234", (1,))}))
    found = {
        name: told.measure(*views).checks[0] for name, views in {"new": (quiet, tells), "old": (tells, tells)}.items()
    }
    assert [(check.passed, check.fails) for check in found.values()] == [(False, True), (True, False)]


@pytest.mark.parametrize(
    ("secret", "reply", "told"), [("7", "17 cows", None), ("7", "it is 7.", False), ("1234", "1234", True)]
)
def test_a_canary_comes_out_as_words_of_its_own_and_a_short_one_only_warns(
    secret: str, reply: str, told: bool | None
) -> None:
    probe, _, _ = recital("leakage", ())
    entry = {"name": "l", "kind": "leakage", "canaries": [{"prompt": "the code is", "secret": secret}]}
    asking = build_probes([entry], probe.sources)[0]
    scores = {q: CompletionScore(-9.0, 2) for q in asking.ask() if isinstance(q, Completion)}
    parts = {q: Tokens((7, 8)) for q in asking.ask() if isinstance(q, Split)}
    replies = {q: Generated("…", (1,)) for q in asking.ask() if isinstance(q, Generate)}
    spoken = {q: Generated(reply, (1,)) if q.prompt == "the code is" else Generated("…", (1,)) for q in replies}
    check = asking.measure(answers({**scores, **parts, **replies}), answers({**scores, **parts, **spoken})).checks[0]
    assert check.passed == (told is None)
    assert check.fails == bool(told)


def chat(dialogue: Dialogue, *, opens: bool = True) -> str:
    return "|".join(f"{turn.role[0]}:{turn.content}" for turn in dialogue.turns) + ("|a:" if opens else "")


def test_a_dialogue_is_the_bases_own_and_every_view_is_asked_after_the_same_words() -> None:
    probe = probe_of(
        "multi_turn_coherence_decay",
        Sources(prompts=("hi",), chat=chat),
        turns=3,
        follow_ups=["and?"],
        max_new_tokens=4,
    )
    first, second = "u:hi|a:", "u:hi|a:yes|u:and?|a:"
    third = "u:hi|a:yes|u:and?|a:no|u:and?|a:"
    assert list(probe.ask()) == [NextToken(first)]
    none: dict[Query, Answer] = {}
    assert Generate(first, 4) in probe.follow_up(start := answers(none), start)
    halfway = answers({Generate(first, 4): Generated(" yes")})
    assert {NextToken(second), Generate(second, 4)} <= set(probe.follow_up(halfway, halfway))
    done = answers({Generate(first, 4): Generated(" yes"), Generate(second, 4): Generated(" no")})
    assert set(probe.follow_up(done, answers(none))) == {NextToken(first), NextToken(second), NextToken(third)}
    p, q = distribution(1, 1), distribution(3, 1)
    turns = (first, second, third)
    base = done.merged(answers({NextToken(t): p for t in turns}))
    found = probe.measure(base, answers({NextToken(t): q for t in turns}))
    assert found.value == pytest.approx(js(p, q))
    assert found.details["mean_divergence"] == pytest.approx([js(p, q)] * 3)
    assert found.details["half_life"] is None


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CASE = ToolCase(
    prompt="Rain in Oslo?",
    tools=[WEATHER],
    expected={"name": "weather", "arguments": {"city": "Oslo", "days": 1}},  # type: ignore[arg-type]
)


@pytest.mark.parametrize(
    ("reply", "total", "valid", "invented"),
    [
        ('{"name": "weather", "arguments": {"city": "Oslo", "days": 1}}', 1.0, True, False),
        ('Sure: {"function": {"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}} done', 2.5 / 3, True, False),
        ('{"name": "weather", "arguments": {"city": 5}}', 1 / 3, False, False),
        ('{"name": "forecast", "arguments": {}}', 0.0, False, True),
        ("It will rain.", 0.0, False, False),
        ('{"name": "weather"', 0.0, False, False),
    ],
)
def test_a_tool_call_scores_by_name_schema_and_arguments(reply: str, total: float, valid: bool, invented: bool) -> None:
    found = score(reply, CASE)
    assert (found.total, found.valid, found.invented) == (pytest.approx(total), valid, invented)


def test_the_first_object_with_a_name_is_the_call() -> None:
    assert first_call('{"x": 1} {"name": "f", "parameters": {"a": 1}}') == ("f", {"a": 1})
    assert first_call("no json { here") is None
    assert first_call('{"name": ' + "1" * 5000 + '} {"name": "f"}') == ("f", {})
    assert first_call('{"a":' * 3000) is None


def module(name: str, norm: float, **changed: Any) -> ModuleFacts:
    facts: dict[str, Any] = {
        "rank": 2,
        "shape": (16, 16),
        "finite": True,
        "singular": (norm,),
        "b_singular": (4.0, 0.1),
        "b_spread": 0.5,
    }
    return ModuleFacts(name, **(facts | changed))


def test_effective_rank_and_the_edge_by_hand() -> None:
    assert effective_rank(module("m", 1.0, singular=(1.0, 1.0, 1.0))) == pytest.approx(3.0)
    assert effective_rank(module("m", 1.0, singular=(2.0, 1.0))) == pytest.approx(25 / 17)
    # edge: 0.5 · (√16 + √2) = 2.71
    assert stands_out(module("m", 1.0))
    assert not stands_out(module("m", 1.0, b_singular=(2.8, 2.5)))


def test_outliers_are_against_the_median() -> None:
    modules = [module(f"m{n}", 1.0) for n in range(4)]
    assert outliers([*modules, module("big", 30.0)], 20) == ["big"]
    assert outliers(modules, 20) == []


@pytest.mark.parametrize(
    ("modules", "alpha", "wrong"),
    [
        ([module("a", 1.0), module("b", 1.0)], 4.0, set()),
        ([module("a", 1.0), module("b", 0.0, singular=(0.0,))], 4.0, {"alive"}),
        ([module("a", 1.0), ModuleFacts("b", 2, (16, 16), finite=False)], 4.0, {"finite"}),
        ([module("a", 1.0, b_singular=(2.0, 2.0))], 4.0, {"structure"}),
        # Any column of 16 numbers of spread 0.5 has the singular value 0.5 · √16 = 2, below 1.05 · 0.5 · (√16 + 1).
        ([module("a", 1.0, rank=1, b_singular=(2.0,))], 4.0, set()),
        ([module("a", 1.0)], 400.0, {"scale"}),
    ],
    ids=["fine", "dead", "broken", "untrained", "rank 1", "scale"],
)
def test_adapter_health_names_what_is_odd(modules: Sequence[ModuleFacts], alpha: float, wrong: set[str]) -> None:
    probe = probe_of("adapter_health", Sources(adapter=lambda: (AdapterFacts(alpha, tuple(modules)),)))
    found = probe.measure(answers({}), answers({}))
    assert {check.name for check in found.checks if not check.passed} == wrong


def test_fields_of_the_original_without_effect_are_accepted_and_told() -> None:
    probe = probe_of("delta_kl", Sources(prompts=("a",)), assert_z_gte=3.0, top_k=256, weight=0.5)
    assert len(probe.remarks) == 3
    assert any("z is shown" in remark for remark in probe.remarks)
