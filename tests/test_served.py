"""What a server tells, and what is made of it: statistics, forms of answers, distances, HTTP's errors."""

from __future__ import annotations

import http.server
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sway_gguf.artifacts.pieces import Pieces
from sway_gguf.core.dialogue import exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.served import Heard, Served, Serves
from sway_gguf.core.views import BASE, TUNED, ScaledView
from sway_gguf.engine.fake import distribution
from sway_gguf.engine.http import NoEndpointError, RefusedError, Server, UnreachableError, root_of
from sway_gguf.material.packaged import DEMO
from sway_gguf.served.asking import Asking, model_of
from sway_gguf.served.candidates import Candidate, part_view, parts_of, without_one
from sway_gguf.served.decide import LOGPROBS, Measured, heard, together
from sway_gguf.served.distances import between, coarse, from_told, known, of_replies, tempered
from sway_gguf.served.forms import Chat, Completions, Form, LlamaServer, Question, Told
from sway_gguf.served.prompts import CHAT, TEXT, Prompt, picked
from sway_gguf.stats.nearest import nearest, surely_above

# -- which is nearest -------------------------------------------------------------------------------------------------


def test_the_p_of_a_rival_is_the_share_of_signs_that_do_as_well_times_the_comparisons() -> None:
    # Differences 1, 1, 1 and 3: of sixteen signs only all plus reach 6, so p = 1/16; with two rivals, times two.
    found = nearest([[0, 0, 0, 0], [1, 1, 1, 3], [2, 2, 2, 6]], seed=0)
    assert found.row == 0
    assert found.p == (1.0, 2 / 16, 2 / 16)
    # Differences 3, −1, 0, 0: a sum of 2 or more has the first plus: +3 with ±1, each for both signs of the zeros.
    assert nearest([[0, 1, 0, 0], [3, 0, 0, 0]], seed=0).p == (1.0, 8 / 16)


def test_rows_that_are_the_same_cannot_be_told_apart() -> None:
    assert nearest([[0.1, 0.2, 0.3]] * 2, seed=0).p == (1.0, 1.0)


def test_where_all_are_equally_near_one_is_seldom_called_the_nearest() -> None:
    tables = np.random.default_rng(0).lognormal(sigma=1.0, size=(300, 4, 12))
    called = [found for found in (nearest(table, seed=0) for table in tables) if sorted(found.p)[-2] < 0.05]
    assert len(called) < 0.05 * 300


def test_many_items_draw_their_signs_and_p_is_never_zero() -> None:
    found = nearest([[0.0] * 40, [1.0] * 40], seed=3)
    assert 0 < found.p[1] < 1e-4
    assert nearest([[0.0] * 40, [1.0] * 40], seed=3) == found
    assert surely_above([2.0] * 10, 1.0, seed=0) == 1 / 1024
    assert surely_above([0.5] * 10, 1.0, seed=0) == 1.0


def test_what_is_off_by_more_than_rounding_is_said() -> None:
    def reason(off: float, floor: float) -> str:
        distances = np.array([[off], [0.3], [0.1]]) * np.ones(12)
        effect, strange = np.full(12, 0.3), np.zeros(12)
        return heard(Measured("text", "/x", LOGPROBS, CANDIDATES, distances, effect, strange, floor), 0).reason

    assert reason(0.006, 1e-4) == "nearest to tuned, off by 2.0% of what the adapter changes"
    assert reason(4e-4, 1e-4) == reason(1e-7, 0.0) == "nearest to tuned, no farther than rounding goes"


@pytest.mark.parametrize("table", [[], [[]], [[math.nan]], [1.0, 2.0]])
def test_no_table_has_no_nearest(table: list[Any]) -> None:
    with pytest.raises(ValueError, match="table"):
        nearest(table, seed=0)


# -- the forms of answers ---------------------------------------------------------------------------------------------

LEGACY = {
    "choices": [
        {
            "text": " The",
            "logprobs": {
                "tokens": [" The"],
                "token_logprobs": [-0.1],
                "top_logprobs": [{" The": -0.1, " A": -2.5}],
                "text_offset": [0],
            },
        }
    ]
}
"""llama-cpp-python's and vLLM's completions."""
CONTENT = {
    "content": [
        {
            "token": " The",
            "logprob": -0.1,
            "bytes": [32, 84, 104, 101],
            "id": 7,
            "top_logprobs": [
                {"id": 7, "token": " The", "bytes": [32, 84, 104, 101], "logprob": -0.1},
                {"id": 9, "token": " A", "bytes": [32, 65], "logprob": -2.5},
            ],
        }
    ]
}
"""llama-server's, in completions and in chat; OpenAI's own has no ids."""
OLD = {"content": " The", "completion_probabilities": [{"content": " The", "probs": [{"tok_str": " The", "prob": 0.5},
       {"tok_str": " A", "prob": 0.0}]}]}  # fmt: skip
"""llama-server's own form in old builds."""


def seen(form: Form, answer: Any) -> list[tuple[str, float]]:
    """Tokens and log-probabilities that are read off an answer."""
    reply = form.read(answer)
    assert reply is not None
    return [(each.text, each.logprob) for each in reply.first]


def test_first_tokens_are_read_in_every_form() -> None:
    wanted = [(" The", -0.1), (" A", -2.5)]
    chat = {"choices": [{"message": {"role": "assistant", "content": "The"}, "logprobs": CONTENT}]}
    own = {"content": " The", "completion_probabilities": CONTENT["content"]}
    assert seen(Completions(), LEGACY) == wanted
    assert seen(Completions(), {"choices": [{"text": " The", "logprobs": CONTENT}]}) == wanted
    assert seen(Chat(), chat) == wanted
    assert seen(LlamaServer(), own) == wanted
    assert seen(LlamaServer(), OLD) == [(" The", math.log(0.5)), (" A", -60.0)]
    reply = Chat().read(chat)
    assert reply is not None
    assert reply.first[0] == Told(-0.1, " The", 7, b" The")


def test_the_token_that_was_written_counts_though_it_is_not_among_the_likeliest() -> None:
    answer = {"choices": [{"text": "x", "logprobs": {"tokens": ["x"], "token_logprobs": [-9.0],
              "top_logprobs": [{"a": -0.5}]}}]}  # fmt: skip
    assert seen(Completions(), answer) == [("a", -0.5), ("x", -9.0)]


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (Chat(), {"choices": [{"message": {"content": "Hello"}, "logprobs": None}]}),  # LM Studio
        (Completions(), {"choices": [{"text": "Hello", "logprobs": {"tokens": [], "top_logprobs": []}}]}),
        (Completions(), {"choices": [{"text": "Hello", "logprobs": {"top_logprobs": [{"a": 3.0}]}}]}),
        (LlamaServer(), {"content": "Hello"}),
    ],
)
def test_an_answer_without_log_probabilities_is_a_reply_alone(form: Form, answer: Any) -> None:
    reply = form.read(answer)
    assert reply is not None
    assert (reply.text, reply.first) == ("Hello", ())


@pytest.mark.parametrize("answer", [None, [], {}, {"choices": []}, {"choices": [3]}, {"error": "no"}])
def test_what_is_no_answer_is_none(answer: Any) -> None:
    assert [form.read(answer) for form in (Completions(), Chat(), LlamaServer())] == [None] * 3


KEYS = (
    *("choices", "text", "message", "content", "logprobs", "tokens", "token_logprobs", "top_logprobs", "token"),
    *("logprob", "prob", "bytes", "id", "completion_probabilities", "top_probs", "probs", "tok_str"),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING, ANYTHING)
def test_whatever_a_server_says_is_read_or_passed_over(one: Any, other: Any) -> None:
    shells = [one, {"choices": [{"text": "x", "message": {"content": "x"}, "logprobs": one}]},
              {"content": "x", "completion_probabilities": one}, {"choices": [one]},
              {"choices": [{"text": "x", "logprobs": {"content": one, "top_logprobs": other, "tokens": one}}]},
              {"content": "x", "completion_probabilities": [{"top_logprobs": [one, other]}]}]  # fmt: skip
    for form in (Completions(), Chat(), LlamaServer()):
        for reply in filter(None, map(form.read, shells)):
            assert all(-60 <= each.logprob <= 1e-3 for each in reply.first)


@pytest.mark.parametrize("value", [10**400, -(10**400), math.inf, math.nan, True, "x"])
def test_a_number_that_is_no_log_probability_is_passed_over(value: Any) -> None:
    answer = {"choices": [{"text": "x", "logprobs": {"top_logprobs": [{"a": value}]}}]}
    assert seen(Completions(), answer) == []


def test_a_probability_of_zero_is_the_least_that_is_counted() -> None:
    answer = json.loads('{"choices": [{"text": "x", "logprobs": {"top_logprobs": [{"a": -Infinity}]}}]}')
    assert seen(Completions(), answer) == [("a", -60.0)]


def test_only_fields_that_every_server_takes_are_sent() -> None:
    question = Question("Once", top=20, model="m")
    wanted = {"prompt": "Once", "max_tokens": 1, "temperature": 0, "logprobs": 20, "stream": False, "model": "m"}
    assert Completions().body(question) == wanted
    assert "logprobs" not in Completions().body(Question("Once", tokens=16))
    messages = [{"role": "user", "content": "Hello"}]
    assert Chat().body(Question(messages, top=5))["top_logprobs"] == 5


# -- distances --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    """The demo's vocabulary: byte-level BPE."""
    return Pieces(DEMO / "base.f32.gguf")


def test_tokens_are_found_by_what_they_say_and_an_id_only_where_it_says_the_same(pieces: Pieces) -> None:
    rosa = pieces.ids(b" Rosa")[0]
    told = [Told(-0.5, " Rosa"), Told(-2.0, "zzzqqq"), Told(-3.0, "an", id=rosa)]
    found = known(told, pieces)
    assert found.groups == ((rosa,), pieces.ids(b"an"))
    assert found.chances == pytest.approx([math.exp(-0.5), math.exp(-3.0), 1 - math.exp(-0.5) - math.exp(-3.0)])
    assert found.strange == pytest.approx(1 / 3)
    assert pieces.ids(b"Rosa") in ((rosa,), (pieces.ids(b"Rosa")[0],))


def test_what_a_view_predicts_is_at_no_distance_from_itself_and_the_rest_counts(pieces: Pieces) -> None:
    row = distribution(*np.random.default_rng(0).exponential(size=len(pieces)))
    top = np.argsort(-row)[:20]
    told = known([Told(float(row[i]), "", id=int(i), data=pieces.said(int(i))) for i in top], pieces)
    assert from_told(told, row) == pytest.approx(0, abs=1e-6)
    assert coarse(told, row).sum() == pytest.approx(1)
    other = distribution(*np.random.default_rng(1).exponential(size=len(pieces)))
    assert 0 < from_told(told, other) <= math.log(2)
    assert from_told(told, other) == pytest.approx(between(told, row, other), rel=1e-4)


def test_a_temperature_shapes_as_sampling_does() -> None:
    # Chances of 0.8 and 0.2 at temperature 0.5 are squared: 0.64 to 0.04.
    assert np.exp(tempered(distribution(8, 2), 0.5)) == pytest.approx([16 / 17, 1 / 17], rel=1e-5)
    row = distribution(8, 2)
    assert tempered(row, 1.0) is row


def test_replies_are_as_far_as_the_part_behind_their_common_beginning() -> None:
    assert of_replies(" abcd", "abxyz1 ") == pytest.approx(1 - 2 / 6)
    assert of_replies("same ", " same") == 0
    assert of_replies("", "") == 0
    assert of_replies("a", "") == 1


def test_prompts_are_picked_where_the_nearer_two_of_three_views_lie_farthest_apart() -> None:
    flat, steep, between_them = distribution(1, 1), distribution(99, 1), distribution(5, 1)
    pool = [Prompt("none", "1"), Prompt("all", "2"), Prompt("ends", "3"), Prompt("again", "2")]
    base = dict.fromkeys(("none", "all", "ends", "again"), flat)
    half = {"none": flat, "all": between_them, "ends": steep, "again": between_them}
    tuned = {"none": flat, "all": steep, "ends": steep, "again": steep}
    assert [p.text for p in picked(pool, 2, base, half, tuned)] == ["all", "none"]
    assert [p.text for p in picked(pool, 4, base, half, tuned)][0::3] == ["all", "again"]


def test_of_a_set_each_adapter_picks_in_turn_what_tells_that_it_is_missing() -> None:
    """That the second adapter is missing is told by "second" best, that the first one is by "first"."""
    flat, tuned, middle = distribution(1, 1), distribution(99, 1), distribution(5, 1)
    names = ("none", "first", "second", "little")
    pool = [Prompt(name, name) for name in names]
    base, half, both = (dict.fromkeys(names, row) for row in (flat, middle, tuned))
    without_second = dict(zip(names, (tuned, tuned, middle, distribution(90, 1)), strict=True))
    without_first = dict(zip(names, (tuned, middle, tuned, distribution(95, 1)), strict=True))
    found = [p.text for p in picked(pool, 3, base, half, both, [without_second, without_first])]
    assert found == ["second", "first", "little"]


# -- the verdict ------------------------------------------------------------------------------------------------------

CANDIDATES = [
    Candidate("tuned", TUNED, Serves.TUNED),
    Candidate("base", BASE, Serves.BASE),
    Candidate("tuned at λ=0.5", ScaledView(0.5), Serves.ELSE),
]


def judged(tuned: float, base: float, half: float, *, effect: float = 0.3, n: int = 12, spread: float = 0.1) -> Heard:
    """The verdict where the server lies so far from each, with a spread over the prompts in proportion."""
    share = 1 + spread * np.random.default_rng(0).normal(size=(3, n))
    distances = np.array([[tuned], [base], [half]]) * np.abs(share)
    return heard(Measured("text", "/x", LOGPROBS, CANDIDATES, distances, np.full(n, effect), np.zeros(n)), 0)


@pytest.mark.parametrize(
    ("distances", "wanted"),
    [
        ((1e-6, 0.3, 0.1), Serves.TUNED),
        ((0.006, 0.3, 0.1), Serves.TUNED),  # another quantization
        ((0.3, 1e-6, 0.1), Serves.BASE),
        ((0.1, 0.1, 1e-6), Serves.ELSE),
        ((0.3, 0.2, 0.25), Serves.ELSE),  # another model: nearest to base, and far from it
        ((0.2, 0.3, 0.25), Serves.ELSE),  # another adapter: nearest to tuned, and far from it
        ((0.006, 0.3, 0.0061), Serves.UNSURE),
        ((0.3, 0.012, 0.1), Serves.ELSE),  # surely not tuned, and off the base: a light adapter on it
        ((0.3, 0.006, 0.0061), Serves.ELSE),  # surely not tuned: base, or something near to it
        ((0.012, 0.3, 0.1), Serves.UNSURE),  # tuned, or another checkpoint
    ],
)
def test_nearest_is_called_so_only_where_it_is_near(distances: tuple[float, float, float], wanted: Serves) -> None:
    found = judged(*distances)
    assert found.serves == wanted
    assert found.p < 0.01 or wanted == Serves.UNSURE
    assert found.fits[0].distance == min(fit.distance for fit in found.fits)


@pytest.mark.parametrize(
    ("members", "nearest_to", "wanted"),
    [(2, 0, Serves.TUNED), (4, 0, Serves.TUNED), (5, 0, Serves.UNSURE), (5, 1, Serves.BASE), (5, 3, Serves.ELSE)],
)
def test_of_more_than_four_adapters_several_may_be_forgotten_unseen(
    members: int, nearest_to: int, wanted: Serves
) -> None:
    parts = [Candidate(f"{part} alone", part_view(part), Serves.ELSE) for part in parts_of(members)]
    given = [*CANDIDATES, *parts]
    distances = np.full((len(given), 12), 0.3)
    distances[nearest_to] = 1e-6
    found = heard(Measured("text", "/x", LOGPROBS, given, distances, np.full(12, 0.3), np.zeros(12)), 0)
    assert found.serves == wanted
    assert ("forgot several" in found.reason) == (wanted == Serves.UNSURE)


@pytest.mark.parametrize("members", [2, 3, 4])
@pytest.mark.parametrize(
    ("scale", "heat", "wanted"),
    [
        (1.0, 0.0, Serves.TUNED),
        (1.2, 0.0, Serves.TUNED),  # off by 0.04 of what it does, where a sixteenth is let pass
        (2 / 3, 0.0, Serves.UNSURE),  # off by a ninth
        (2.0, 0.0, Serves.UNSURE),
        (2.0, 1.0, Serves.UNSURE),
    ],
)
def test_a_small_member_at_another_scale_is_not_taken_for_the_set(
    members: int, scale: float, heat: float, wanted: Serves
) -> None:
    """Adapters that change other tokens each: divergences are squares of scales off, by weight, and add up.

    The last weighs 0.2 of any other. Doubled, it is off by all that it does, which is below a tenth of what all do
    (0.2/3.2) or, of two, below a fifth: there it weighs 0.1. A server that shapes by a temperature is as far again from
    all that is not shaped so.
    """
    weights = np.array([1.0] * (members - 1) + [0.1 if members == 2 else 0.2])
    runs = np.array([1.0] * (members - 1) + [scale])
    given = [
        *(Candidate("tuned", TUNED, Serves.TUNED), Candidate("base", BASE, Serves.BASE)),
        *(Candidate(f"at {scale}", ScaledView(scale), Serves.TUNED) for scale in (0.9, 1.1)),
        *(Candidate(f"{part} alone", part_view(part), Serves.ELSE) for part in parts_of(members)),
    ]
    at = [np.full(members, scale) for scale in (1.0, 0.0, 0.9, 1.1)]
    at += [np.isin(range(members), part) for part in parts_of(members)]
    means = 0.03 * np.array([weights @ (place - runs) ** 2 for place in at]) + heat
    if heat:
        given.append(Candidate("tuned, shaped by a temperature of 0.7", TUNED, Serves.TUNED, temperature=0.7))
        means = np.append(means, means[0] - heat)
    items = np.random.default_rng(0).lognormal(0, 0.3, 24)
    table, effect, least = np.outer(means, items), 0.03 * weights.sum() * items, 0.03 * weights.min()
    found = heard(Measured("text", "/x", LOGPROBS, given, table, effect, np.zeros(24), 1e-7, least=least), 0)
    assert found.serves == wanted, found.reason
    assert ("may run at another scale" in found.reason) == (wanted == Serves.UNSURE)


def test_what_a_set_misses_least_is_looked_for_among_all_but_one() -> None:
    assert without_one(CANDIDATES) == []
    for members in (2, 3, 4, 5):
        parts = [Candidate(f"{part}", part_view(part), Serves.ELSE) for part in parts_of(members)]
        found = [each.name for each in without_one([*CANDIDATES, *parts])]
        assert found == [f"{part}" for part in parts_of(members) if len(part) == members - 1]
        assert len(found) == members


def test_every_part_of_a_small_set_is_thought_of() -> None:
    assert parts_of(1) == []
    assert parts_of(2) == [(0,), (1,)]
    assert parts_of(3) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    assert len(parts_of(4)) == 2**4 - 2
    assert len(parts_of(5)) == 5 + 5


def test_an_adapter_that_changes_nothing_leaves_it_open() -> None:
    assert judged(1e-7, 1e-7, 1e-7, effect=0.0).serves == Serves.UNSURE
    assert "differ by 0 " in judged(1e-7, 1e-7, 1e-7, effect=0.0).reason


def test_a_light_adapter_behind_another_quantization_is_not_called_tuned() -> None:
    found = judged(0.008, 0.02, 0.012, effect=0.02)
    assert found.serves == Serves.UNSURE
    assert found.fits[0].name == "tuned"
    assert "base file that the server has" in found.reason


def test_few_prompts_tell_nothing() -> None:
    assert judged(1e-6, 0.3, 0.1, n=4).serves == Serves.UNSURE
    assert judged(1e-6, 0.3, 0.1, n=6).serves == Serves.UNSURE


def test_tokens_of_another_vocabulary_are_another_model() -> None:
    near = np.full((3, 12), [[1e-6], [0.3], [0.1]])
    found = heard(Measured("text", "/x", LOGPROBS, CANDIDATES, near, np.full(12, 0.3), np.full(12, 0.9)), 0)
    assert found.serves == Serves.ELSE
    assert "vocabulary" in found.reason


def way(serves: Serves, p: float = 0.001) -> Heard:
    """One way of asking with this verdict."""
    return Heard(TEXT, "/x", LOGPROBS, 12, (), 0.3, None, serves, p, "")


@pytest.mark.parametrize(
    ("ways", "wanted"),
    [
        ([Serves.TUNED, Serves.TUNED], Serves.TUNED),
        ([Serves.TUNED, Serves.UNSURE], Serves.TUNED),
        ([Serves.TUNED, Serves.ELSE], Serves.ELSE),
        ([Serves.TUNED, Serves.BASE], Serves.ELSE),
        ([Serves.BASE, Serves.ELSE], Serves.BASE),
        ([Serves.UNSURE, Serves.UNSURE], Serves.UNSURE),
    ],
)
def test_served_in_one_way_and_not_in_the_other_is_not_served(ways: list[Serves], wanted: Serves) -> None:
    assert together([way(serves) for serves in ways])[0] == wanted


@pytest.mark.parametrize(
    ("serves", "code", "strict"),
    [(Serves.TUNED, 0, 0), (Serves.BASE, 1, 1), (Serves.ELSE, 1, 1), (Serves.UNSURE, 0, 3)],
)
def test_it_exits_as_a_gate_does(serves: Serves, code: int, strict: int) -> None:
    found = Served("u", "", serves, "", 0.0, (), 0)
    assert (found.exit_code(strict=False), found.exit_code(strict=True)) == (code, strict)


# -- over HTTP --------------------------------------------------------------------------------------------------------

Answer = tuple[int, Any, dict[str, str]]


@contextmanager
def scripted(script: Callable[[str, Any, dict[str, str]], Answer]) -> Iterator[str]:
    """A server on loopback whose answers a function gives: path, body and headers to status, body and headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            status, said, more = script(self.path, body, dict(self.headers))
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_addresses_are_taken_with_and_without_what_stands_behind_them() -> None:
    for url in (
        "localhost:8080",
        "http://localhost:8080/",
        "http://localhost:8080/v1",
        "localhost:8080/v1/completions",
    ):
        assert root_of(url) == "http://localhost:8080"
    assert root_of("https://host/proxy/v1/chat/completions") == "https://host/proxy"
    assert root_of("https://host/v1/proxy/v1/chat") == "https://host/v1/proxy"
    assert root_of("https://host/v12/") == "https://host/v12"
    assert root_of("https://host/v1/projects/a/llama") == "https://host/v1/projects/a/llama"
    for url in ("", "ftp://host", "http://", "http://host:port", "http://host/?q=1", "http://user:secret@host"):
        with pytest.raises(UserError) as caught:
            root_of(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, {"error": {"message": "no model x"}}, NoEndpointError, "no model x"),
        (401, {"detail": "Invalid API key"}, UserError, "--api-key"),
        (400, {"error": "top_logprobs"}, RefusedError, "top_logprobs"),
        (500, {"error": {"message": "logits_all"}}, RefusedError, "logits_all"),
        (200, b"<html>hello</html>", UserError, "no JSON"),
        (418, b"", UserError, "418"),
    ],
)
def test_what_goes_wrong_is_one_line_that_says_where(status: int, body: Any, kind: type, said: str) -> None:
    with scripted(lambda *_: (status, body, {})) as url, pytest.raises(kind) as caught:
        Server(url).post("/v1/completions", {})
    assert said in str(caught.value)
    assert f"{url}/v1/completions" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_redirect_takes_the_key_along() -> None:
    asked: list[str] = []

    def script(path: str, body: Any, headers: dict[str, str]) -> Answer:
        asked.append(path)
        assert headers["Authorization"] == "Bearer abc"
        return 302, {}, {"Location": "/elsewhere"}

    with scripted(script) as url, pytest.raises(UserError, match="/elsewhere"):
        Server(url, "abc").get("/v1/models")
    assert asked == ["/v1/models"]


def test_what_passes_is_tried_again_and_how_long_to_wait_is_the_servers_word() -> None:
    waited: list[float] = []
    states = iter([(503, {"error": "Loading model"}, {}), (429, {}, {"Retry-After": "7"}), (200, {"ok": 1}, {})])
    with scripted(lambda *_: next(states)) as url:
        assert Server(url, sleep=waited.append).post("/x", {}) == {"ok": 1}
    assert waited == [1.0, 7.0]
    with scripted(lambda *_: (503, {"error": "Loading model"}, {})) as url:
        server = Server(url, sleep=waited.append)
        with pytest.raises(UnreachableError, match="Loading model"):
            server.post("/x", {})
    assert server.requests == 5


def test_nothing_that_listens_is_told_at_once() -> None:
    with scripted(lambda *_: (200, {}, {})) as url:
        pass
    with pytest.raises(UnreachableError, match="nothing listens"):
        Server(url, sleep=lambda _: pytest.fail("it waits")).get("/v1/models")


def test_a_server_that_does_not_answer_is_given_up_after_its_time() -> None:
    held = threading.Event()

    def script(*_: Any) -> Answer:
        held.wait(20)
        return 200, {}, {}

    with scripted(script) as url:
        with pytest.raises(UnreachableError, match="--timeout"):
            Server(url, timeout=0.05, sleep=lambda _: None).get("/v1/models")
        held.set()


def test_of_several_models_one_has_to_be_named() -> None:
    def listing(*names: str) -> Callable[..., Answer]:
        return lambda *_: (200, {"data": [{"id": name} for name in names]}, {})

    with scripted(listing("only")) as url:
        assert model_of(Server(url), "") == ("only", False)
        with pytest.raises(UserError, match="only"):
            model_of(Server(url), "other")
    with scripted(listing("a:latest", "b")) as url:
        assert model_of(Server(url), "a").name == "a"
        with pytest.raises(UserError, match=r"a:latest, b.*--model"):
            model_of(Server(url), "")
    with scripted(lambda *_: (404, {}, {})) as url:
        assert model_of(Server(url), "").name == ""


def test_a_llama_server_reads_each_prompt_anew() -> None:
    """It finds what it read again by the tokens alone, whichever adapter was on."""
    with scripted(lambda *_: (200, {"data": [{"id": "m", "owned_by": "llamacpp"}]}, {})) as url:
        name, fresh = model_of(Server(url), "")
    assert fresh
    bodies: list[Any] = []

    def script(path: str, body: Any, _: Any) -> Answer:
        bodies.append(body)
        return 200, LEGACY, {}

    with scripted(script) as url:
        Asking(Server(url), TEXT, name, fresh=fresh).begin([Prompt("Once", "1")])
        Asking(Server(url), TEXT, name).begin([Prompt("Once", "1")])
    assert [body.get("cache_prompt") for body in bodies] == [False, None]


def asking(url: str, asked_as: str = TEXT) -> tuple[Asking, bool]:
    """A way of asking that has begun, and whether it can be gone."""
    found = Asking(Server(url, sleep=lambda _: None), asked_as)
    return found, found.begin([Prompt("Once", "1"), Prompt("Twice", "2")])


def test_fewer_log_probabilities_are_asked_for_where_many_are_refused() -> None:
    asked: list[Any] = []

    def script(path: str, body: Any, _: Any) -> Answer:
        asked.append(body.get("logprobs"))
        return (400, {"error": "at most 5"}, {}) if body.get("logprobs", 0) > 5 else (200, LEGACY, {})

    with scripted(script) as url:
        found, able = asking(url)
        assert able
        assert found.tells
        found.reply(Prompt("Once", "1"))
        assert asked == [20, 5], "what settled it is not asked twice"
        found.reply(Prompt("Once", "1"))
    assert asked == [20, 5, 5]


def test_llama_servers_own_form_is_asked_where_the_other_is_not_there() -> None:
    own = {"content": " The", "completion_probabilities": CONTENT["content"]}
    with scripted(lambda path, *_: (200, own, {}) if path == "/completion" else (404, {}, {})) as url:
        found, able = asking(url)
    assert able
    assert (found.endpoint, found.tells) == ("/completion", True)


def test_a_prompt_that_is_answered_with_the_end_does_not_count_as_no_log_probabilities() -> None:
    nothing = {"choices": [{"text": "", "logprobs": {"tokens": [], "token_logprobs": [], "top_logprobs": []}}]}
    with scripted(lambda path, body, _: (200, LEGACY if body["prompt"] == "Twice" else nothing, {})) as url:
        found, able = asking(url)
    assert able
    assert found.tells


def test_without_log_probabilities_longer_replies_are_asked_for() -> None:
    asked: list[Any] = []

    def script(path: str, body: Any, _: Any) -> Answer:
        asked.append(body)
        return 200, {"choices": [{"message": {"content": "Hello"}, "logprobs": None}]}, {}

    with scripted(script) as url:
        found = Asking(Server(url), CHAT)
        prompt = Prompt("User: Hi", "1", exchange("Hi"))
        assert found.begin([prompt])
        assert not found.tells
        assert found.reply(prompt).text == "Hello"
    assert asked[-1]["max_tokens"] == 16
    assert asked[-1]["messages"] == [{"role": "user", "content": "Hi"}]
    assert "logprobs" not in asked[-1]


def test_a_server_that_cannot_be_asked_so_says_why() -> None:
    with scripted(lambda *_: (404, {"error": "nothing here"}, {})) as url:
        found, able = asking(url)
    assert not able
    assert "nothing here" in found.refusal


def test_what_the_server_puts_before_every_text_is_not_sent_twice() -> None:
    asked: list[str] = []

    def script(path: str, body: Any, _: Any) -> Answer:
        asked.append(body["prompt"])
        return 200, LEGACY, {}

    with scripted(script) as url:
        found = Asking(Server(url), TEXT, opening="<s>")
        found.begin([Prompt("<s>Once", "1")])
    assert asked == ["Once"]
