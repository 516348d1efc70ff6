"""A run fitted into a time: what is cut, in which order, and that it is told."""

from __future__ import annotations

import json

import pytest

from sway_gguf.core.queries import Generate, NextToken
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.suite.budget import Speed, measured_speed, seconds_of, within
from sway_gguf.suite.demo import demo_spec
from sway_gguf.suite.prepare import Prepared, prepare
from tests.test_cli import BASE, HEALTHY, TEXT, complaint, succeeded


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


def test_written_tokens_have_their_own_price() -> None:
    speed = Speed(reading=0.001, writing=0.1)
    assert speed.of(NextToken("a"), 100) == pytest.approx(0.1)
    assert speed.of(Generate("a", 20), 120) == pytest.approx(0.1 + 2.0)


def test_an_estimate_is_made_of_the_machines_own_speed(prepared: Prepared, demo_backend: LlamaBackend) -> None:
    speed = measured_speed(demo_backend)
    assert 0 < speed.reading < speed.writing
    assert seconds_of(prepared, demo_backend, speed) > seconds_of(prepare(_fewer(prepared)), demo_backend, speed) > 0


def _fewer(prepared: Prepared):  # type: ignore[no-untyped-def]
    spec = prepared.spec
    return spec.model_copy(update={"defaults": spec.defaults.model_copy(update={"nulls": 2})})


def test_a_budget_on_the_command_line_is_kept_to_and_told() -> None:
    record = json.loads(succeeded("check", BASE, HEALTHY, *TEXT, "--budget", "0.1m", "--json", "-"))
    assert record["nulls"]["count"] < 19 or "at most" in " ".join(record["remarks"])
    assert record["diagnosis"] == "healthy"
    assert "write 60s, 5m or 1h" in complaint("check", BASE, HEALTHY, "--budget", "soon")
