"""Questions that are the beginning of others: who may be sent along, and what a run saves by it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Set
from pathlib import Path

import pytest

from sway_gguf.collect import QueryGroup
from sway_gguf.core.queries import Compare, Completion, Generate, NextToken, Rolling, Spans
from sway_gguf.core.views import BASE, NullView
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import AdapterSpec
from sway_gguf.suite.joining import joined
from sway_gguf.suite.prepare import first_spec, prepare
from sway_gguf.suite.run import plan
from sway_gguf.suite.schedule import Schedule

REPLY = Completion("How deep? ", "A thumb deep.<end>")
END = Completion("How deep? A thumb deep.", "<end>")


def they_ask(asker: Hashable, askers: Set[Hashable]) -> bool:
    return asker in askers


def group(*queries: object, askers: str) -> QueryGroup:
    return QueryGroup(queries, frozenset(askers))  # type: ignore[arg-type]


def test_the_end_of_a_reply_is_read_with_the_reply() -> None:
    one, two = group(REPLY, askers="ab"), group(END, askers="a")
    assert joined([one, two], they_ask) == [group(REPLY, END, askers="ab")]
    assert joined([two, one], they_ask) == [group(END, REPLY, askers="ab")], "in the order of the questions"


def test_who_does_not_ask_the_longer_text_keeps_the_beginning_alone() -> None:
    beginning = Completion("How deep? A thumb", " deep.")
    apart = [group(REPLY, askers="a"), group(beginning, askers="ab")]
    assert joined(apart, they_ask) == apart

    def b_too(asker: Hashable, askers: Set[Hashable]) -> bool:
        return asker in askers or asker == "b"

    assert joined(apart, b_too) == [group(REPLY, beginning, askers="ab")]


def test_every_way_to_read_a_text_is_a_beginning_of_it() -> None:
    text = "How deep? A thumb deep.<end>"
    parts = [NextToken("How deep?"), Rolling("How deep? A"), Spans("How deep? A thumb", ((0, 3),)), END]
    assert joined([group(Rolling(text), askers="ab"), *(group(part, askers="a") for part in parts)], they_ask) == [
        group(Rolling(text), *parts, askers="ab")
    ]


def test_what_is_read_apart_stays_where_it_is() -> None:
    others = [
        NextToken("How deep?", filler="words", filler_tokens=8),
        Compare("How deep?"),
        Generate("How deep?", 8),
        Rolling("How wide?"),
    ]
    groups = [group(REPLY, askers="ab"), *(group(other, askers="a") for other in others)]
    assert joined(groups, they_ask) == groups


def test_a_chain_of_beginnings_ends_in_one_group() -> None:
    chain = [Rolling("How"), Rolling("How deep?"), Rolling("How deep? A thumb")]
    groups = [group(chain[0], askers="a"), group(chain[1], askers="ab"), group(chain[2], askers="abc")]
    assert joined(groups, they_ask) == [group(*chain, askers="abc")]


def test_of_a_group_only_the_beginnings_go() -> None:
    groups = [group(REPLY, askers="ab"), group(END, Rolling("Something else"), askers="a")]
    assert joined(groups, they_ask) == [group(REPLY, END, askers="ab"), group(Rolling("Something else"), askers="a")]


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> tuple[Schedule, int]:
    """The plan of a check of short dialogues, and the place of `ending` in it."""
    data: Path = tmp_path_factory.mktemp("joining") / "train.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": f"How deep goes {plant}?"}, {"role": "assistant", "content": reply}]}
        for plant, reply in zip("abcdefghijkl", "mnopqrstuvwx", strict=True)
    ]
    data.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    adapter = AdapterSpec(path=DEMO / "healthy.lora.gguf")
    spec = first_spec(DEMO / "base.f32.gguf", [adapter], data=(data,)).model_copy(update={"format": "chatml"})
    ready = prepare(spec)
    return plan(ready), [probe.kind for probe in ready.probes].index("ending")


def test_how_likely_the_ends_are_is_read_with_the_replies(dialogues: tuple[Schedule, int]) -> None:
    found, ending = dialogues
    base, first = found.visits[0], found.first[0]
    ends = set(base.asked[ending])
    beside = [group for group in base.groups if ends.intersection(group.queries)]
    assert ends and all(not ends.issuperset(group.queries) for group in beside)
    assert ends <= {query for group in first.groups for query in group.queries}, "for nulls they are free as well"


def test_a_null_of_the_first_look_is_not_asked_again_for_what_size_does(dialogues: tuple[Schedule, int]) -> None:
    found, ending = dialogues
    early = {visit.view for visit in found.first}
    sizes = [visit for visit in found.every if isinstance(visit.view, NullView) and ending in visit.asked]
    assert sizes and {visit.view for visit in sizes} <= early
    ends = set(sizes[0].asked[ending])
    assert not any(ends.intersection(group.queries) for visit in sizes for group in visit.groups)


def test_the_base_is_not_compared_with_itself(dialogues: tuple[Schedule, int]) -> None:
    base, *others = dialogues[0].visits

    def compared(visit: object) -> int:
        return sum(isinstance(query, Compare) for group in visit.groups for query in group.queries)  # type: ignore[attr-defined]

    assert base.view == BASE and not compared(base) and any(map(compared, others))
