"""Content or manner: what belongs to what is measured by putting it together wrongly."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from sway_gguf.core.answers import Answer, Answers, CompletionScore
from sway_gguf.core.queries import Completion, Query, Rolling, Spans
from sway_gguf.core.sections import Section
from sway_gguf.engine.fake import rolling
from sway_gguf.material.chunks import sentences
from sway_gguf.material.mismatch import mismatches
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import build_probes

Scores = Callable[[str, str], float]
"""(prompt, reply) to nats per token; prose has no prompt."""


def replies(count: int, start: int = 0) -> tuple[Section, ...]:
    numbers = range(start, start + count)
    return tuple(Section(f"s{n}", f" reply {n}", f"prompt {n}", "dialogue", ending="<end>") for n in numbers)


def probe_of(kind: str, sources: Sources) -> Probe:  # type: ignore[type-arg]
    return build_probes([{"name": kind, "kind": kind}], sources)[0]


def answered(probe: Probe, scores: Scores) -> Answers:  # type: ignore[type-arg]
    """Every text of two tokens, with these scores."""
    found: dict[Query, Answer] = {}
    for query in probe.ask():
        if isinstance(query, Completion):
            found[query] = CompletionScore(2 * scores(query.prompt, query.completion), 2)
        else:
            assert isinstance(query, Rolling)
            found[query] = rolling(*[scores("", query.text)] * 2)
    return Answers(found.items())


def belongs(prompt: str, reply: str) -> bool:
    return prompt.split()[-1] == reply.removesuffix("<end>").split()[-1]


@pytest.mark.parametrize("seed", range(20))
def test_each_reply_stands_behind_another_ones_prompt_and_no_prompt_is_used_twice(seed: int) -> None:
    rng = random.Random(seed)
    sections = tuple(
        Section(f"s{n}", f" reply {rng.randrange(4)}", f"prompt {n}", ending="<end>") for n in range(rng.randint(2, 20))
    )
    found = mismatches(sections, seed)
    assert found == mismatches(sections, seed)
    prompts = [pair.wrong.prompt for pair in found]
    assert len(set(prompts)) == len(prompts)
    by_prompt = {section.prompt: section for section in sections}
    for pair in found:
        assert pair.right.reply == pair.wrong.reply
        assert by_prompt[pair.wrong.prompt].text != pair.right.text
    # By Hall's theorem all can be paired so unless one reply holds more than half; a ring comes close to that.
    most = max(sum(other.text == section.text for other in sections) for section in sections)
    assert len(found) >= min(len(sections), 2 * (len(sections) - most)) - 3


def test_replies_that_are_all_alike_have_no_mismatch() -> None:
    assert mismatches([Section(f"s{n}", " yes", f"p{n}") for n in range(6)], 0) == []
    assert mismatches(replies(1), 0) == []


def test_of_a_dialogue_the_last_reply_stands_for_it() -> None:
    several = [Section(f"s{n}", f"r{n}", f"p{n}", replies=(Spans(f"p{n}r{n}", ((0, 1), (2, 4))),)) for n in range(3)]
    assert all(pair.right.replies == pair.wrong.replies == () for pair in mismatches(several, 0))


@pytest.mark.parametrize("seed", range(20))
def test_prose_keeps_its_sentences_and_the_white_space_between_them(seed: int) -> None:
    rng = random.Random(seed)
    parts = [f"Sentence {rng.randrange(100)} of {seed}." for _ in range(rng.randint(3, 9))]
    text = parts[0] + "".join(rng.choice([" ", "\n\n"]) + part for part in parts[1:]) + "\n"
    pairs = mismatches([Section("s", text)], seed)
    if len(set(parts)) > 1:
        (pair,) = pairs
        assert pair.right.text == text != pair.wrong.text
        assert sorted(sentences(pair.wrong.text)) == sorted(sentences(text))
        assert [c for c in pair.wrong.text if c == "\n"] == [c for c in text if c == "\n"]
        assert len(pair.wrong.text) == len(text)


def test_prose_of_two_sentences_is_left_out_and_told() -> None:
    long = [Section(f"s{n}", f"One {n}. Two {n}. Three {n}.") for n in range(5)]
    short = [Section(f"t{n}", f"One more {n}. And two.") for n in range(2)]
    probe = probe_of("content", Sources(sections=(*long, *short), general=("g",)))
    same = answered(probe, lambda prompt, reply: -1.0)
    found = probe.measure(same, same)
    assert len(found.items) == 5
    assert found.notes == ("2 sections have no mismatch and are left out",)
    assert "3 sentences" in probe_of("content", Sources(sections=tuple(short), general=("g",))).missing()


def test_content_is_what_the_right_pairs_gained_beyond_the_mismatched() -> None:
    probe = probe_of("content", Sources(sections=replies(8), holdout=replies(6, 50), general=("g",)))
    base = answered(probe, lambda prompt, reply: -3.0)
    # Right pairs of the data gain 2, of the holdout 1.5; anything mismatched gains 0.5.
    gains = {True: 2.0, False: 1.5}
    other = answered(
        probe, lambda prompt, reply: -3.0 + (gains[int(prompt.split()[-1]) < 50] if belongs(prompt, reply) else 0.5)
    )
    found = probe.measure(base, other)
    assert found.value == pytest.approx(1.5)
    assert {part.name: sum(part.values) / len(part.values) for part in found.parts} == pytest.approx(
        {"trained": 1.5, "held-out": 1.0}
    )
    assert (found.details["lift"], found.details["mismatched"]) == pytest.approx((2.0, 0.5))


def test_a_reply_that_is_raised_behind_any_prompt_is_no_content() -> None:
    probe = probe_of("content", Sources(sections=replies(8), general=("g",)))
    base = answered(probe, lambda prompt, reply: -1.0 if belongs(prompt, reply) else -3.0)
    other = answered(probe, lambda prompt, reply: -0.2 if belongs(prompt, reply) else -2.2)
    assert probe.measure(base, other).value == pytest.approx(0.0)


@pytest.mark.parametrize("power", [0.5, 1.6, 3.0])
def test_what_is_only_sharper_or_flatter_is_no_content(power: float) -> None:
    """The base tells right from mismatched by 2 nats in the data and by 1 in other text; all is raised to a power."""
    unrelated = replies(8, 100)
    probe = probe_of("content", Sources(sections=replies(8), controls=unrelated, general=("g",)))

    def base(prompt: str, reply: str) -> float:
        return -1.0 if belongs(prompt, reply) else -3.0 if int(prompt.split()[-1]) < 100 else -2.0

    found = probe.measure(answered(probe, base), answered(probe, lambda *both: power * base(*both)))
    assert found.items[0].value == pytest.approx(2.0 * (power - 1))
    assert found.value == pytest.approx(min(0.0, 2.0 * (power - 1)))


def held_out(kept: int, trained: float, unseen: float, controls: float = 0.1) -> tuple[Probe, Answers, Answers]:  # type: ignore[type-arg]
    """Gains of the data, of `kept` held-out items and of everything else."""
    probe = probe_of(
        "section_internalization", Sources(sections=replies(8), holdout=replies(kept, 50), general=("g h i",) * 6)
    )
    data = {section.reply for section in replies(8)}
    new = {section.reply for section in replies(kept, 50)}
    base = answered(probe, lambda prompt, reply: -3.0)
    return (
        probe,
        base,
        answered(
            probe,
            lambda prompt, reply: -3.0 + (trained if reply in data else unseen if reply in new else controls),
        ),
    )


def test_the_value_is_that_of_held_out_text_with_the_gap_beside_it() -> None:
    probe, base, other = held_out(6, 2.0, 1.5)
    found = probe.measure(base, other)
    assert found.value == pytest.approx(1.5 - 0.1)
    assert [item.label for item in found.items] == [f"s{n}" for n in range(50, 56)]
    means = {part.name: (sum(part.values) / len(part.values), part.less) for part in found.parts}
    assert {name: mean for name, (mean, _) in means.items()} == pytest.approx(
        {
            "trained": 2.0,
            "trained, beyond other text": 2.0,
            "held-out": 1.5,
            "held-out, beyond other text": 1.5,
            "gap": 2.0,
        }
    )
    assert means["gap"][1] == pytest.approx((1.5,) * 6)
    # Attribution and the share of sections learned are the data's.
    assert [row["contrast"] for row in found.details["trained"]] == pytest.approx([0.0] * 8)
    assert found.details["learned"] == 1.0


def test_few_held_out_items_stand_beside_and_are_told() -> None:
    probe, base, other = held_out(4, 2.0, 1.5)
    found = probe.measure(base, other)
    assert found.value == pytest.approx(2.0 - 0.1)
    assert found.notes == ("4 held-out items are too few to lean on; 5 would do",)
    assert math.isclose(sum(next(p for p in found.parts if p.name == "held-out").values) / 4, 1.5)
