"""One prompt more in a suite that was run: its own tokens, those of the few that share its batch, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sway_gguf.core.result_json import record_of
from sway_gguf.engine.store import AnswerStore, open_store
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import plan, run

FILES = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
SENTENCES = (DEMO / "general.txt").read_text(encoding="utf-8").replace("\n", " ").split(". ")
PROMPTS = [" ".join(words[:9]) for sentence in SENTENCES if len(words := sentence.split()) > 9]


def suite_of(prompts: list[str]) -> Prepared:
    """A suite that names its prompts, with texts beside."""
    spec = default_spec(*FILES, data=DEMO / "document.md", defaults=Defaults(nulls=1))
    entries = [
        {"name": "moved", "kind": "delta_kl", "prompts": prompts},
        {"name": "learned", "kind": "section_internalization"},
    ]
    return prepare(spec.model_copy(update={"suite": entries}))


def result_of(prepared: Prepared, store: AnswerStore | None) -> tuple[dict[str, Any], dict[str, float]]:
    """The record without its times, and its timings."""
    with prepared.opened(store) as backend:
        record = record_of(run(prepared, backend))
    del record["started_at"]
    return record, record.pop("timings")


def test_one_prompt_more_is_evaluated_with_those_that_share_its_batch(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        result_of(suite_of(PROMPTS[:30]), store)
        for count in (31, 32):
            record, more = result_of(suite_of(PROMPTS[:count]), store)
            whole = more["tokens"] + more["tokens_from_store"]
            # About ten tokens, with twenty prompts of the kind, of each of four views; 14 sections stay as they are.
            assert 0 < more["tokens"] < 0.08 * whole
    alone, every = result_of(suite_of(PROMPTS[:32]), None)
    assert record == alone
    assert whole == every["tokens"]


def questions(records: list[dict[str, str]], folder: Path) -> set[tuple[str, str]]:
    """What a first verdict asks of every view, where the data hold these records."""
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    schedule = plan(prepare(default_spec(*FILES, data=data)))
    visits = (*schedule.fewest, *schedule.last)
    return {(repr(v.view), repr(query)) for v in visits for group in v.groups for query in group.queries}


@pytest.mark.parametrize("place", [0, 40, 95])
def test_one_record_more_leaves_the_questions_on_the_others(place: int, tmp_path: Path) -> None:
    records = [{"prompt": f"What is {n} times {n}?", "completion": f"It is {n * n}, my friend."} for n in range(96)]
    before = questions(records[:-1], tmp_path)
    after = questions([*records[:place], records[-1], *records[place:-1]], tmp_path)
    # Where it is drawn it takes the place of one of 32; without it nothing is asked anew.
    assert len(after - before) < 0.1 * len(after)
