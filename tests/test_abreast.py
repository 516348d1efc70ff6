"""Views side by side: in order, no further ahead than said, stopped when nobody wants more, and the same numbers."""

from __future__ import annotations

import json
import pickle
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.answers import Answers
from sway_gguf.core.engine_settings import EngineSettings, Workers
from sway_gguf.core.errors import EngineError, NonFiniteError, ViewError
from sway_gguf.core.queries import Compare, Embed, Generate, NextToken, Query, Rolling
from sway_gguf.core.result_json import to_json
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullDesign, NullView, ScaledView, View
from sway_gguf.engine import footprint
from sway_gguf.engine.crew import Crew
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.engine.footprint import twin_bytes, twins_that_fit
from sway_gguf.engine.interrupt import go_on, stopped_by
from sway_gguf.engine.llama import Model
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.store import open_store
from sway_gguf.engine.turns import LayoutTurn
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.abreast import Abreast
from sway_gguf.suite.pace import side_by_side
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.suite.run import run

BASE_FILE, ADAPTER = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
TEXT = (DEMO / "document.md").read_text(encoding="utf-8")
QUERIES: list[Query] = [
    *(Rolling(TEXT[start : start + length]) for start, length in ((0, 900), (300, 60), (700, 300))),
    *(NextToken(TEXT[start : start + 40]) for start in (0, 100)),
    Compare(TEXT[:200]),
    Generate(TEXT[:30], 6),
    Embed(TEXT[:50]),
]
VIEWS: list[View] = [BASE_RERUN, TUNED, ScaledView(0.5), *(NullView(seed, NullDesign()) for seed in range(9))]
SOME = Answers([])
CREW = Crew(Workers(1, 1), Workers(3, 1))


@pytest.fixture
def three() -> Iterator[LlamaBackend]:
    with LlamaBackend(BASE_FILE, ADAPTER, EngineSettings(parallel=3)) as backend:
        yield backend


def asked(backend: DoorBackend, view: View, queries: list[Query] = QUERIES) -> Answers:
    with backend.open(view) as opened:
        return Answers(zip(queries, opened.answer(queries), strict=True))


def bits(answers: object) -> bytes:
    """Equal where all numbers are, to the last bit."""
    assert isinstance(answers, Answers)
    return pickle.dumps([vars(answers)["_by_query"][query] for query in QUERIES])


def endless(backend: DoorBackend, view: View) -> Answers:
    """Evaluates for as long as it is let."""
    with backend.open(view) as opened:
        while True:
            opened.answer(QUERIES)


def test_every_view_answers_the_same_bits_as_it_does_alone(three: LlamaBackend) -> None:
    some = VIEWS[:7]
    with LlamaBackend(BASE_FILE, ADAPTER, EngineSettings(parallel=1)) as backend:
        alone = [bits(asked(backend, view)) for view in some]
    with Abreast(three) as abreast:
        rounds = [list(abreast.each(some, asked)) for _ in range(2)]
    for found in rounds:
        assert [view for view, _ in found] == some
        assert [bits(answers) for _, answers in found] == alone
    assert bits(asked(three, TUNED)) == alone[1]


@pytest.mark.parametrize("flash_attention", [False, True])
def test_threads_change_no_bit(flash_attention: bool) -> None:
    found = []
    for threads in (1, 2, 3):
        settings = EngineSettings(threads=threads, flash_attention=flash_attention)
        with LlamaBackend(BASE_FILE, ADAPTER, settings) as backend:
            found.append([bits(asked(backend, view)) for view in (BASE, TUNED)])
    assert found[0] == found[1] == found[2]


@pytest.mark.real
def test_threads_change_no_bit_of_a_quantized_model(real_base: Path) -> None:
    found = []
    for threads in (1, 2):
        with LlamaBackend(real_base, None, EngineSettings(threads=threads)) as backend:
            found.append(bits(asked(backend, BASE)))
    assert found[0] == found[1]


def test_a_run_gives_the_same_result_whatever_the_number_of_workers() -> None:
    records = []
    for number in (1, 2, 3):
        spec = default_spec(
            BASE_FILE,
            ADAPTER,
            data=DEMO / "document.md",
            defaults=Defaults(nulls=5, items=5, prompts=5, show=1),
            engine=EngineSettings(parallel=number),
            kinds=("applied", "delta_kl", "adapter_ablation", "top1_flips"),
        )
        with (ready := prepare(spec)).opened() as backend:
            record = json.loads(to_json(run(ready, backend)))
        assert record["engine"].pop("parallel") == number
        del record["timings"]["run_seconds"], record["started_at"]
        records.append(record)
    assert records[0] == records[1] == records[2]


def test_tokens_are_those_of_the_views_that_were_needed_whatever_the_number_of_workers(tmp_path: Path) -> None:
    """With one null more than is needed at work, and answers from a store, which twins count too."""
    counts = []
    with open_store(tmp_path) as store:
        for number, kept in ((1, None), (3, None), (1, store), (3, store), (2, store)):
            spec = default_spec(
                BASE_FILE,
                DEMO / "random.lora.gguf",
                data=DEMO / "document.md",
                defaults=Defaults(nulls=12, items=8, prompts=8),
                engine=EngineSettings(parallel=number),
                kinds=("delta_kl",),
            )
            told: list[int] = []
            with (ready := prepare(spec)).opened(kept) as backend:
                result = run(ready, backend, lambda view, tokens, told=told: told.append(tokens))
            assert result.nulls.count < 12  # It ended before the last null, while others were at work.
            found = result.timings
            counts.append((found["tokens"] + found["tokens_from_store"], found["tokens_dropped"]))
            assert found["tokens"] + found["tokens_from_store"] + found["tokens_dropped"] <= sum(told)
    assert len({tokens for tokens, _ in counts}) == 1
    assert counts[0][1] == counts[2][1] == 0


def test_answers_come_in_order_whichever_view_is_ready_first(three: LlamaBackend) -> None:
    last = threading.Event()

    def answer(backend: DoorBackend, place: int) -> Answers:
        if place == 2:
            last.set()
        assert last.wait(60)  # The first two end after the third was begun.
        return SOME

    with Abreast(three) as abreast:
        assert [place for place, _ in abreast.each(range(9), answer)] == [*range(9)]


def test_no_more_answers_are_in_memory_than_workers_and_two(three: LlamaBackend) -> None:
    begun, taken, lock = 0, 0, threading.Lock()
    ahead: list[int] = []
    full = threading.Event()

    def answer(backend: DoorBackend, place: int) -> Answers:
        nonlocal begun
        with lock:
            begun += 1
            ahead.append(begun - taken)
            if ahead[-1] == 4:
                full.set()
        return SOME

    with Abreast(three) as abreast:
        for _ in abreast.each(range(30), answer):
            assert full.wait(60)  # Three at work or waiting, and one; the caller holds another.
            with lock:
                taken += 1
    assert begun == 30
    assert max(ahead) <= 5


def test_what_nobody_wants_any_more_is_stopped_and_the_next_round_is_whole(three: LlamaBackend) -> None:
    begun: list[View] = []

    def answer(backend: DoorBackend, view: View) -> Answers:
        begun.append(view)
        return asked(backend, view) if view == TUNED else endless(backend, view)

    with Abreast(three) as abreast:
        views = [TUNED, *VIEWS[3:]]
        assert [view for view, _ in islice(abreast.each(views, answer), 1)] == [TUNED]
        assert len(begun) <= 5
        found = list(abreast.each([TUNED, ScaledView(0.5)], asked))
        assert [view for view, _ in found] == [TUNED, ScaledView(0.5)]


def test_numbers_that_are_not_finite_are_handed_over_and_other_errors_raised_in_their_turn(three: LlamaBackend) -> None:
    wrong = {1: NonFiniteError("null", "a text"), 3: EngineError("it broke"), 4: EngineError("this too")}

    def answer(backend: DoorBackend, place: int) -> Answers:
        if place in wrong:
            raise wrong[place]
        return SOME

    for backend in (three, FakeBackend(wordy_script(8))):
        with Abreast(backend) as abreast:
            found = abreast.each(range(9), answer)
            assert list(islice(found, 3)) == [(0, SOME), (1, wrong[1]), (2, SOME)]
            with pytest.raises(EngineError, match="it broke"):
                next(found)


def test_who_is_to_stop_stops_its_workers(three: LlamaBackend) -> None:
    cancel = threading.Event()

    def answer(backend: DoorBackend, view: View) -> Answers:
        cancel.set()
        return endless(backend, view)

    with stopped_by(cancel), pytest.raises(KeyboardInterrupt), Abreast(three) as abreast:
        next(abreast.each(VIEWS, answer))
    assert bits(asked(three, TUNED))


def test_a_signal_while_workers_are_started_leaves_none_at_work(
    three: LlamaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody knew of would evaluate on a twin that is closed, and end the process."""
    begin, started = threading.Thread.start, list[threading.Thread]()

    def start(thread: threading.Thread) -> None:
        begin(thread)
        started.append(thread)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(threading.Thread, "start", start)
    with Abreast(three) as abreast, pytest.raises(KeyboardInterrupt):
        next(abreast.each(VIEWS, endless))
    assert started
    assert not any(thread.is_alive() for thread in started)


def test_a_null_is_freed_once_wherever_the_stop_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp has freed it by then, and a second time would end the process."""
    freed: list[object] = []
    free = Model.free_adapter

    def stopped(self: Model, handle: object) -> None:
        free(self, handle)
        freed.append(handle)
        if len(freed) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Model, "free_adapter", stopped)
    with LlamaBackend(BASE_FILE, ADAPTER) as backend:
        with pytest.raises(KeyboardInterrupt):
            asked(backend, VIEWS[3], QUERIES[:1])
        asked(backend, VIEWS[4], QUERIES[:1])
    assert len(freed) == len({id(handle) for handle in freed}) == 2


def test_a_worker_that_is_asked_to_stop_stops_the_round(three: LlamaBackend) -> None:
    def answer(backend: DoorBackend, view: View) -> Answers:
        if view == TUNED:
            raise KeyboardInterrupt
        return endless(backend, view)

    with Abreast(three) as abreast, pytest.raises(KeyboardInterrupt):
        next(abreast.each(VIEWS, answer))


def test_one_worker_and_one_view_are_answered_by_the_backend_in_the_callers_thread(three: LlamaBackend) -> None:
    seen: list[tuple[DoorBackend, str]] = []

    def answer(backend: DoorBackend, view: View) -> Answers:
        seen.append((backend, threading.current_thread().name))
        return SOME

    here = threading.current_thread().name
    with Abreast(three) as abreast:
        list(abreast.each([TUNED], answer))
    with LlamaBackend(BASE_FILE, ADAPTER, EngineSettings(threads=1)) as single, Abreast(single) as abreast:
        list(abreast.each(VIEWS[:2], answer))
    assert seen == [(three, here), (single, here), (single, here)]


def test_a_twin_has_adapters_of_its_own_and_the_model_goes_with_its_last_user(three: LlamaBackend) -> None:
    with three.open(TUNED), pytest.raises(ViewError):
        three.twin(CREW)
    expected = bits(asked(three, VIEWS[4]))
    twin, other = three.twin(CREW), three.twin(CREW)
    assert twin.model is three.model
    with twin.open(VIEWS[4]), other.open(VIEWS[5]):
        pass
    twin.close()
    twin.close()
    three.close()
    assert bits(asked(other, VIEWS[4])) == expected
    other.close()
    with pytest.raises(RuntimeError, match="closed"):
        _ = other.model


def test_a_turn_at_the_adapters_lasts_until_memory_is_laid_out() -> None:
    lock = threading.Lock()
    turn = LayoutTurn(lock)
    with turn.taken():
        assert lock.locked()
        turn.over()
        assert not lock.locked()
    with turn.taken():
        assert not lock.locked()  # Nothing is laid out anew.
    turn.due = True
    with pytest.raises(EngineError), turn.taken():
        raise EngineError("before the first operation")
    assert not lock.locked()
    assert turn.due


def test_the_first_operation_of_a_batch_ends_its_turn(three: LlamaBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []
    over = LayoutTurn.over

    def watched(self: LayoutTurn) -> None:
        held.append(self._held)
        over(self)

    monkeypatch.setattr(LayoutTurn, "over", watched)
    asked(three, TUNED, QUERIES[:1])
    assert held[0]
    assert len(held) > 10
    assert not any(held[1:])


def test_long_work_can_ask_whether_to_go_on() -> None:
    event = threading.Event()
    with stopped_by(event):
        go_on()
        event.set()
        with stopped_by(threading.Event()):
            go_on()
        with pytest.raises(KeyboardInterrupt):
            go_on()
    go_on()


@pytest.mark.parametrize(
    ("settings", "most", "expected"),
    [
        ({"threads": 8}, 99, (8, 1)),
        ({"threads": 8}, 3, (3, 2)),
        ({"threads": 8, "parallel": 2}, 99, (2, 4)),
        ({"threads": 2, "parallel": 5}, 99, (5, 1)),
        ({"threads": 8, "gpu_layers": -1}, 99, (1, 8)),
        ({"threads": 8, "gpu_layers": -1, "parallel": 4}, 99, (1, 8)),
        ({"threads": 1}, 99, (1, 1)),
        ({"threads": 4}, 0, (1, 4)),
    ],
)
def test_workers_share_the_threads(settings: dict[str, int], most: int, expected: tuple[int, int]) -> None:
    assert EngineSettings(**settings).workers(most) == expected


@pytest.mark.parametrize(("processors", "expected"), [(2, 2), (4, 4), (6, 3), (16, 8)])
def test_workers_leave_a_large_machine_half_of_its_processors(
    processors: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    assert EngineSettings().workers(99) == (expected, 1)


def test_a_twin_takes_its_caches_its_null_and_room_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    base, adapter = read_base(BASE_FILE), read_adapter(ADAPTER, read_base(BASE_FILE))
    # 3 layers of 4 heads of 64 numbers, keys and values, 2 bytes each; the null's factors four times over.
    cell = 3 * 4 * 64 * 2 * 2
    assert (base.blocks, base.kv_heads, base.head_width) == (3, 4, 64)
    factors = sum(pair.a.size + pair.b.size for pair in adapter.pairs) * 4
    one = twin_bytes(base, EngineSettings(), 1000, adapter)
    assert one == 1000 * cell + (192 << 20) + 4 * factors
    assert twin_bytes(base, EngineSettings(kv_type="f32"), 1000, None) == 2000 * cell + (192 << 20)
    for free, expected in ((0, 1), (int(one * 4), 3), (int(one * 8) + 9, 6)):
        monkeypatch.setattr(footprint, "free_memory", lambda free=free: free)
        assert twins_that_fit(base, EngineSettings(), 1000, adapter) == expected


def test_free_memory_is_read_from_the_system_and_from_a_containers_bound(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  900 kB\nMemAvailable:  300 kB\n", encoding="ascii")
    assert footprint._linux(tmp_path / "meminfo") == 300 << 10
    assert footprint._linux(tmp_path / "none") is None
    for name, value in (("memory.max", "5000\n"), ("memory.current", "4000\n"), ("memory.stat", "inactive_file 700\n")):
        (tmp_path / name).write_text(value, encoding="ascii")
    assert footprint._within_group(tmp_path) == 1700
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert footprint._within_group(tmp_path) is None


def test_an_estimate_takes_views_in_turns_of_as_many_as_there_are_workers() -> None:
    seconds = [2.0] * 5
    assert side_by_side(seconds, Workers(1, 2), Workers(1, 2)) == 10.0
    # Two workers of one thread each: a view takes twice as long as on both threads, the last one has both.
    assert side_by_side(seconds, Workers(1, 2), Workers(2, 1)) == 10.0
    assert side_by_side(seconds, Workers(1, 4), Workers(4, 1)) == 10.0
    # A small model, measured on one thread.
    assert side_by_side(seconds, Workers(1, 1), Workers(2, 1)) == 6.0


def test_a_worker_that_is_left_alone_has_the_threads_of_the_others() -> None:
    crew = Crew(alone=Workers(1, 4), together=Workers(4, 1))
    found = []
    with ExitStack() as others:
        for _ in range(4):
            others.enter_context(crew.at_work())
            found.append(crew.threads)
    assert (found, crew.threads) == ([4, 2, 1, 1], 4)
    # A small model is answered by one thread even where it has the processor to itself.
    small = Crew(alone=Workers(1, 1), together=Workers(2, 1))
    with small.at_work():
        assert small.threads == 1
