"""Prompts that the context does not hold: left out and told, and the run goes on; odd training contexts."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_header import Header
from sway_gguf.choose.mine import mined
from sway_gguf.core.dialogue import Dialogue
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Generate, NextToken, Query, Rolling
from sway_gguf.deploy.quants import asked_of
from sway_gguf.engine.llama import Model
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.base import Sources
from sway_gguf.probes.registry import build_probes
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.room import Room
from sway_gguf.suite.run import run

DEMO_BASE, DEMO_ADAPTER = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
LONG = "Anna went to the market and came home again. " * 40
SHORT = [f"On day {n} Anna went to" for n in range(6)]
KINDS = ("applied", "delta_kl", "cluster_kl", "adapter_ablation", "prompt_collapse", "style_fingerprint", "leakage")


def prepared_with(path: Path, prompts: list[str], *kinds: str, context: int = 128) -> Prepared:
    lines = [json.dumps({"prompt": prompt, "completion": " the old town by the river."}) for prompt in prompts]
    path.write_text("\n".join(lines), encoding="utf-8")
    defaults, engine = Defaults(nulls=5), EngineSettings(context=context)
    return prepare(default_spec(DEMO_BASE, DEMO_ADAPTER, data=path, defaults=defaults, engine=engine, kinds=kinds))


def test_a_prompt_longer_than_the_context_is_left_out_and_told_by_its_line(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    ready = prepared_with(data, [*SHORT, LONG], *KINDS)
    (remark,) = ready.left_out
    assert f"{data}, line 7" in remark
    assert "the context of 128 tokens" in remark
    with LlamaBackend(DEMO_BASE, DEMO_ADAPTER, ready.engine) as backend:
        tokens = len(backend.model.tokenize(LONG))
        found = run(ready, backend)
    assert int(remark.partition("(needs ")[2].partition(")")[0].replace(",", "")) >= tokens
    assert remark in found.remarks
    asked = [query for probe in ready.probes for query in probe.ask() if isinstance(query, NextToken | Generate)]
    assert all(LONG not in query.prompt for query in asked)
    assert next(probe.verdict.value for probe in found.probes if probe.kind == "applied") == "PASS"


def test_what_can_be_done_is_said(tmp_path: Path) -> None:
    trained = read_base(DEMO_BASE).context_length
    (remark,) = prepared_with(tmp_path / "a.jsonl", [*SHORT, LONG[:600]], "applied").left_out
    needed = int(remark.rpartition("-c ")[2].split()[0])
    assert 128 < needed <= trained
    assert prepared_with(tmp_path / "a.jsonl", [*SHORT, LONG[:600]], "applied", context=needed).left_out == ()
    (remark,) = prepared_with(tmp_path / "b.jsonl", [*SHORT, LONG * 2], "applied").left_out
    assert f"the model was trained on {trained:,}: shorten" in remark


def test_a_run_fails_only_when_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no probe of the suite can run: .*1 prompt does not fit"):
        prepared_with(tmp_path / "data.jsonl", [LONG], "applied", "delta_kl")


@pytest.mark.parametrize(
    "entry",
    [
        {
            "kind": "tool_use_fidelity",
            "cases": [{"prompt": p, "tools": [{"name": "f"}], "expected": {"name": "f"}} for p in ("Call f.", LONG)],
        },
        {"kind": "adapter_revert", "cases": [{"prompt": "a", "gold": "b", "paraphrases": ["c", LONG]}]},
        {"kind": "multi_turn_coherence_decay", "prompts": ["Hello", LONG], "max_new_tokens": 4},
        {"kind": "style_fingerprint", "prompts": ["Hello", LONG], "doc_reference": "Some text."},
        {"kind": "leakage", "canaries": [{"prompt": "The code is", "secret": "9"}, {"prompt": LONG, "secret": "8"}]},
        {"kind": "applied", "prompts": ["Hello", LONG]},
    ],
    ids=lambda entry: entry["kind"],
)
def test_every_probe_asks_only_what_the_context_holds(entry: dict[str, Any]) -> None:
    room = Room(read_base(DEMO_BASE), 256)

    def chat(dialogue: Dialogue, *, opens: bool = True) -> str:
        return "".join(f"{turn.role}: {turn.content}\n" for turn in dialogue.turns)

    sources = Sources(holds=room.holds, chat=chat, general=("one text that is long enough to be cut in two " * 4,))
    (probe,) = build_probes([{"name": "p", **entry}], sources)
    asked = [query for query in probe.ask() if isinstance(query, NextToken | Generate)]
    assert asked
    assert all(LONG not in query.prompt for query in asked)
    assert len(room.left_out({})) == 1


@cache
def vocabulary() -> Model:
    """The demo's tokenizer, without its weights."""
    return Model(DEMO_BASE, vocabulary_only=True)


@settings(max_examples=50)
@given(st.text(max_size=120), st.integers(0, 40), st.integers(4, 64))
def test_what_is_held_is_what_the_engine_takes(text: str, written: int, width: int) -> None:
    if not text.strip():
        return
    query: Query = Generate(text, written) if written else NextToken(text)
    room = Room(read_base(DEMO_BASE), width)
    needed = len(vocabulary().tokenize(text)) + written
    assert room.holds(query) == (needed <= width)
    assert room.holds(Rolling(text * 50))


@pytest.mark.parametrize("context", [100, 128, 300, 512])
def test_lengths_of_filler_adapt_to_the_context_and_say_so(context: int) -> None:
    room = Room(read_base(DEMO_BASE), context)
    sources = Sources(prompts=(*SHORT, LONG), context=context, holds=room.holds)
    (probe,) = build_probes([{"name": "p", "kind": "prompt_collapse"}], sources)
    assert probe.missing() == ""
    assert len(probe.lengths) >= 2  # type: ignore[attr-defined]
    assert {query.prompt for query in probe.ask()} == set(SHORT)  # type: ignore[union-attr]
    for query in probe.ask():
        assert isinstance(query, NextToken)
        assert len(vocabulary().tokenize(query.prompt)) + query.filler_tokens <= context
    assert f"the context holds {context} tokens" in probe._adapted()[0]  # type: ignore[attr-defined]


def with_context(path: Path, length: int) -> Path:
    """The demo's base with another training context in its header."""
    data = bytearray(DEMO_BASE.read_bytes())
    key = b"llama.context_length"
    place = data.index(key) + len(key) + 4
    assert int.from_bytes(data[place : place + 4], "little") == read_base(DEMO_BASE).context_length
    data[place : place + 4] = length.to_bytes(4, "little")
    path.write_bytes(data)
    Header(path)
    return path


@pytest.mark.parametrize("length", [1 << 31, (1 << 32) - 1, 0])
def test_an_odd_training_context_is_no_negative_one(tmp_path: Path, length: int) -> None:
    base = with_context(tmp_path / "odd.gguf", length)
    with LlamaBackend(base, None) as backend, backend.as_base() as view:
        assert backend.width == 2048 == EngineSettings().width(read_base(base).context_length)
        assert view.next_token_dist("Anna went", top_k=1).vocab_size == backend.model.vocabulary


def test_a_training_context_that_holds_no_text_is_the_users_to_mend(tmp_path: Path) -> None:
    base = with_context(tmp_path / "tiny.gguf", 2)
    with pytest.raises(UserError, match="holds no text"):
        prepare(default_spec(base, DEMO_ADAPTER, kinds=("applied",)))


def test_a_remark_is_told_once_whatever_is_cut(tmp_path: Path) -> None:
    ready = prepared_with(tmp_path / "data.jsonl", [*SHORT, LONG], "applied")
    again = prepare(replace(ready, spec=ready.spec).spec)
    assert again.left_out == ready.left_out


def test_mining_and_deployments_leave_out_what_the_context_does_not_hold(tmp_path: Path) -> None:
    ready = prepared_with(tmp_path / "data.jsonl", [*SHORT, LONG], "applied")
    asked = asked_of(ready)
    assert set(SHORT) <= set(asked.prompts)
    assert LONG not in asked.prompts
    (tmp_path / "pool.txt").write_text("\n".join([*SHORT, LONG]), encoding="utf-8")
    with LlamaBackend(DEMO_BASE, DEMO_ADAPTER, ready.engine) as backend:
        entry = mined(backend, tmp_path / "pool.txt", 99, "", ready.room.holds, ready.texts.speech)
    assert sorted(entry["prompts"]) == sorted(SHORT)


def test_deployments_that_a_small_context_leaves_no_prompt_are_refused_in_a_line(tmp_path: Path) -> None:
    spec = prepared_with(tmp_path / "data.jsonl", SHORT, "adapter_health", context=16).spec
    with pytest.raises(UserError, match=r"^no prompt is left to ask; \d+ prompts do not fit .* -c \d+ would hold all$"):
        asked_of(prepare(spec.model_copy(update={"format": "chatml"})))
