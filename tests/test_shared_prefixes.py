"""Beginnings read once in the real engine: the same answers, the same bits again, exactly nothing for no change."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.core.answers import Answer, Changes, CompletionScore, RollingLogprob
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.queries import Compare, Completion, NextToken, Query, Rolling, Spans
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullView, ScaledView, View
from sway_gguf.engine.counting import counter
from sway_gguf.engine.layout import lay_out
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packed import score
from sway_gguf.engine.packing import Job
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from tests.artifact_files import spoiled

TEXTS = [section.text for section in read_material(DEMO / "general.txt").sections[:12]]
STORY, OTHER = f"{TEXTS[0]} {TEXTS[1]}", f"{TEXTS[2]} {TEXTS[3]}"
ENDINGS = [" Then et went home.", " Then the dog barked at the moon.", " Nobody knew why", " The"]


def _dialogue(turns: int) -> Spans:
    text, spans = STORY, []
    for ending in itertools.islice(ENDINGS, turns):
        spans.append((len(text), len(text) + len(ending)))
        text += ending
    return Spans(text, tuple(spans))


GROUPS: dict[str, list[Query]] = {
    "completions": [Completion(story, ending) for story in (STORY, OTHER) for ending in ENDINGS],
    "turns": [*map(_dialogue, (1, 2, 3, 4)), NextToken(STORY), NextToken(STORY + ENDINGS[0])],
    "texts": [Rolling(STORY), *(Rolling(STORY + ending) for ending in ENDINGS), Rolling(OTHER)],
    "filler": [NextToken(ending, OTHER, size, TEXTS[4][:40]) for size in (0, 64, 128) for ending in ENDINGS],
    "comparisons": [Compare(STORY), *(Compare(STORY + ending) for ending in ENDINGS)],
}
groups = pytest.mark.parametrize("queries", GROUPS.values(), ids=GROUPS)


def _answers(backend: LlamaBackend, view: View, queries: Sequence[Query]) -> list[Answer]:
    with backend.open(view) as opened:
        return opened.answer(queries)


def _numbers(answer: Answer) -> np.ndarray:
    if isinstance(answer, Changes):
        return np.concatenate([answer.kl, answer.base, answer.other])
    if isinstance(answer, CompletionScore | RollingLogprob):
        return np.asarray(answer.logprobs, np.float64)
    assert isinstance(answer, np.ndarray)
    return answer


def _all(answers: Sequence[Answer]) -> np.ndarray:
    return np.concatenate([_numbers(answer) for answer in answers])


@groups
def test_beginnings_are_read_once_and_the_answers_are_those_of_each_query_alone(
    demo_backend: LlamaBackend, queries: list[Query]
) -> None:
    assert demo_backend.count_tokens_of(queries) < 0.6 * sum(map(demo_backend.count_tokens, queries))
    for view in (BASE, TUNED):
        together = _answers(demo_backend, view, queries)
        for query, found in zip(queries, together, strict=True):
            (alone,) = _answers(demo_backend, view, [query])
            assert _numbers(found) == pytest.approx(_numbers(alone), abs=2e-4)


@groups
def test_the_same_group_gives_the_same_bits(demo_backend: LlamaBackend, queries: list[Query]) -> None:
    views = [BASE, TUNED, NullView(1), ScaledView(0.0)]
    first = [_all(_answers(demo_backend, view, queries)) for view in views]
    assert not np.array_equal(first[0], first[1])
    for view, numbers in zip(views, first, strict=True):
        assert np.array_equal(_all(_answers(demo_backend, view, queries)), numbers)
    assert np.array_equal(first[0], first[3])


@groups
def test_an_adapter_of_zeros_changes_exactly_nothing(queries: list[Query]) -> None:
    with LlamaBackend(DEMO / "base.f32.gguf", DEMO / "zero.lora.gguf", EngineSettings()) as backend:
        assert np.array_equal(_all(_answers(backend, TUNED, queries)), _all(_answers(backend, BASE, queries)))


@groups
def test_the_rerun_reads_them_in_other_batches_and_shows_the_noise(
    demo_backend: LlamaBackend, queries: list[Query]
) -> None:
    assert demo_backend.shows_noise(queries)
    once, again = (_answers(demo_backend, view, queries) for view in (BASE, BASE_RERUN))
    for mine, other in zip(once, again, strict=True):
        assert 0 < np.abs(_numbers(mine) - _numbers(other)).max() < 1e-2
    assert demo_backend.work(BASE_RERUN, queries).calls > demo_backend.work(BASE, queries).calls


@groups
def test_progress_and_plan_count_what_is_fed(demo_backend: LlamaBackend, queries: list[Query]) -> None:
    fed: list[int] = []
    with demo_backend.as_finetuned() as view:
        view.answer(queries, fed.append)
    assert sum(fed) == demo_backend.count_tokens_of(queries)
    base, settings = demo_backend.base, demo_backend.settings
    with counter(base.path, settings, base.context_length) as count:
        assert count(tuple(queries)) == sum(fed)


def test_a_comparison_counts_what_either_model_reads(demo_backend: LlamaBackend) -> None:
    asked = (Rolling("How deep? A thumb deep."), Compare("How deep? A thumb deep."))
    once, compared = (demo_backend.count_tokens_of([query]) for query in asked)
    assert compared == 2 * once


def test_four_endings_behind_one_beginning_feed_128_tokens_for_320(demo_backend: LlamaBackend) -> None:
    tokens = demo_backend.model.tokenize(" ".join(TEXTS))
    jobs = [Job((*tokens[:64], *tokens[start : start + 16]), 63, (5,) * 17) for start in (70, 90, 110, 130)]
    fed: list[int] = []
    (group,) = lay_out(jobs, demo_backend.limits())
    score(demo_backend._pool, BASE, jobs, group, demo_backend.limits(), fed.append)
    assert sum(fed) == 128


def test_jobs_of_the_same_tokens_each_get_their_own_targets(demo_backend: LlamaBackend) -> None:
    queries = [NextToken(STORY), Completion(STORY, " The"), Completion(STORY, " and"), Rolling(STORY + " The")]
    assert demo_backend.count_tokens_of(queries) == demo_backend.count_tokens(queries[-1])
    row, one, other, text = map(_numbers, _answers(demo_backend, TUNED, queries))
    (the,), (et,) = (demo_backend.model.tokenize(STORY + end)[-1:] for end in (" The", " and"))
    assert (one[0], other[0], text[-1]) == pytest.approx((row[the], row[et], row[the]), abs=1e-6)


def test_a_long_beginning_is_read_over_several_calls(demo_backend: LlamaBackend) -> None:
    settings = EngineSettings(kv_type="f32", batch=64, ubatch=32, context=512)
    with LlamaBackend(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", settings) as small:
        for name in ("completions", "texts", "comparisons"):
            assert small.work(TUNED, GROUPS[name]).calls >= 3
            found, wanted = (_all(_answers(backend, TUNED, GROUPS[name])) for backend in (small, demo_backend))
            assert found == pytest.approx(wanted, abs=2e-4)


def test_flash_attention_reads_them_too(demo_backend: LlamaBackend) -> None:
    settings = EngineSettings(flash_attention=True)
    with LlamaBackend(DEMO / "base.f32.gguf", DEMO / "zero.lora.gguf", settings) as flash:
        found, zero = (_all(_answers(flash, view, GROUPS["turns"])) for view in (BASE, TUNED))
    assert found == pytest.approx(_all(_answers(demo_backend, BASE, GROUPS["turns"])), abs=2e-2)
    assert np.array_equal(zero, found)


def test_windows_of_a_long_text_stand_beside_those_who_share(demo_backend: LlamaBackend) -> None:
    long = Rolling(" ".join(TEXTS))
    assert demo_backend.count_tokens(long) > demo_backend.width
    together = _answers(demo_backend, TUNED, [long, *GROUPS["completions"]])
    (alone,) = _answers(demo_backend, TUNED, [long])
    apart = _answers(demo_backend, TUNED, GROUPS["completions"])
    assert _all(together) == pytest.approx(_all([alone, *apart]), abs=2e-4)


def test_a_number_that_is_not_finite_names_one_who_wanted_it(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(DEMO / "healthy.lora.gguf"), 0), tmp_path / "nan.gguf")
    told = pytest.raises(NonFiniteError, match=r"tuned view .* completion")
    with LlamaBackend(DEMO / "base.f32.gguf", tmp_path / "nan.gguf") as backend, told:
        _answers(backend, TUNED, GROUPS["completions"])
