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
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.null import null_adapter
from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.core.queries import NextToken, Rolling
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullDesign, NullView, ScaledView
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.settings import EngineSettings
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


def test_another_batch_layout_shows_only_numerical_noise(demo_backend: LlamaBackend) -> None:
    assert totals(demo_backend, BASE_RERUN) == pytest.approx(totals(demo_backend, BASE), abs=1e-2)


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
