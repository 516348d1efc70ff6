"""How a server is asked for log-probabilities of given tokens: what is forced, what is asked alone, what is missing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from sway_gguf.core.queries import Rolling
from sway_gguf.engine.llama_server import Step
from sway_gguf.engine.packing import Job
from sway_gguf.engine.reduce import NotFiniteError
from sway_gguf.engine.scoring import Ask
from sway_gguf.engine.server_scores import Scoring, stretches
from sway_gguf.engine.side_by_side import side_by_side

PIECES = [b"a", b"b", b"\xf0\x9f", b"\x98\x80", b"</s>", b"c"]
END = 4


class Letters:
    """Six tokens: three letters, the halves of a smiling face, and the end of a text."""

    vocabulary = len(PIECES)

    def piece(self, token: int, *, control: bool = False) -> bytes:
        return PIECES[token] if control or token != END else b""

    def ends_text(self, token: int) -> bool:
        return token == END


class Asked:
    """Gives token t the log-probability −(t + 2) wherever it stands, and keeps what it was asked."""

    def __init__(self, listed: int = len(PIECES)) -> None:
        self.log: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
        self.listed = listed

    def forced(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[Step]:
        self.log.append(("forced", tuple(prompt), tuple(wanted)))
        return [Step(token, _value(token), ((token, _value(token)),)) for token in wanted]

    def pushed(self, prompt: Sequence[int], token: int, top: int = 1) -> Step:
        self.log.append(("pushed", tuple(prompt), (token,)))
        return Step(token, _value(token), tuple((one, _value(one)) for one in range(min(top, self.listed))))


def scored(asked: Asked, *jobs: Job, stretches: tuple[tuple[int, int], ...] = ()) -> NDArray[np.float64]:
    """The log-probabilities of a text's targets, from its second token on."""
    ask = Ask(Rolling(""), (), 1, jobs, stretches)
    return np.concatenate(Scoring(Letters()).of(ask, asked))


def _value(token: int) -> float:
    return -float(token + 2)


def test_tokens_that_can_be_forced_are_asked_together_and_any_other_by_itself() -> None:
    def found(read: list[bool]) -> list[tuple[int, int]]:
        return [*stretches([0, 1, 2, 3, 0, 4, 5, 5], read, lambda token: token not in (2, 3, 4))]

    assert found([True] * 8) == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 8)]
    assert found([False, True, True, False, False, True, True, False]) == [(1, 2), (2, 3), (5, 6), (6, 7)]


def test_each_target_is_asked_behind_what_stands_before_it() -> None:
    # The text is a b 😀 c </s>, of which all but the first token is scored.
    asked = Asked()
    job = Job((0, 1, 2, 3, 5), 0, (1, 2, 3, 5, END))
    assert scored(asked, job).tolist() == [-3, -4, -5, -7, -6]
    assert asked.log == [
        ("forced", (0,), (1,)),
        ("pushed", (0, 1), (0,)),  # Half a character is found among the likeliest, while a letter is taken.
        ("pushed", (0, 1, 2), (0,)),
        ("forced", (0, 1, 2, 3), (5,)),
        ("pushed", (0, 1, 2, 3, 5), (END,)),  # An end is taken itself.
    ]


def test_what_stands_between_stretches_is_not_asked_in_any_window() -> None:
    # Two windows of a text a b c a b c, whose tokens 1 and 4 are wanted.
    asked = Asked()
    windows = Job((0, 1, 5), 0, (1, 5, 0)), Job((5, 0, 1), 1, (1, 5))
    assert scored(asked, *windows, stretches=((1, 2), (4, 5))).tolist() == [-3, 0, 0, -3, 0]
    assert asked.log == [("forced", (0,), (1,)), ("forced", (5, 0), (1,))]


def test_a_distribution_tells_what_lies_outside_of_it_and_spreads_that_evenly() -> None:
    row = Scoring(Letters()).row(Job((0, 1), 1), Asked(listed=2))
    missing = 1 - math.exp(-2) - math.exp(-3)
    assert row.missing == pytest.approx(missing)
    assert row.logprobs.tolist() == pytest.approx([-2, -3, *[math.log(missing / 4)] * 4])


def test_a_distribution_that_is_told_whole_lacks_nothing() -> None:
    row = Scoring(Letters()).row(Job((0, 1), 1), Asked())
    assert row.missing == 0.0
    assert row.logprobs.tolist() == pytest.approx([_value(token) for token in range(6)])


def test_a_token_that_is_told_nowhere_has_no_number() -> None:
    with pytest.raises(NotFiniteError):
        scored(Asked(listed=2), Job((0,), 0, (3,)))


# -- several at a time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_what_was_asked(workers: int) -> None:
    def late(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0.0)
        return number * number

    assert [*side_by_side(late, range(12), workers, [1] * 12, 12)] == [number * number for number in range(12)]


def test_so_many_are_under_way_at_once_and_an_error_ends_it() -> None:
    together, most, lock = set[int](), [0], threading.Lock()

    def call(number: int) -> int:
        with lock:
            together.add(number)
            most[0] = max(most[0], len(together))
        time.sleep(0.01)
        with lock:
            together.discard(number)
        if number == 5:
            raise ArithmeticError("five")
        return number

    found = list[int]()
    with pytest.raises(ArithmeticError, match="five"):
        found.extend(side_by_side(call, range(100), 4, [1] * 100, 100))
    assert found == [*range(len(found))]
    assert most[0] == 4


def test_what_is_under_way_weighs_no_more_than_there_is_room_for_and_what_is_heavier_goes_alone() -> None:
    weights, lock = [3, 3, 3, 9, 1, 5, 5, 6], threading.Lock()
    under_way, seen = list[int](), list[list[int]]()

    def call(number: int) -> int:
        with lock:
            under_way.append(weights[number])
            seen.append([*under_way])
        time.sleep(0.01)
        with lock:
            under_way.remove(weights[number])
        return number

    assert [*side_by_side(call, range(8), 4, weights, 6)] == [*range(8)]
    assert all(sum(each) <= 6 or len(each) == 1 for each in seen)
    assert max(map(len, seen)) > 1
