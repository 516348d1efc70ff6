"""`sway-gguf diff`: two adapters on one load of the base."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.choose.diff import Diff, diff, tokens
from sway_gguf.cli.main import cli
from sway_gguf.core.comparison import Movement
from sway_gguf.core.errors import UserError
from sway_gguf.engine.doors import is_base
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import plan, run
from sway_gguf.suite.visit import tokens_of

BASE, HEALTHY, OVERTRAINED = (DEMO / name for name in ("base.f32.gguf", "healthy.lora.gguf", "overtrained.lora.gguf"))
KINDS = ["applied", "delta_kl", "external_perplexity"]


class Swapping(FakeBackend):
    """A fake that takes another adapter, and counts how often."""

    swaps = 0

    def swap(self, adapter: LoraAdapter) -> bool:
        self.swaps += 1
        return True


def prepared(items: int = 12, kinds: Sequence[str] = KINDS) -> Prepared:
    defaults = Defaults(nulls=5, items=items)
    spec = default_spec(BASE, HEALTHY, data=[DEMO / "document.md"], general=[DEMO / "general.txt"], defaults=defaults)
    suite = [{"name": kind, "kind": kind} for kind in kinds]
    return prepare(spec.model_copy(update={"suite": suite}))


def on_the_engine(second: Path) -> Diff:
    first = prepared()
    with first.opened() as backend:
        return diff(first, first.with_adapter(second), backend)


def test_the_base_is_asked_once_and_every_other_view_of_each_adapter() -> None:
    """At λ = 0 too, and what follows from the base's replies in a dialogue."""
    first = prepared(4, [*KINDS, "adapter_ablation", "multi_turn_coherence_decay"])
    second, backend = first.with_adapter(OVERTRAINED), Swapping(wordy_script(lambda view, query: 0.0))
    diff(first, second, backend)
    times = {view: Counter(query for seen, query in backend.asked if seen == view) for view, _ in backend.asked}
    assert backend.swaps == 1
    assert {is_base(view): set(counts.values()) for view, counts in times.items()} == {True: {1}, False: {2}}


def test_progress_ends_where_its_total_is() -> None:
    first, evaluated = prepared(4), []
    second, backend = first.with_adapter(OVERTRAINED), Swapping(wordy_script(lambda view, query: 0.0))
    diff(first, second, backend, lambda view, count: evaluated.append(count))
    # A fake reads no general text, so no null shows what size alone does to it.
    sizes = sum(sum(tokens_of(plan(each).sizes, backend.count_tokens_of).values()) for each in (first, second))
    assert 0 < sum(evaluated) == tokens(first, second, backend) - sizes


def test_a_spec_without_adapter_is_one_line(tmp_path: Path) -> None:
    spec = tmp_path / "sway.yaml"
    spec.write_text(
        f"version: 1\nmodels: {{base: {{base: '{BASE}'}}, ft: {{base: '{BASE}'}}}}\n"
        "suite: [{name: a, kind: applied}]\n",
        encoding="utf-8",
    )
    done = CliRunner().invoke(cli, ["diff", str(spec), str(HEALTHY)])
    assert isinstance(done.exception, UserError)
    assert "models.ft.adapter is missing" in str(done.exception)


def test_texts_are_read_once() -> None:
    first = prepared(4)
    second = first.with_adapter(OVERTRAINED)
    assert second.texts is first.texts
    assert second.adapter_hash != first.adapter_hash


def test_a_backend_that_takes_one_adapter_alone_is_told() -> None:
    first = prepared(4)
    with pytest.raises(UserError, match="takes one adapter alone"):
        diff(first, first, FakeBackend(wordy_script(lambda view, query: 0.0)))


def test_the_overtrained_adapter_does_more_harm_than_the_healthy_one() -> None:
    found = on_the_engine(OVERTRAINED)
    moved = {probe.kind: probe.movement for probe in found.comparison.probes}
    assert moved["external_perplexity"] == Movement.WORSE
    assert (found.old.nulls.count, found.new.nulls.count) == (5, 5)
    alone = prepared().with_adapter(OVERTRAINED)
    with alone.opened() as backend:
        expected = run(alone, backend)
    assert [probe.value for probe in found.new.probes] == [probe.value for probe in expected.probes]


def test_an_adapter_against_itself_shows_no_change() -> None:
    found = on_the_engine(HEALTHY)
    assert {probe.movement for probe in found.comparison.probes} == {Movement.UNDETECTED}
    assert {probe.delta for probe in found.comparison.probes} == {0.0}


def test_the_command_writes_both_results_and_what_changed(tmp_path: Path) -> None:
    spec, out, page = tmp_path / "sway.yaml", tmp_path / "diff.json", tmp_path / "diff.html"
    spec.write_text(
        f"version: 1\nmodels: {{base: {{base: '{BASE}'}}, ft: {{base: '{BASE}', adapter: '{HEALTHY}'}}}}\n"
        f"general: '{DEMO / 'general.txt'}'\ndefaults: {{items: 8, nulls: 3}}\n"
        "suite: [{name: harm, kind: external_perplexity}, {name: size, kind: delta_kl}]\n",
        encoding="utf-8",
    )
    words = ["diff", str(spec), str(OVERTRAINED), "--json", str(out), "--html", str(page), "--exit-code"]
    done = CliRunner().invoke(cli, words)
    record = json.loads(out.read_text(encoding="utf-8"))
    assert len(record["results"]) == 2
    assert done.exit_code == int(record["regressed"])
    assert "overtrained.lora.gguf" in done.output
    assert "harm" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one.gguf"], "a base and two adapters"),
        (["one.gguf", "two.gguf"], "a base and two adapters"),
        (["sway.yaml", "b.gguf", "--data", "x.md"], "--data: the spec"),
        ([str(BASE), str(HEALTHY), str(BASE)], "base.f32.gguf"),
    ],
)
def test_what_cannot_be_compared_is_one_line(words: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["diff", *words])
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
