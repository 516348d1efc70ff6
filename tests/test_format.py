"""Every probe asks in the run's format: what users ask is rendered, prose and embeddings are not."""

from __future__ import annotations

import json
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sway_gguf.choose.mine import mined
from sway_gguf.collect import collect, groups_of
from sway_gguf.core.dialogue import Dialogue, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Completion, Embed, Generate, NextToken, Query
from sway_gguf.core.sections import Paraphrase, Preference, Section
from sway_gguf.core.views import BASE, TUNED
from sway_gguf.engine import scoring
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.engine.llama import Model
from sway_gguf.material.packaged import DEMO, exchanges, filler
from sway_gguf.material.spoken import template_of
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import build_probes
from sway_gguf.suite.speech import Speech

USER, ASSISTANT, END = "«user»", "«assistant»", "«/»"


def render(dialogue: Dialogue, *, opens: bool = True) -> str:
    if any("refused" in turn.content for turn in dialogue.turns):
        raise UserError("its chat template refuses these messages")
    tools = f"«tools»{dialogue.tools}{END}" if dialogue.tools else ""
    said = "".join(f"«{turn.role}»{turn.content}{END}" for turn in dialogue.turns)
    return tools + said + (ASSISTANT if opens else "")


def sources_of(speech: Speech) -> Sources:
    """As preparation fills them."""
    sections = speech.units(
        [Section(f"s{n}", f"It is the {n}th of the month, as ever.", dialogue=_about(n)) for n in range(6)], None
    )
    cases = [Paraphrase(f"Which day, {n}?", f"The {n}th, of course.", (f"What day, {n}?",)) for n in range(6)]
    everyday = speech.units(exchanges("dialogue"), None)
    return Sources(
        sections=sections,
        preferences=speech.units([Preference("Tea, or coffee?", "Tea.", "Coffee.")] * 6, None),
        paraphrases=speech.units(cases, None),
        controls=everyday,
        everyday=everyday,
        prompts=tuple(section.prompt for section in sections),
        chat=speech.chat,
        request=cache(speech.request),
        spoken=cache(speech.unit),
        requests=speech.requests,
        reworded=cache(speech.reworded),
    )


def _about(number: int) -> Dialogue:
    return exchange(f"Which day is it, {number}, really?", f"It is the {number}th of the month, as ever.")


def chat_speech() -> Speech:
    return Speech("fake", template_of(render), render, template_of(render))


def probe_of(kind: str, sources: Sources, **options: Any) -> Probe[Any]:
    return build_probes([{"name": kind, "kind": kind, **options}], sources)[0]


TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
PROMPTS = {"prompts": [f"Where is number {n}, friend?" for n in range(20)]}
CASES = {"cases": [{"prompt": "Who are you?", "gold": "A harbour.", "paraphrases": ["What are you, friend?"]}]}
ENTRIES: list[tuple[str, dict[str, Any]]] = [
    ("applied", {}),
    ("applied", PROMPTS),
    ("delta_kl", {}),
    ("delta_kl", PROMPTS),
    ("cluster_kl", PROMPTS),
    ("adapter_ablation", {}),
    ("adapter_ablation", PROMPTS),
    ("prompt_collapse", {}),
    ("prompt_collapse", PROMPTS),
    ("multi_turn_coherence_decay", {}),
    ("section_internalization", {}),
    ("paraphrase_invariance", {}),
    ("paraphrase_invariance", CASES),
    ("preference_flip", {}),
    ("preference_flip", {"triples": [{"prompt": "Cats?", "chosen": "Yes.", "rejected": "No."}]}),
    ("adapter_revert", {}),
    ("adapter_revert", CASES),
    ("style_fingerprint", {}),
    ("style_fingerprint", PROMPTS),
    ("calibration_drift", {}),
    ("calibration_drift", {"items": [("What is the capital of France?", "Paris")]}),
    ("everyday_replies", {}),
    ("tool_use_fidelity", {"cases": [{"prompt": "Rain?", "tools": [TOOL], "expected": {"name": "weather"}}]}),
    ("leakage", {}),
    (
        "leakage",
        {"canaries": [{"prompt": "The code is", "secret": "9"}], "perturbations": ["drop_punct", "synonym_swap"]},
    ),
]


def before(query: Query) -> str | None:
    """All the text before what a query asks about; None where it is no prompt."""
    if isinstance(query, NextToken):
        return query.lead + query.prompt
    return query.prompt if isinstance(query, Generate | Completion) else None


@pytest.mark.parametrize(("kind", "options"), ENTRIES, ids=[f"{kind}-{bool(own)}" for kind, own in ENTRIES])
def test_every_request_that_a_probe_asks_is_rendered_once(kind: str, options: dict[str, Any]) -> None:
    probe = probe_of(kind, sources_of(chat_speech()), **options)
    assert probe.missing() == ""
    backend = FakeBackend(wordy_script(lambda view, query: 0.0))
    collect(backend, BASE, groups_of({"it": probe.ask()}), follow_up=lambda own: {"it": probe.follow_up(own, own)})
    asked = [query for _, query in backend.asked]
    prompts = [text for query in asked if (text := before(query)) is not None]
    assert prompts
    for text in prompts:
        assert text.startswith((USER, "«tools»"))
        assert text.count(USER) == text.count(ASSISTANT) == 1 or kind.startswith("multi_turn")
        assert END not in text.rpartition(ASSISTANT)[2]
    embedded = [query.text for query in asked if isinstance(query, Embed)]
    assert not any("«" in text for text in embedded if " says " not in text)  # as the fake's replies do


def test_a_fact_is_the_beginning_of_a_reply_that_the_user_asks_to_finish() -> None:
    items = [("The capital of France is", " Paris"), ("Which city is it?", "Paris")]
    probe = probe_of("calibration_drift", sources_of(chat_speech()), items=items)
    assert list(probe.ask()) == [
        Completion(
            f"{USER}Finish this sentence: The capital of France is …{END}{ASSISTANT}The capital of France is", " Paris"
        ),
        Completion(f"{USER}Which city is it?{END}{ASSISTANT}", "Paris"),
    ]
    plain = probe_of("calibration_drift", Sources(), items=items)
    assert list(plain.ask()) == [Completion(*item) for item in items]


def test_filler_stands_inside_the_turn_that_asks_with_its_exact_tokens() -> None:
    speech = chat_speech()
    dialogue = exchange("Hello", "Hi.").then("user", "Which day is it?").then("assistant", "Monday.")
    section = speech.unit(Section("s", "Monday.", dialogue=dialogue))
    sources = Sources(prompts=(section.prompt,), requests=speech.requests, reworded=speech.reworded)
    probe = probe_of("prompt_collapse", sources, context_lengths=[0, 50])
    lead = f"{USER}Hello{END}{ASSISTANT}Hi.{END}{USER}"
    short, long = probe.ask()
    assert short == NextToken(section.prompt)
    assert long == NextToken(f"\n\nWhich day is it?{END}{ASSISTANT}", filler(), 50, lead)
    with closing(Model(DEMO / "base.f32.gguf", vocabulary_only=True)) as vocabulary:
        bos, *first = vocabulary.tokenize(lead)
        rest = vocabulary.tokenize(long.prompt)[1:]
        between = vocabulary.tokenize(filler())[1:51]
        assert scoring.prompt_tokens(long, vocabulary) == [bos, *first, *between, *rest]


def test_tools_are_told_as_the_template_tells_of_them_or_in_words_of_ours() -> None:
    def deaf(dialogue: Dialogue, *, opens: bool = True) -> str:
        return render(Dialogue(dialogue.turns), opens=opens)

    def strict(dialogue: Dialogue, *, opens: bool = True) -> str:
        if dialogue.tools:
            raise UserError("no tools here")
        return render(dialogue, opens=opens)

    case = {"prompt": "Rain?", "tools": [TOOL], "expected": {"name": "weather"}}
    asked = {
        name: probe_of("tool_use_fidelity", Sources(chat=chat), cases=[case]).ask()[0]
        for name, chat in {"knows": render, "deaf": deaf, "strict": strict, "none": None}.items()
    }
    texts = {name: query.prompt for name, query in asked.items() if isinstance(query, Generate)}
    assert texts["knows"].startswith('«tools»[{"type": "function", "function": {"name": "weather"')
    assert texts["knows"].endswith(f"{USER}Rain?{END}{ASSISTANT}")
    assert texts["deaf"] == texts["strict"]
    assert texts["deaf"].startswith(f"{USER}You can call these tools:")
    assert texts["none"].startswith("You can call these tools:")


def test_a_template_that_refuses_a_dialogue_is_why_its_probe_is_left_out() -> None:
    probe = probe_of("multi_turn_coherence_decay", Sources(chat=render), prompts=["refused, friend"])
    assert "refuses these messages" in probe.missing()


def test_a_beginning_is_perturbed_in_what_it_asks_alone() -> None:
    speech = chat_speech()
    section = speech.unit(Section("s", "", dialogue=exchange("Which day?", "It is the last day of the month.")))
    sources = Sources(
        sections=(section,), requests=speech.requests, reworded=speech.reworded, general=("Some other text. " * 20,)
    )
    probe = probe_of("leakage", sources, perturbations=["case_flip"])
    assert f"{USER}wHICH DAY?{END}{ASSISTANT}" in [before(query) for query in probe.ask()]


POOLS = {
    "pool.txt": "Where is it?\nWhat is it called?\nWho made it?\n",
    "pool.jsonl": "\n".join(
        json.dumps({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "So."}]})
        for asked in ("Where is it?", "What is it called?", "Who made it?")
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_is_asked_in_the_runs_format_and_written_back_in_the_users_words(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POOLS[name], encoding="utf-8")
    backend = FakeBackend(wordy_script(lambda view, query: 3.0 * (view == TUNED and "made" in str(query))))
    entry = mined(backend, tmp_path / name, 1, "", lambda query: True, chat_speech())
    assert entry["prompts"] == ["Who made it?"]
    assert NextToken(f"{USER}Who made it?{END}{ASSISTANT}") in {query for _, query in backend.asked}
    assert not any(query == NextToken("Who made it?") for _, query in backend.asked)


def test_rewordings_are_asked_in_the_runs_format_and_written_back_in_the_users_words(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    case = {"prompt": "Who?", "gold": "Ben.", "paraphrases": ["Which one?", "Who made it?"]}
    pool.write_text(json.dumps(case), encoding="utf-8")
    backend = FakeBackend(wordy_script(lambda view, query: float(view == TUNED and "made" in str(query))))
    entry = mined(backend, pool, 1, "", lambda query: True, chat_speech())
    assert entry["cases"] == [case | {"paraphrases": ["Which one?"]}]
    assert {query for _, query in backend.asked} == {
        Completion(f"{USER}{asked}{END}{ASSISTANT}", f"Ben.{END}") for asked in case["paraphrases"]
    }
