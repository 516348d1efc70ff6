"""A run fitted into a time: what is cut, in which order, that it is told, and that the estimate holds.

Whether it holds is shown on a clock that the engine's calls move by a price, so no test depends on this machine's pace;
benchmarks/budget.py shows it on a real one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.core.answers import Generated
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Completion, Embed, Generate, NextToken, Query, Rolling
from sway_gguf.core.views import BASE_RERUN, TUNED, View
from sway_gguf.engine import contexts
from sway_gguf.engine.batch import Piece
from sway_gguf.engine.context import Context
from sway_gguf.engine.doors import Work
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Defaults
from sway_gguf.suite import prepare as preparing
from sway_gguf.suite import texts
from sway_gguf.suite.budget import fitted, within
from sway_gguf.suite.demo import demo_spec
from sway_gguf.suite.pace import Price, measured_pace
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import run
from tests.artifact_files import spoiled
from tests.command_line import complaint, succeeded
from tests.test_cli import BASE, HEALTHY, TEXT


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(demo_spec(DEMO, "healthy"))


def by_size(ready: Prepared) -> float:
    """A made-up price: a second per item and null."""
    return float(len(ready.probes[2].ask()) * len(ready.seeds))


def test_what_fits_is_not_cut(prepared: Prepared) -> None:
    found = within(prepared, 1e9, by_size)
    assert found.spec == prepared.spec
    assert found.spec.remarks == ()


def test_items_go_before_nulls_and_every_cut_is_told(prepared: Prepared) -> None:
    most = by_size(prepared)
    items = within(prepared, most - 1, by_size).spec
    assert items.defaults.items is not None
    assert items.defaults.nulls == 19
    assert "items of each kind" in items.remarks[0]
    both = within(prepared, 8 * 9, by_size).spec
    assert (both.defaults.items, both.defaults.nulls) == (8, 9)
    assert both.remarks == ("cut to keep to 72 s: at most 8 items of each kind, 9 nulls",)


def test_what_never_fits_runs_at_its_shortest_and_says_so(prepared: Prepared) -> None:
    spec = within(prepared, 0.5, by_size).spec
    assert (spec.defaults.items, spec.defaults.nulls) == (8, 5)
    assert "about 40 s where 0.5 s were asked for" in spec.remarks[-1]


def test_what_was_spent_before_the_run_counts(prepared: Prepared) -> None:
    most = by_size(prepared)
    assert within(prepared, most + 1, by_size).spec == prepared.spec
    assert within(prepared, most + 1, by_size, spent=2.0).spec.defaults.items is not None


def test_a_cut_reads_no_file_again_and_is_the_run_that_a_spec_of_it_gives(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = prepare(within(prepared, 0.5, by_size).spec)

    def never(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(texts, "read_material", never)
    for name in ("read_base", "read_stack", "sha256_of"):
        monkeypatch.setattr(preparing, name, never)
    assert [probe.ask() for probe in within(prepared, 0.5, by_size).probes] == [p.ask() for p in fresh.probes]


def test_a_price_is_per_call_and_per_token() -> None:
    assert Price(call=0.1, token=0.001).of(Work(3, 100)) == pytest.approx(0.4)


PIECES = [text.strip() for text in (DEMO / "general.txt").read_text(encoding="utf-8").split("\n\n")][:14]
QUERIES: dict[str, list[Query]] = {
    "next tokens": [NextToken(text[:40]) for text in PIECES],
    "texts": [Rolling(text) for text in PIECES],
    "completions": [Completion(text[:40], text[40:]) for text in PIECES],
    "replies": [Generate(text[:40], 4 + number % 3) for number, text in enumerate(PIECES)],
    "embeddings": [Embed(text) for text in PIECES],
}


@pytest.mark.parametrize("view", [BASE_RERUN, TUNED], ids=str)
@pytest.mark.parametrize("queries", QUERIES.values(), ids=QUERIES)
def test_the_work_counted_is_the_work_done(
    demo_backend: LlamaBackend, monkeypatch: pytest.MonkeyPatch, queries: list[Query], view: View
) -> None:
    fed: list[int] = []
    real = Context._run

    def counted(self: Context, pieces: Sequence[Piece]) -> int:
        fed.append(sum(len(piece.tokens) for piece in pieces))
        return real(self, pieces)

    monkeypatch.setattr(Context, "_run", counted)
    # An embedding is kept from one view to the next: each view asks for its own.
    queries = [Embed(f"{query.text} {view}") if isinstance(query, Embed) else query for query in queries]
    with demo_backend.open(view) as opened:
        replies = [answer for answer in opened.answer(queries) if isinstance(answer, Generated)]
    asked = sum(query.max_new_tokens for query in queries if isinstance(query, Generate))
    assert sum(len(reply.token_ids) for reply in replies) == asked, "a reply ended early: choose other prompts"
    # A lone token is given a mate, so at most one more is fed per call of a reply.
    work = demo_backend.work(view, queries)
    assert len(fed) == work.calls
    assert sum(fed) == pytest.approx(work.tokens, abs=len(fed) if replies else 0)


class Machine(NamedTuple):
    """What a made-up machine takes: seconds per call, per token, per token with logits, and per null adapter."""

    call: float
    token: float
    output: float
    null: float


MACHINES = {
    "calls": Machine(0.05, 0.0001, 0.0, 0.0),
    "tokens": Machine(0.0, 0.002, 0.0, 0.0),
    "logits": Machine(0.002, 0.0002, 0.002, 0.0),
    "nulls": Machine(0.001, 0.0005, 0.0005, 2.0),
    "all": Machine(0.02, 0.001, 0.0005, 0.3),
}


def alone() -> LlamaBackend:
    """Made-up time goes on wherever the engine works: two views at once would take as long as one after the other."""
    settings = EngineSettings(kv_type="f32", parallel=1)
    return LlamaBackend(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", settings)


@pytest.fixture
def one_by_one() -> Iterator[LlamaBackend]:
    """One that has kept nothing yet: an embedding is computed once."""
    with alone() as backend:
        yield backend


@contextmanager
def counting() -> Iterator[NDArray[np.float64]]:
    """[4] calls, tokens, tokens with logits and null adapters, counted as the real engine works.

    Their product with a machine is its time, which stands still but for what the engine does.
    """
    real_run, real_decode, real_null, done = Context._run, Context.decode, contexts.null_of, np.zeros(4)

    def counted(self: Context, pieces: Sequence[Piece]) -> int:
        done[:2] += 1, sum(len(piece.tokens) for piece in pieces)
        return real_run(self, pieces)

    def decoded(self: Context, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        """What an embedding puts out is no logits."""
        logits = real_decode(self, pieces)
        done[2] += len(logits)
        return logits

    def drawn(*given: Any) -> Any:
        done[3] += 1
        return real_null(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "_run", counted)
        patch.setattr(Context, "decode", decoded)
        patch.setattr(contexts, "null_of", drawn)
        yield done


SUITES = {
    "scores": ("applied", "delta_kl", "adapter_ablation", "section_internalization", "external_perplexity"),
    "replies": ("delta_kl", "leakage", "top1_flips", "adapter_revert"),
}


def suite_of(kinds: Sequence[str], nulls: int) -> Prepared:
    spec = default_spec(
        DEMO / "base.f32.gguf",
        DEMO / "healthy.lora.gguf",
        data=DEMO / "paraphrases.jsonl" if "adapter_revert" in kinds else DEMO / "document.md",
        general=DEMO / "general.txt",
        defaults=Defaults(
            prompts=12, nulls=nulls, looks=1, panel=0, nulls_for_everything=True, items=12, chunk_chars=200
        ),
        kinds=kinds,
    )
    return prepare(spec)


@pytest.fixture(scope="module", params=SUITES.values(), ids=SUITES)
def ran(request: pytest.FixtureRequest) -> tuple[Prepared, NDArray[np.float64]]:
    """A suite, and what its run has the engine do, which is the same on every machine."""
    ready = suite_of(request.param, nulls=2)
    with counting() as done, alone() as backend:
        run(ready, backend)
    return ready, done


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_an_estimate_holds_within_a_quarter(
    one_by_one: LlamaBackend, ran: tuple[Prepared, NDArray[np.float64]], machine: Machine
) -> None:
    ready, work = ran
    with counting() as done:
        pace = measured_pace(ready, one_by_one, 4.0, lambda: float(done @ machine))
    assert pace.seconds_of(ready) == pytest.approx(work @ machine, rel=0.25)


def test_a_budget_is_kept_to_with_what_the_timing_takes(one_by_one: LlamaBackend) -> None:
    ready = suite_of(SUITES["scores"], nulls=8)
    with counting() as done:

        def clock() -> float:
            return float(done @ MACHINES["all"])

        pace = measured_pace(ready, one_by_one, 4.0, clock)
        budget, began = 0.75 * pace.seconds_of(ready), clock()
        cut = fitted(ready, one_by_one, budget, began, clock)
        assert cut.spec.remarks == (f"cut to keep to {budget:g} s: at most 8 items of each kind, 5 nulls",)
        assert clock() - began < 0.25 * budget
        run(cut, one_by_one)
        assert 0.5 * budget < clock() - began < 1.25 * budget


def test_a_budget_on_the_command_line_is_told() -> None:
    """So short that no machine keeps to it."""
    words = ("check", BASE, HEALTHY, "--general", str(DEMO / "general.txt"), "--budget", "0.001m", "--json", "-")
    record = json.loads(succeeded(*words))
    assert "cut to keep to 0.06 s" in " ".join(record["remarks"])
    assert record["nulls"]["count"] == 5
    assert "write 60s, 5m or 1h" in complaint("check", BASE, HEALTHY, "--budget", "soon")


def test_a_broken_adapter_gets_its_verdict_under_a_budget_too(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(Path(HEALTHY)), 0), tmp_path / "nan.gguf")
    words = ("check", BASE, str(tmp_path / "nan.gguf"), *TEXT, "--json", "-")
    records = [json.loads(succeeded(*words, *more)) for more in ((), ("--budget", "5s"))]
    assert [record["diagnosis"] for record in records] == ["broken", "broken"]
