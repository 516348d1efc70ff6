"""What only the real engine can show: swaps, restoration, packing, windows, nulls, errors, clean close."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.null import null_adapter
from sway_gguf.core.answers import Changes
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Rolling, Split
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullDesign, NullView, ScaledView
from sway_gguf.engine.batch import Piece
from sway_gguf.engine.context import Context
from sway_gguf.engine.contexts import ContextPool
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packing import Limits, stream_length
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from tests.artifact_files import spoiled

HEALTHY = DEMO / "healthy.lora.gguf"
TEXTS = [section.text for section in read_material(DEMO / "general.txt").sections[:12]]


def totals(backend: LlamaBackend, view: object) -> list[float]:
    with backend.open(view) as opened:  # type: ignore[arg-type]
        return [found.total_logprob for found in opened.rolling_logprob_many(TEXTS)]


def test_every_view_is_restored_exactly(demo_backend: LlamaBackend) -> None:
    views = [BASE, TUNED, ScaledView(0.5), NullView(1), NullView(2)]
    first = {view: totals(demo_backend, view) for view in views}
    assert len({tuple(scores) for scores in first.values()}) == len(views)
    for view in (NullView(2), BASE, ScaledView(0.5), TUNED, BASE, NullView(1)):
        assert totals(demo_backend, view) == first[view]


def test_scale_zero_is_the_base_and_one_is_the_tuned_model(demo_backend: LlamaBackend) -> None:
    assert totals(demo_backend, ScaledView(0.0)) == totals(demo_backend, BASE)
    with demo_backend.as_scaled_adapter(1.0) as view:
        assert view.view == TUNED


def test_packing_does_not_change_the_numbers(demo_backend: LlamaBackend) -> None:
    with demo_backend.as_finetuned() as view:
        packed = view.rolling_logprob_many(TEXTS)
        for text, found in zip(TEXTS, packed, strict=True):
            assert view.rolling_logprob(text).logprobs == pytest.approx(found.logprobs, abs=1e-4)


def test_the_rerun_shows_numerical_noise_and_nothing_else(demo_backend: LlamaBackend) -> None:
    once, again = totals(demo_backend, BASE), totals(demo_backend, BASE_RERUN)
    assert again == pytest.approx(once, abs=1e-2)
    assert all(mine != other for mine, other in zip(once, again, strict=True))
    assert totals(demo_backend, BASE_RERUN) == again
    assert totals(demo_backend, BASE) == once


PROMPT = "One sunny Monday, Anna went to the"
KINDS = [Rolling(TEXTS[0]), NextToken(PROMPT), Completion(PROMPT, " market of the town"), Compare(TEXTS[0])]


@pytest.mark.parametrize("query", [*KINDS, Generate(PROMPT, 4)], ids=lambda query: type(query).__name__)
def test_every_kind_of_query_is_rerun_in_other_batches(
    demo_backend: LlamaBackend, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    decode = Context.decode

    def watched(context: Context, pieces: Sequence[Piece]) -> object:
        seen.append((pieces[0].start, len(pieces[0].tokens)))
        return decode(context, pieces)

    monkeypatch.setattr(Context, "decode", watched)
    first = {}
    for view in (BASE, BASE_RERUN):
        seen.clear()
        with demo_backend.open(view) as opened:
            opened.answer([query])
        # A comparison reads the base beside it, in the base's own batches.
        first[view] = [width for start, width in seen if start == 0][-1]
    assert 1 < first[BASE_RERUN] < first[BASE]
    assert demo_backend.shows_noise([query])


@pytest.mark.parametrize("query", KINDS, ids=lambda query: type(query).__name__)
def test_every_kind_of_score_shows_the_noise(demo_backend: LlamaBackend, query: Query) -> None:
    with demo_backend.open(BASE) as opened:
        (once,) = opened.answer([query])
    with demo_backend.open(BASE_RERUN) as opened:
        (again,) = opened.answer([query])
    if isinstance(once, Changes) and isinstance(again, Changes):
        assert once.kl.max() == 0 < again.kl.max() < 1e-4
    elif isinstance(once, np.ndarray):
        assert 0 < np.abs(again - once).max() < 1e-3  # type: ignore[operator]
    else:
        change = again.mean_logprob - once.mean_logprob  # type: ignore[union-attr]
        assert 0 < abs(change) < 1e-4


def test_where_nothing_can_differ_there_is_no_noise_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sway_gguf.engine.llama_backend.rounding_adapter", lambda base: None)
    with LlamaBackend(DEMO / "base.f32.gguf", None) as backend:
        lone = NextToken("")
        assert len(backend.model.tokenize("")) == 1
        assert not backend.shows_noise([lone])
        assert not backend.shows_noise([Embed("a text"), Split("", "a text")])
        assert backend.shows_noise([lone, NextToken("Anna")])
        assert backend.shows_noise([Rolling(TEXTS[0])])


def test_a_context_is_not_lent_to_larger_batches_than_it_was_made_for(demo_backend: LlamaBackend) -> None:
    pool = ContextPool(demo_backend.model, demo_backend.settings, None)
    tokens = demo_backend.model.tokenize(TEXTS[0])
    try:
        for most in (8, len(tokens)):
            limits = Limits(batch=most, outputs=most, streams=2, cells=1024)
            rows = pool.cleared(BASE, 2, 256, limits).decode([Piece((0,), 0, tokens[:most], 0)])
            assert rows.shape == (most, demo_backend.model.vocabulary)
    finally:
        pool.close()


def test_a_spare_stream_beside_prompts_of_one_token_is_never_full(demo_backend: LlamaBackend) -> None:
    # Each prompt is read beside the spare stream, and so is each token of the one reply that goes on.
    room = stream_length(1)
    long = Generate("", room - 1, temperature=1.5, seed=1)
    short = [Generate("", 1, seed=seed) for seed in range(24)]
    with demo_backend.as_base() as view:
        together = view.answer([long, *short])
        assert together[0] == view.answer([long])[0]
    assert len(together[0].token_ids) > room - len(short) - 1  # type: ignore[union-attr]


def test_a_null_in_memory_is_the_null_in_a_file(demo_backend: LlamaBackend, tmp_path: Path) -> None:
    path = tmp_path / "null.gguf"
    write_lora(null_adapter(read_lora(HEALTHY), 5, NullDesign("spectrum")), path)
    with LlamaBackend(DEMO / "base.f32.gguf", path, demo_backend.settings) as other:
        assert totals(other, TUNED) == totals(demo_backend, NullView(5, NullDesign("spectrum")))


def test_a_text_longer_than_the_context_is_scored_once_per_token(demo_backend: LlamaBackend) -> None:
    text = "\n\n".join(TEXTS[:6])
    with LlamaBackend(DEMO / "base.f32.gguf", None, EngineSettings(kv_type="f32", context=64)) as short:
        with short.as_base() as view:
            windowed = view.rolling_logprob(text)
        with demo_backend.as_base() as view:
            whole = view.rolling_logprob(text)
        assert windowed.token_ids.tolist() == whole.token_ids.tolist()
        assert windowed.logprobs.size == whole.logprobs.size
        # The first window sees what the whole text does; later tokens see less, so they are a little less likely.
        assert windowed.logprobs[:63] == pytest.approx(whole.logprobs[:63], abs=1e-4)
        assert windowed.mean_logprob == pytest.approx(whole.mean_logprob, abs=0.2)
        with pytest.raises(UserError, match="raise -c"), short.as_base() as view:
            view.next_token_dist(text)


def test_bos_stands_once_even_where_the_text_brings_it(demo_backend: LlamaBackend) -> None:
    model = demo_backend.model
    assert model.bos is not None
    assert model.tokenize("Anna")[0] == model.bos
    assert model.tokenize("<s>Anna") == model.tokenize("Anna")


def test_sampling_is_seeded_by_prompt_and_not_by_its_mates(demo_backend: LlamaBackend) -> None:
    prompts = ["One sunny Monday, Anna", "The market of", "Dear Ben,"]
    with demo_backend.as_base() as view:
        together = view.generate_many(prompts, max_new_tokens=16, temperature=0.9, top_p=0.9, seed=3)
        alone = [view.generate(p, max_new_tokens=16, temperature=0.9, top_p=0.9, seed=3) for p in prompts]
        assert alone == together
        assert view.generate_many(prompts, max_new_tokens=16, temperature=0.9, top_p=0.9, seed=4) != together
        assert view.generate("One sunny Monday, Anna", max_new_tokens=0) == ""


def test_queries_come_back_in_the_order_asked(demo_backend: LlamaBackend) -> None:
    queries = list(itertools.chain.from_iterable((Rolling(text), NextToken(text[:30])) for text in TEXTS))
    with demo_backend.as_base() as view:
        found = view.answer(queries)
        assert [type(one).__name__ for one in found] == ["RollingLogprob", "ndarray"] * len(TEXTS)
        assert found[6].total_logprob == pytest.approx(view.rolling_logprob(TEXTS[3]).total_logprob, abs=1e-4)  # type: ignore[union-attr]


def test_no_adapter_means_no_tuned_view() -> None:
    with LlamaBackend(DEMO / "base.f32.gguf", None) as backend:
        with pytest.raises(UserError, match="no adapter"), backend.as_finetuned():
            pass
        with backend.as_base() as view:
            assert view.next_token_dist("The", top_k=1).vocab_size == backend.model.vocabulary


def test_a_nan_in_the_adapter_names_view_and_query(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(HEALTHY), 0), tmp_path / "nan.gguf")
    with LlamaBackend(DEMO / "base.f32.gguf", tmp_path / "nan.gguf") as backend:
        ok, why = backend.preflight_finite_check()
        assert not ok
        assert "tuned view" in why
        with pytest.raises(NonFiniteError, match=r"tuned view .* 'Anna was here'"), backend.as_finetuned() as view:
            view.rolling_logprob("Anna was here")


def test_identity_changes_with_the_adapter() -> None:
    def identity(adapter: str) -> str:
        with LlamaBackend(DEMO / "base.f32.gguf", DEMO / adapter) as backend:
            return backend.cache_identity()

    assert identity("healthy.lora.gguf") == identity("healthy.lora.gguf") != identity("zero.lora.gguf")


def test_closing_twice_is_safe_and_a_closed_backend_says_so() -> None:
    backend = LlamaBackend(DEMO / "base.f32.gguf", HEALTHY)
    backend.close()
    backend.close()
    with pytest.raises(RuntimeError, match="closed"), backend.as_base() as view:
        view.next_token_dist("The")


def test_what_llama_cpp_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "hollow.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("token_embd.weight", np.zeros((8, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineError, match="key not found"):
        LlamaBackend(path, None)


def test_the_engine_keeps_its_logs_off_the_terminal(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG, "sway_gguf.llama"),
        LlamaBackend(DEMO / "base.f32.gguf", HEALTHY) as backend,
        backend.as_finetuned() as view,
    ):
        view.next_token_dist("The")
    assert capfd.readouterr() == ("", "")
    assert any("KV" in record.message for record in caplog.records)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_stops_an_evaluation_and_leaves_the_backend_usable(demo_backend: LlamaBackend) -> None:
    def work_for(seconds: float) -> None:
        start = time.monotonic()
        with demo_backend.as_base() as view:
            while time.monotonic() - start < seconds:
                view.rolling_logprob_many(TEXTS)

    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        work_for(seconds=30)
    assert totals(demo_backend, BASE) == totals(demo_backend, BASE)


def test_answers_do_not_depend_on_the_process() -> None:
    code = (
        "from tests.test_llama_backend import *\n"
        "b = LlamaBackend(DEMO / 'base.f32.gguf', HEALTHY, EngineSettings(kv_type='f32'))\n"
        "print(totals(b, NullView(4))); b.close()"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1
