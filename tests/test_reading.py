"""Prompts read side by side: every token once and in order, and each reply with the bits that it has alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.core.answers import Generated
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Generate
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, View
from sway_gguf.engine import generate
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packing import Limits
from sway_gguf.engine.reading import LEAST, Call, Manner, reading_of
from sway_gguf.material.packaged import DEMO

WIDE = Limits(batch=2048, outputs=256, streams=32, cells=8192)
limits = st.builds(
    Limits,
    batch=st.integers(16, 128),
    outputs=st.just(64),
    streams=st.just(16),
    cells=st.just(4096),
    share=st.booleans(),
)
prompt_lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=90), min_size=1, max_size=12)


def prompt(*parts: tuple[int, int]) -> list[int]:
    """Tokens: so many of each kind."""
    return [kind for kind, count in parts for _ in range(count)]


def test_four_prompts_behind_one_system_turn_by_hand() -> None:
    prompts = [prompt((9, 40), (kind, count)) for kind, count in ((1, 30), (2, 10), (3, 12), (4, 12))]
    found = reading_of(prompts, WIDE, Manner())
    # By length, each without its last token: 49, 51, 51, 69. Two tokens let the shortest go along with the next two;
    # 3 × 18 would let all go with the longest.
    assert found.order == (1, 2, 3, 0)
    assert found.beginning == (Call(0, 1, 0, 40),)
    assert found.rest == (Call(0, 4, 40, 51), Call(3, 4, 51, 69))
    assert found.tokens == 40 + 44 + 18
    alone = reading_of(prompts, WIDE, Manner(together=False))
    assert alone.rest == (Call(0, 1, 0, 49), Call(1, 2, 0, 51), Call(2, 3, 0, 51), Call(3, 4, 0, 69))
    assert alone.tokens == sum(map(len, prompts)) - 4 == 220


def test_no_stream_advances_by_a_few_tokens_alone() -> None:
    # 513 tokens and the last: llama.cpp would take 512 and one.
    assert reading_of([prompt((1, 514))], WIDE, Manner()).rest == (Call(0, 1, 0, 257), Call(0, 1, 257, 513))
    # Twenty streams end two tokens before the last one does: they go along, though that fills 40.
    many = [prompt((kind, 30)) for kind in range(20)] + [prompt((20, 32))]
    assert reading_of(many, WIDE, Manner()).rest == (Call(0, 21, 0, 16), Call(0, 21, 16, 31))
    # A prompt of three is two tokens and the last, and is filled up to four.
    assert reading_of([prompt((1, 3))], WIDE, Manner()).rest == (Call(0, 1, 0, 4),)
    assert reading_of([[1]], WIDE, Manner()).rest == ()
    # Equal prompts are read once, but for what each has to go on with.
    twice = reading_of([prompt((1, 25))] * 2, WIDE, Manner())
    assert (twice.beginning, twice.rest) == ((Call(0, 1, 0, 20),), (Call(0, 2, 20, 24),))


@given(prompt_lists, limits, st.builds(Manner, st.booleans(), st.integers(16, 128)), st.booleans())
def test_every_token_but_the_last_is_fed_once_in_order_within_the_limits(
    prompts: list[list[int]], limit: Limits, manner: Manner, rerun: bool
) -> None:
    found = reading_of(prompts, limit, manner, rerun=rerun)
    lengths = [len(prompts[place]) - 1 for place in found.order]
    assert sorted(found.order) == [*range(len(prompts))]
    assert lengths == sorted(lengths)
    fed = [0] * len(prompts)
    for call in found.beginning:
        assert (call.first, call.behind, call.start) == (0, 1, fed[0])
        fed[0] = call.stop
    if found.beginning:
        assert {tuple(each[: fed[0]]) for each in prompts} == {tuple(prompts[found.order[0]][: fed[0]])}
        assert fed[0] + LEAST <= min(lengths)
        fed = [fed[0]] * len(prompts)
    for call in found.rest:
        assert 0 < call.tokens <= min(limit.batch, manner.step)
        for stream in range(call.first, call.behind):
            assert call.start == fed[stream]
            fed[stream] = call.stop
        roomy = min(limit.batch, manner.step) >= 2 * LEAST * (call.behind - call.first)
        assert call.stop - call.start >= LEAST or rerun or not limit.share or not roomy
    assert all(reached >= length for reached, length in zip(fed, lengths, strict=True))
    assert max(fed) <= max(*lengths, LEAST, 0)
    if not limit.share:
        assert fed == lengths
        assert not found.beginning


def test_many_prompts_are_never_left_with_a_few_tokens_at_the_end_of_a_piece() -> None:
    limit = Limits(2048, 512, 32, 8192)
    for length in (212, 227, 242, 244):
        found = reading_of([[place, *range(length)] for place in range(32)], limit, Manner(True, 512))
        assert min(call.stop - call.start for call in found.rest) >= LEAST


# In the engine.

SYSTEM = "The old man told a story about a boat, a dog and the moon to all of the children. "
ASKED = [
    Generate(SYSTEM + "Once", 9, 0.8, 0.95, 1),
    Generate(SYSTEM + "The dog barked at the boat, and nobody knew why it", 3),
    Generate(SYSTEM + "Anna went home. She", 12, 1.2, 1.0, 2),
    Generate(SYSTEM, 1),
    Generate(SYSTEM + "Once", 14, 0.8, 0.95, 3),
    Generate(SYSTEM + "A nest of birds", 2, 0.5),
    Generate(SYSTEM * 5 + "In the end they all", 6, 1.0),
]
APART = [*ASKED, Generate("One", 8, 1.0), Generate("It was late, and", 4), Generate("Every year the heron", 11, 0.9)]


def chains(
    backend: LlamaBackend, view: View, asked: Sequence[Generate], patch: pytest.MonkeyPatch
) -> tuple[list[Generated], list[list[bytes]]]:
    """The replies; and for each, in any order, the logits that its tokens were chosen from."""
    rows: dict[np.random.Generator, list[bytes]] = {}
    choose = generate.choose

    def watched(logits: np.ndarray, sampling: Generate, rng: np.random.Generator, place: int = 0) -> int:
        rows.setdefault(rng, []).append(logits.tobytes())
        return choose(logits, sampling, rng, place)

    with patch.context() as inner, backend.open(view) as opened:
        inner.setattr(generate, "choose", watched)
        replies = opened.answer(asked)
    return [reply for reply in replies if isinstance(reply, Generated)], [*rows.values()]


def held_to_each_alone(backend: LlamaBackend, view: View, asked: Sequence[Generate], patch: pytest.MonkeyPatch) -> None:
    """Every reply has the tokens that it has alone, and chooses each from the same bits."""
    together, rows = chains(backend, view, asked, patch)
    alone = [chains(backend, view, [query], patch) for query in asked]
    assert together == [reply for (reply,), _ in alone]
    assert sorted(rows) == sorted(own for _, (own,) in alone)
    assert sum(map(len, rows)) > 2 * len(asked)


@pytest.mark.parametrize("asked", [ASKED, APART], ids=["alike", "apart"])
@pytest.mark.parametrize("view", [BASE, TUNED], ids=str)
@pytest.mark.parametrize(
    "settings", [{}, {"kv_type": "f32"}, {"flash_attention": True}, {"batch": 64, "ubatch": 32}], ids=str
)
def test_a_reply_has_the_same_bits_alone_and_in_company(
    settings: dict[str, object], view: View, asked: list[Generate], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
    with LlamaBackend(*files, EngineSettings.model_validate(settings)) as backend:
        held_to_each_alone(backend, view, asked, monkeypatch)


@pytest.mark.real
def test_a_reply_of_a_quantized_model_has_the_same_bits_alone_and_in_company(
    real_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LlamaBackend(real_base, None) as backend:
        held_to_each_alone(backend, BASE, ASKED[:4], monkeypatch)


def test_what_prompts_begin_with_is_read_once_and_the_plan_says_so(demo_backend: LlamaBackend) -> None:
    told: list[int] = []
    with demo_backend.as_base() as view:
        replies = [reply for reply in view.answer(ASKED, told.append) if isinstance(reply, Generated)]
    prompts = [demo_backend.model.tokenize(query.prompt) for query in ASKED]
    read = reading_of(prompts, demo_backend.limits(), Manner()).tokens
    assert read < 0.65 * sum(map(len, prompts))
    # Each token of a reply takes one that is fed: the prompt's last, then those before it. So does an end of text.
    written = sum(
        min(len(reply.token_ids) + 1, query.max_new_tokens) for reply, query in zip(replies, ASKED, strict=True)
    )
    assert sum(told) == read + written
    assert sum(told) <= demo_backend.count_tokens_of(ASKED) == read + sum(query.max_new_tokens for query in ASKED)


def test_the_rerun_reads_prompts_in_other_calls(demo_backend: LlamaBackend) -> None:
    once, again = (demo_backend.work(view, ASKED) for view in (BASE, BASE_RERUN))
    assert again.calls > once.calls
    assert again.tokens == once.tokens
