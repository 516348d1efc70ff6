"""How a server is asked for log-probabilities of given tokens: what is forced, what is asked alone, what is missing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

import pytest

from sway_gguf.engine.endpoint import Step
from sway_gguf.engine.packing import Job
from sway_gguf.engine.reduce import NotFiniteError
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


def _value(token: int) -> float:
    return -float(token + 2)


def test_tokens_that_can_be_forced_are_asked_together_and_any_other_by_itself() -> None:
    assert [*stretches([0, 1, 2, 3, 0, 4, 5], lambda token: token not in (2, 3, 4))] == [
        (0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7),
    ]  # fmt: skip


def test_each_target_is_asked_behind_what_stands_before_it() -> None:
    # The text is a b 😀 c </s>, of which all but the first token is scored.
    asked = Asked()
    job = Job((0, 1, 2, 3, 5), 0, (1, 2, 3, 5, END))
    assert Scoring(Letters()).targets(job, asked).tolist() == [-3, -4, -5, -7, -6]
    assert asked.log == [
        ("forced", (0,), (1,)),
        ("pushed", (0, 1), (0,)),  # Half a character is found among the likeliest, while a letter is taken.
        ("pushed", (0, 1, 2), (0,)),
        ("forced", (0, 1, 2, 3), (5,)),
        ("pushed", (0, 1, 2, 3, 5), (END,)),  # An end is taken itself.
    ]


def test_a_distribution_tells_what_lies_outside_of_it_and_spreads_that_evenly() -> None:
    row = Scoring(Letters()).row(Job((0, 1), 1), Asked(listed=2))
    missing = 1 - math.exp(-2) - math.exp(-3)
    assert row.missing == pytest.approx(missing)
    assert row.logprobs.tolist() == pytest.approx([-2, -3, *[math.log(missing / 4)] * 4])


def test_a_distribution_that_is_told_whole_lacks_nothing() -> None:
    row = Scoring(Letters()).row(Job((0, 1), 1), Asked())
    assert row.missing == 0.0
    assert row.logprobs.tolist() == pytest.approx([_value(token) for token in range(6)])


def test_a_number_that_is_none_is_never_an_answer() -> None:
    class Broken(Asked):
        def forced(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[Step]:
            return [Step(token, None, ((token, None),)) for token in wanted]

    with pytest.raises(NotFiniteError):
        Scoring(Letters()).targets(Job((0,), 0, (1,)), Broken())


def test_a_token_that_is_told_nowhere_has_no_number() -> None:
    with pytest.raises(NotFiniteError):
        Scoring(Letters()).targets(Job((0,), 0, (3,)), Asked(listed=2))


# -- several at a time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_what_was_asked(workers: int) -> None:
    def late(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0.0)
        return number * number

    assert [*side_by_side(late, range(12), workers)] == [number * number for number in range(12)]


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
        found.extend(side_by_side(call, range(100), 4))
    assert found == [*range(len(found))]
    assert most[0] == 4
