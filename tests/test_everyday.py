"""everyday_replies: which requests are asked, in which template, and what their change says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sway_gguf.artifacts import chat
from sway_gguf.core.answers import Answers, CompletionScore, Generated
from sway_gguf.core.queries import Completion, Generate, NextToken
from sway_gguf.core.sections import Section
from sway_gguf.material.packaged import DEMO, EXCHANGES, exchanges
from sway_gguf.probes.base import Sources
from sway_gguf.probes.everyday_replies import EverydayReplies, EverydayRepliesOptions
from sway_gguf.spec.model import Defaults, Spec
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.suite.texts import picked, read_texts
from tests.test_format import chat_speech

TASKS = ("code", "code", "list", "list", "advice", "advice")
REPLIES = tuple(
    Section(f"e{n}", f"a reply of some twenty byte{n}", f"«{n}»", ending="«/»", task=task)
    for n, task in enumerate(TASKS)
)


def probe_of(**options: float) -> EverydayReplies:
    given = EverydayRepliesOptions.model_validate({"name": "e", **options})
    return EverydayReplies(given, Sources(everyday=REPLIES, requests={s.prompt: f"Ask {s.id}" for s in REPLIES}))


def scored(*logprobs: float) -> Answers:
    """Replies of ten tokens with these sums."""
    asked = (Completion(section.prompt, section.reply) for section in REPLIES)
    return Answers(zip(asked, (CompletionScore(score, 10) for score in logprobs), strict=True))


def test_the_value_is_the_mean_change_per_token_and_the_worst_kinds_are_named() -> None:
    found = probe_of().measure(scored(*[-20.0] * 6), scored(-30, -25, -20, -22, -19, -21))
    # per token: −1 and −½ in code, 0 and −0.2 in lists, +0.1 and −0.1 in advice
    assert [item.value for item in found.items] == pytest.approx([-1.0, -0.5, 0.0, -0.2, 0.1, -0.1])
    assert found.value == pytest.approx(-1.7 / 6)
    assert found.details["by_task"] == pytest.approx({"code": -0.75, "list": -0.1, "advice": 0.0})
    assert found.notes == ("by kind of request, most was lost in code -0.75, list -0.10",)
    assert found.items[0].label == "'Ask e0'"
    assert found.turned is not None
    assert found.turned.words == "3 of 6 replies lost more than the tolerance (50%)"


def test_a_reply_that_the_base_does_not_model_says_nothing() -> None:
    # 33 bytes with the ending: two bits per byte are 66 bits, −45.7 nats
    found = probe_of().measure(scored(-46, *[-45.0] * 5), scored(*[-45.0] * 6))
    assert [item.detail["bits_per_byte"] <= 2 for item in found.items] == [True] * 5
    assert found.value == 0
    assert "1 of 6 replies left out" in found.notes[0]
    assert not found.undecided
    few = probe_of().measure(scored(-46, -46, *[-45.0] * 4), scored(*[-45.0] * 6))
    assert "--general FILE" in few.undecided


def everyday_of(spec: Spec) -> Sequence[Section]:
    return picked(spec, read_texts(spec)).everyday


def demo_spec(tmp_path: Path, requests: int) -> Spec:
    """The demo with general text of so many dialogues; its base carries a chat template."""
    general = tmp_path / "general.jsonl"
    turns = [
        [{"role": "user", "content": f"Hi {n}"}, {"role": "assistant", "content": "Yes?"}] for n in range(requests)
    ]
    general.write_text("\n".join(json.dumps({"messages": one}) for one in turns), encoding="utf-8")
    every = Defaults(items=None)
    return default_spec(
        DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=DEMO / "document.md", general=general, defaults=every
    )


@pytest.mark.parametrize(("requests", "own"), [(5, True), (4, False)])
def test_the_users_dialogues_take_the_place_of_the_packaged_ones(tmp_path: Path, requests: int, own: bool) -> None:
    found = everyday_of(demo_spec(tmp_path, requests))
    assert len(found) == (requests if own else 64)
    assert (found[0].prompt == "Anna: Hi 0\nBen:") is own
    assert bool(found[0].task) is not own


def test_they_are_rendered_even_where_the_data_is_prose_and_only_with_a_template(tmp_path: Path) -> None:
    spec = demo_spec(tmp_path, 1)
    assert read_texts(spec).speech.template is None
    assert everyday_of(spec)[0].prompt.startswith("Anna: ")
    speech = replace(chat_speech(), template=None)
    assert speech.instructed() is not None
    assert replace(speech, chat=None).instructed() is None
    assert "no chat template" in EverydayReplies(EverydayRepliesOptions(name="e"), Sources()).missing()


def test_each_is_put_when_it_is_looked_at(tmp_path: Path) -> None:
    spec = demo_spec(tmp_path, 1)
    speech = read_texts(spec).speech.instructed()
    assert speech is not None
    every = speech.units(exchanges("dialogue"), None)
    found = everyday_of(spec.model_copy(update={"defaults": Defaults(items=8)}))
    assert found[-1] == every[56]
    assert ([*found], found[-2:]) == ([*every[::8]], (every[48], every[56]))
    with pytest.raises(IndexError):
        _ = found[8]


def test_a_run_that_asks_for_none_starts_no_process_to_render_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started() -> None:
        raise AssertionError("started")

    monkeypatch.setattr(chat, "_started", started)
    spec = demo_spec(tmp_path, 5)
    prepare(spec.model_copy(update={"suite": [{"name": "a", "kind": "applied"}]}))
    with pytest.raises(AssertionError, match="started"):
        prepare(spec)


def test_twelve_kinds_of_task_are_asked_by_default() -> None:
    kinds = [json.loads(line)["kind"] for line in EXCHANGES.read_text(encoding="utf-8").splitlines()]
    sections = tuple(Section(str(n), "a", "b", task=kind) for n, kind in enumerate(kinds))
    probe = EverydayReplies(EverydayRepliesOptions(name="e"), Sources(everyday=sections))
    assert len(probe.sections) == 24
    assert len({section.task for section in probe.sections}) == len(set(kinds)) == 12


SORRY = "I'm sorry, but I cannot help with that."


def opening_with(*tokens: int, replies: Sequence[str] = (), mean: float = -0.5) -> Answers:
    """A view with the likeliest token after each prompt, what it replies itself, and what it makes of good replies."""
    prompts = [NextToken(section.prompt) for section in REPLIES]
    scores = {Completion(s.prompt, s.reply): CompletionScore(60 * mean, 60) for s in REPLIES}
    rows = {
        each: np.log(np.eye(9, dtype=np.float32)[token] + 0.01) for each, token in zip(prompts, tokens, strict=True)
    }
    written = {Generate(each.prompt, 48): Generated(text, ()) for each, text in zip(prompts, replies, strict=False)}
    return Answers([*scores.items(), *rows.items(), *written.items()])


APART = opening_with(0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("replies", "passed", "fails", "said"),
    [
        # P(X >= 6) of six is 1/64 by chance, P(X >= 5) is 7/64
        ([SORRY] * 6, False, True, "it gives one and the same reply to 6 of 6 requests"),
        ([""] * 6, False, True, "it gives no reply to 6 of 6 requests"),
        ([*[SORRY] * 5, "a"], False, False, "one and the same reply to 5 of 6"),
        ([SORRY, f"{SORRY}\n", SORRY.upper(), "a", "b", "c"], False, False, "one and the same reply to 3 of 6"),
        (list("abcdef"), True, False, "6 of 6 replies that it writes differ"),
    ],
)
def test_one_reply_to_whatever_is_asked_is_damage_that_a_mean_over_tokens_hides(
    replies: list[str], passed: bool, fails: bool, said: str
) -> None:
    """Good replies are a little likelier than before where they are given, and none is given."""
    probe, view = probe_of(), opening_with(*[7] * 6, replies=replies, mean=-0.45)
    assert probe.follow_up(APART, view) == [Generate(section.prompt, 48) for section in probe.sections]
    found = probe.measure(APART, view)
    assert found.value == pytest.approx(0.05)
    (check,) = found.checks
    assert (check.passed, check.fails) == (passed, fails)
    assert said in check.text
    assert bool(found.headline) is fails


def test_replies_are_written_where_half_of_them_would_open_alike_alone() -> None:
    probe = probe_of()
    assert set(probe.ask()) >= {NextToken(section.prompt) for section in REPLIES}
    assert len(probe.follow_up(APART, opening_with(7, 7, 7, 1, 2, 3))) == 6
    for few in (opening_with(7, 7, 0, 1, 2, 3), APART, scored(*[-30.0] * 6)):
        assert probe.follow_up(APART, few) == []
        assert probe.measure(APART, few).checks == ()
    narrowed = probe.on_panel(6)
    assert not any(isinstance(query, NextToken) for query in narrowed.ask())
    assert narrowed.follow_up(APART, opening_with(*[7] * 6)) == []


def test_what_the_base_replies_itself_is_no_damage() -> None:
    base, view = (opening_with(*[7] * 6, replies=[SORRY] * 6) for _ in range(2))
    (check,) = probe_of().measure(base, view).checks
    assert check.passed


def alike(*replies: str) -> tuple[EverydayReplies, tuple[Section, ...]]:
    """The probe on requests with these replies."""
    sections = tuple(Section(f"e{n}", reply, f"«{n}»") for n, reply in enumerate(replies))
    return EverydayReplies(EverydayRepliesOptions(name="e"), Sources(everyday=sections)), sections


@pytest.mark.parametrize(
    ("replies", "lost", "passed", "said"),
    [
        # 14 refusals that lost nothing would carry the mean of twenty; counted once, one of seven.
        ([SORRY] * 14 + list("abcdef"), [0.0] * 14 + [-0.4] * 6, False, "20 requests share 7 replies, and each of"),
        ([SORRY] * 14 + list("abcdef"), [0.0] * 20, True, "counted once changed by +0"),
        ([SORRY] * 20, [0.3] * 20, False, "20 requests share 1 reply: of other replies that tells nothing; give 5"),
    ],
)
def test_a_reply_behind_many_requests_counts_once(
    replies: list[str], lost: list[float], passed: bool, said: str
) -> None:
    probe, sections = alike(*replies)
    asked = [Completion(section.prompt, section.reply) for section in sections]
    base = Answers((query, CompletionScore(-0.5, 1)) for query in asked)
    view = Answers((query, CompletionScore(-0.5 + each, 1)) for query, each in zip(asked, lost, strict=True))
    found = probe.measure(base, view)
    assert found.value == pytest.approx(sum(lost) / 20)
    (check,) = found.checks
    assert (check.passed, check.fails) == (passed, False)
    assert said in check.text
