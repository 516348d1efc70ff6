"""Answers that were kept: what they hang on, how they are written, and that nobody sees a difference but the clock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts import null, rounding
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.core.answers import Answer, Changes, Embedding, Generated
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import EngineError, NonFiniteError
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Rolling, Spans, Split
from sway_gguf.core.result_json import record_of
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullDesign, NullView, ScaledView, View
from sway_gguf.engine import identity, llama, loaded
from sway_gguf.engine.encoding import OddBytesError, decode, encode
from sway_gguf.engine.identity import IN_UNITS, Identity
from sway_gguf.engine.keeping import Sampling, Text, Unit, asked_in, request_of
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packing import Branch, Group, Job, Limits, group_jobs
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.pace import measured_pace
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import plan, run
from sway_gguf.suite.visit import tokens_of
from tests.artifact_files import finish, spoiled

FILES = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
TEXTS = [section.text for section in read_material(DEMO / "general.txt").sections[:6]]
PROMPT = "One sunny Monday, Anna went to the"
QUERIES: list[Query] = [
    *map(Rolling, TEXTS),
    *(NextToken(text[:40]) for text in TEXTS),
    Completion(PROMPT, " market of the town"),
    Spans(f"{PROMPT} market of the town", ((0, 10), (20, 40))),
    Compare(TEXTS[0]),
    Generate(PROMPT, 6),
    Generate(TEXTS[0][:60], 5, temperature=0.8, top_p=0.9, seed=3),
    Embed(PROMPT),
    Split(PROMPT, " market"),
]
VIEWS: list[View] = [BASE, BASE_RERUN, TUNED, ScaledView(0.5), ScaledView(0.0), NullView(7)]


class Kept(dict[bytes, bytes]):
    """A store in memory that counts what it was asked to keep."""

    puts = 0

    def get(self, request: bytes) -> bytes | None:  # type: ignore[override]
        return super().get(request)

    def put(self, request: bytes, value: bytes) -> None:
        self.puts += 1
        self[request] = value


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files whose weights were loaded."""
    seen: list[Path] = []

    class Counted(llama.Model):
        def __init__(self, path: Path, *, vocabulary_only: bool = False, **settings: Any) -> None:
            if not vocabulary_only:
                seen.append(path)
            super().__init__(path, vocabulary_only=vocabulary_only, **settings)

    monkeypatch.setattr(loaded, "Model", Counted)
    return seen


def said(store: Kept | None, view: View, queries: list[Query] = QUERIES, **settings: Any) -> list[Answer]:
    with LlamaBackend(*FILES, EngineSettings(**settings), store) as backend, backend.open(view) as opened:
        return opened.answer(queries)


def bits(answers: list[Answer]) -> list[bytes]:
    """Answers down to the last bit, in words that tell −0 from 0."""
    return [
        repr([_bits(getattr(a, f.name)) for f in fields(a)] if hasattr(a, "__slots__") else _bits(a)).encode()
        for a in answers
    ]


def _bits(part: Any) -> Any:
    return (part.dtype.str, part.tobytes()) if isinstance(part, np.ndarray) else part


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_without_a_store_with_a_cold_one_and_with_a_warm_one_the_bits_are_the_same(
    view: View, loads: list[Path]
) -> None:
    store = Kept()
    alone, cold = said(None, view), said(store, view)
    assert len(loads) == 2
    warm = said(store, view)
    assert len(loads) == 2, "a warm store needs no weights"
    assert bits(alone) == bits(cold) == bits(warm)


def test_a_base_is_known_whoever_adapts_it_and_a_scale_of_zero_is_the_base(loads: list[Path]) -> None:
    store = Kept()
    alike = [query for query in QUERIES if not isinstance(query, Compare)]
    for view, adapter in ((BASE, "healthy"), (ScaledView(0.0), "healthy"), (BASE, "random")):
        files = FILES[0], DEMO / f"{adapter}.lora.gguf"
        with LlamaBackend(*files, None, store) as backend, backend.open(view) as opened:
            opened.answer(alike)
    assert len(loads) == 1
    said(store, TUNED, [Embed(PROMPT), Split(PROMPT, " market")])
    assert len(loads) == 1, "no adapter takes part in an embedding"


def test_what_was_kept_is_computed_again_from_its_request_alone() -> None:
    store = Kept()
    for view in VIEWS:
        said(store, view)
    kept = dict(store)
    with LlamaBackend(*FILES, None, Kept()) as backend:
        assert all(backend.again(request) == value for request, value in kept.items())
        assert backend.again(b"no request") is None
    with LlamaBackend(FILES[0], DEMO / "random.lora.gguf", None, Kept()) as other:
        known = [request for request in kept if other.again(request) is not None]
    assert 0 < len(known) < len(kept)
    assert {_unit(request).view for request in known if isinstance(_unit(request), Unit)} == {BASE, BASE_RERUN}


def _unit(request: bytes) -> Any:
    found = asked_in(request)
    assert found is not None
    return found[1]


def test_a_value_that_is_odd_in_any_way_is_none() -> None:
    """Cut short, longer, of another shape, of another unit, not a number, or no value at all: it is asked anew."""
    store = Kept()
    first = bits(said(store, TUNED))
    values = list(store.values())
    for change in (
        lambda value: value[:-1],
        lambda value: value + b"\0",
        lambda value: b"",
        lambda value: bytes(len(value)),
        lambda value: next(other for other in values if other != value),
        lambda value: encode({"tokens": 1, "answers": (np.full(3, np.nan),)}),
        lambda value: encode({"tokens": "1", "answers": decode_value(value)["answers"]}),
        lambda value: encode({"tokens": 1, "answers": decode_value(value)["answers"][1:]}),
    ):
        damaged = Kept({request: change(value) for request, value in store.items()})
        assert bits(said(damaged, TUNED)) == first
        assert damaged == store


def decode_value(value: bytes) -> Any:
    return decode(value, {kind.__name__: kind for kind in (Changes, Generated, Embedding)})


def test_what_is_timed_is_not_read_from_a_store(loads: list[Path]) -> None:
    store = Kept()
    said(store, BASE)
    puts = store.puts
    with LlamaBackend(*FILES, None, store) as backend:
        with backend.unkept(), backend.open(BASE) as opened:
            opened.answer(QUERIES)
        assert (len(loads), store.puts, backend.tokens_from_store) == (2, puts, 0)
        batches: list[Any] = []
        backend.trace(batches.append)
        with backend.open(BASE) as opened:
            opened.answer(QUERIES, lambda tokens: None)
            assert (batches, store.puts) == ([], puts)
            opened.answer([Rolling("Something that nobody asked before.")])
        assert len(batches) == 1


def test_weights_that_cannot_be_loaded_are_told_as_ever_when_they_are_needed(tmp_path: Path) -> None:
    """The header is fine and so is the vocabulary; a tensor is missing."""
    whole, path = GGUFFile(FILES[0]), tmp_path / "missing.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    copy_metadata(whole, writer, lambda key: key != "general.architecture")
    for name in whole.tensors:
        if name != "blk.0.attn_q.weight":
            writer.add_tensor(name, np.array(whole.read(name)))
    finish(writer, path)
    with pytest.raises(EngineError, match="not found") as eager:
        LlamaBackend(path, None)
    with LlamaBackend(path, None, None, Kept()) as backend, backend.as_base() as view:
        with pytest.raises(EngineError) as lazy:
            view.next_token_dist(PROMPT)
        assert str(lazy.value) == str(eager.value)


def test_what_is_not_finite_is_told_each_time_and_not_kept(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(FILES[1]), 0), tmp_path / "nan.gguf")
    store, why = Kept(), "the tuned view gave a non-finite number for the next token after"
    for _ in range(2):
        with (
            LlamaBackend(FILES[0], tmp_path / "nan.gguf", None, store) as backend,
            backend.as_finetuned() as view,
            pytest.raises(NonFiniteError, match=why),
        ):
            view.next_token_dist(PROMPT)
    assert not store


# What answers hang on.

UNIT = Unit(
    "replies",
    NullView(3, NullDesign("spectrum", 2.0, 0.1, "original")),
    Limits(512, 64, 8, 4096),
    group_jobs([Job((1, 2, 3), 1, (4, 5)), Job((1, 70_000), 1, (7,))], Limits(512, 64, 8, 4096))[0],
    (Job((1, 2, 3), 1, (4, 5)), Job((1, 70_000), 1, (7,))),
    (Sampling(8, 0.5, 0.9, 1), Sampling(9, 0.0, 1.0, 2)),
)


def variants(value: Any) -> Iterator[Any]:
    """`value` with any one of its parts changed, all the way down."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from ((*value[:place], changed, *value[place + 1 :]) for changed in variants(item))
        yield (*value, *value[-1:]) if value else (1,)
        yield value[:-1] if value else ("",)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from (value | {name: changed} for changed in variants(item))
    else:
        for field in fields(value):
            for changed in variants(getattr(value, field.name)):
                other = object.__new__(type(value))  # Past the checks of what a view may be.
                for each in fields(value):
                    object.__setattr__(other, each.name, changed if each is field else getattr(value, each.name))
                yield other


@cache
def known() -> dict[str, Any]:
    return Identity(read_base(FILES[0]), EngineSettings(), read_lora(FILES[1])).of(UNIT.view)


@pytest.mark.parametrize("unit", [UNIT, Text("A text.")], ids=["unit", "text"])
def test_any_change_of_a_unit_or_of_what_it_hangs_on_is_another_request(unit: Unit | Text) -> None:
    requests = [request_of(known(), unit)]
    requests += [request_of(known(), changed) for changed in variants(unit)]
    requests += [request_of(changed, unit) for changed in variants(known())]
    assert len(requests) > 20
    assert len(set(requests)) == len(requests)
    assert asked_in(requests[0]) == (known(), unit)


def test_every_setting_is_part_of_an_identity_or_of_the_units() -> None:
    """A setting that is new is part of it until somebody shows that it changes no bits."""
    assert set(known()["settings"]) == set(EngineSettings.model_fields) - IN_UNITS
    changed = {"ubatch": 256, "gpu_layers": 1, "kv_type": "f32", "flash_attention": True}
    base, adapter = read_base(FILES[0]), read_lora(FILES[1])
    found = [Identity(base, EngineSettings(**{name: value}), adapter).of(BASE) for name, value in changed.items()]
    assert len({encode(each) for each in (known(), *found)}) == 1 + len(changed)


@pytest.mark.parametrize("settings", [{"threads": 2}, {"threads": 3}], ids=str)
@pytest.mark.parametrize("view", [BASE, TUNED], ids=str)
def test_threads_change_no_bits(view: View, settings: dict[str, Any]) -> None:
    assert bits(said(None, view, **settings)) == bits(said(None, view, threads=1))


def test_settings_that_stand_in_the_units_change_them() -> None:
    """Fewer streams, a shorter batch, windows of another width: other groups, other limits, other jobs."""
    stores = []
    for settings in ({}, {"streams": 2}, {"batch": 64}, {"context": 32}):
        store = Kept()
        said(store, BASE, [*map(Rolling, TEXTS)], **settings)
        stores.append(set(store))
    assert all(not one & other for place, one in enumerate(stores) for other in stores[:place])


def test_versions_of_our_own_code_are_part_of_what_they_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    about = Identity(read_base(FILES[0]), EngineSettings(), read_lora(FILES[1]))

    def keys() -> dict[View, bytes]:
        return {view: encode(about.of(view)) for view in VIEWS}

    def changed(before: dict[View, bytes]) -> set[View]:
        return {view for view, key in keys().items() if key != before[view]}

    first = keys()
    with monkeypatch.context() as patch:
        patch.setattr(null, "VERSION", null.VERSION + 1)
        assert changed(first) == {NullView(7)}
    with monkeypatch.context() as patch:
        patch.setattr(rounding, "VERSION", rounding.VERSION + 1)
        assert changed(first) == {BASE_RERUN}
    with monkeypatch.context() as patch:
        patch.setattr(identity, "CODE", identity.CODE + 1)
        assert changed(first) == set(VIEWS)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "engine_identity", lambda gpu: {"library": "another"})
        assert changed(first) == set(VIEWS)


def test_contents_are_known_by_and_neither_names_nor_places(tmp_path: Path, shards: list[Path]) -> None:
    def key(base: Path, adapter: Path, view: View = TUNED, **settings: Any) -> bytes:
        about = Identity(read_base(base), EngineSettings(**settings), read_lora(adapter))
        return encode({"view": about.of(view), "text": about.of_embeddings()})

    (tmp_path / "elsewhere").mkdir()
    moved = [Path(shutil.copy(path, tmp_path / "elsewhere" / f"other-{path.name}")) for path in FILES]
    assert key(*FILES) == key(*moved)
    assert not [word for word in (str(tmp_path), "demo", "healthy") if word.encode() in key(*moved)]
    louder = replace(read_lora(FILES[1]), alpha=read_lora(FILES[1]).alpha * 2)
    write_lora(louder, tmp_path / "louder.gguf")
    others = [
        key(shards[0], FILES[1]),
        key(FILES[0], tmp_path / "louder.gguf"),
        key(FILES[0], DEMO / "random.lora.gguf"),
        key(*FILES, embedder=FILES[0].parent / "base.f32.gguf"),
    ]
    assert len({key(*FILES), *others[:3]}) == 4
    assert key(*FILES) == others[3], "a base that embeds as a file of its own is still the same content"
    assert key(*FILES, embedder=shards[1]) != key(*FILES)
    assert key(*FILES, BASE) == key(FILES[0], DEMO / "random.lora.gguf", BASE)


def test_an_adapter_in_memory_is_known_by_its_factors() -> None:
    adapter = replace(read_lora(FILES[1]), in_file=False, path=Path("converted"))
    first = identity.adapter_digest(adapter)
    assert first == identity.adapter_digest(replace(adapter, path=Path("elsewhere")))
    pair = adapter.pairs[0]
    others = [
        replace(adapter, alpha=adapter.alpha * 2),
        replace(adapter, pairs=adapter.pairs[1:]),
        *(
            replace(adapter, pairs=(changed, *adapter.pairs[1:]))
            for changed in (
                replace(pair, a=pair.a * 2),
                replace(pair, b=pair.b * 2),
                replace(pair, a_type="Q8_0"),
                replace(pair, module="blk.1.attn_q.weight"),
            )
        ),
    ]
    assert len({first, *map(identity.adapter_digest, others)}) == 1 + len(others)


# How it is written.

VALUES: list[Any] = [
    None, True, False, 0, -1, 2**62, 0.0, -0.0, 1e300, float("inf"), "", "größer \ud800", b"\0", (), (1,), (2**40, -3),
    (True, 1), ("a", (1.5, None)), {"b": 1, "a": ()}, np.arange(3.0), np.zeros((2, 0), np.float32), np.array([True]),
    UNIT, Text("x"), Changes(np.zeros(1), np.zeros(1), np.array([False]), np.ones(1), np.ones(1)),
    Generated("hi", (1, 2)),
]  # fmt: skip
CLASSES = {
    k.__name__: k for k in (Unit, Text, Sampling, Limits, Group, Branch, Job, NullView, NullDesign, Changes, Generated)
}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was_and_any_part_of_it_alone_does_not(value: Any) -> None:
    data = encode(value)
    back = decode(
        data, CLASSES | {"Branch": getattr(__import__("sway_gguf.engine.packing").engine.packing, "Branch", Job)}
    )
    assert encode(back) == data
    assert type(back) is type(value)
    for cut in range(len(data)):
        with pytest.raises(OddBytesError):
            decode(data[:cut], CLASSES)
    with pytest.raises(OddBytesError):
        decode(data + b"N", CLASSES)


def test_no_byte_can_be_changed_so_that_reading_does_more_than_fail() -> None:
    data, rng = encode(UNIT), np.random.default_rng(0)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= int(rng.integers(1, 256))
        try:
            found = decode(bytes(changed), CLASSES)
        except OddBytesError:
            continue
        assert encode(found) != data


def test_equal_mappings_are_equal_bytes_and_what_has_no_encoding_is_an_error() -> None:
    assert encode({"a": 1, "b": 2}) == encode({"b": 2, "a": 1})
    for odd in ([1], {1}, np.zeros(1, np.int64), Path("x"), object(), Job):
        with pytest.raises(TypeError, match="no encoding"):
            encode(odd)
    with pytest.raises(OddBytesError):
        decode(encode(Job((1,), 0)), {})
    deep: Any = ()
    for _ in range(40):
        deep = (deep,)
    with pytest.raises(OddBytesError):
        decode(encode(deep), {})


# A whole run.


def small() -> Prepared:
    kinds = (
        "applied",
        "delta_kl",
        "adapter_ablation",
        "top1_flips",
        "section_internalization",
        "leakage",
        "cluster_kl",
    )
    defaults = Defaults(nulls=2, items=3)
    return prepare(default_spec(*FILES, data=DEMO / "document.md", defaults=defaults, kinds=kinds))


@contextmanager
def backend_of(prepared: Prepared, store: Kept | None) -> Iterator[LlamaBackend]:
    with LlamaBackend(prepared.base, prepared.adapter, prepared.engine, store) as backend:
        yield backend


def outcome(prepared: Prepared, store: Kept | None) -> tuple[dict[str, Any], dict[str, float], int]:
    """The record without its times, its timings, and the tokens of which progress was told."""
    told = 0

    def progress(view: View, tokens: int) -> None:
        nonlocal told
        told += tokens

    with backend_of(prepared, store) as backend:
        record = record_of(run(prepared, backend, progress))
    del record["started_at"]
    return record, record.pop("timings"), told


class First(NamedTuple):
    """A run that began with an empty store, and that store behind it."""

    prepared: Prepared
    store: Kept
    record: dict[str, Any]
    timings: dict[str, float]
    told: int


@pytest.fixture(scope="module")
def first() -> First:
    """Tests go on with a copy of the store."""
    store, prepared = Kept(), small()
    return First(prepared, store, *outcome(prepared, store))


def test_a_run_is_the_same_from_a_store_and_loads_no_weights(first: First, loads: list[Path]) -> None:
    prepared, cold = first.prepared, first.timings
    alone, without, told = outcome(prepared, None)
    before = len(loads)
    warm, second, told_warm = outcome(prepared, Kept(first.store))
    assert len(loads) == before
    assert alone == first.record == warm
    assert told == first.told == told_warm == without["tokens"]
    assert without["tokens_from_store"] == second["tokens"] == 0
    assert second["tokens_from_store"] == told == cold["tokens"] + cold["tokens_from_store"]
    with backend_of(prepared, None) as backend:
        planned = sum(tokens_of(plan(prepared).every, backend.count_tokens_of).values())
    assert told <= planned


def test_more_nulls_pay_for_themselves_alone(first: First) -> None:
    more = first.prepared.with_defaults(nulls=3)
    _, timings, told = outcome(more, Kept(first.store))
    with backend_of(more, None) as backend:
        by_view = tokens_of(plan(more).every, backend.count_tokens_of)
    assert 0 < timings["tokens"] <= by_view["null"] / 3
    assert timings["tokens"] + timings["tokens_from_store"] == told


def test_a_budget_is_measured_on_the_model(first: First, loads: list[Path]) -> None:
    store = Kept(first.store)
    with backend_of(first.prepared, store) as backend:
        pace = measured_pace(first.prepared, backend, 0.01)
        assert pace.seconds_of(first.prepared) > 0
    assert (len(loads), store.puts) == (1, 0)
