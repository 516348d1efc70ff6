"""A function in a process of its own: its result, its error, its death, and ours."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sway_gguf.core import errors
from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.engine.child import in_child
from sway_gguf.engine.reduce import NotFiniteError


class StubbornError(Exception):
    """An error that cannot be made again from its pickle."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raising(error: Exception) -> None:
    raise error


def raising_stubborn() -> None:
    raise StubbornError(1, 2)


def dying(number: int) -> None:
    os.kill(os.getpid(), number)


def leaving() -> None:
    os._exit(7)


def lasting(started: Path) -> None:
    started.write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)


def test_a_result_comes_back() -> None:
    assert in_child(sorted, [3, 1], reverse=True) == [3, 1]


@pytest.mark.parametrize("error", [UserError("mend it"), EngineError("why"), NonFiniteError("tuned", "a text")])
def test_an_error_comes_back_as_it_was(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        in_child(raising, error)
    assert (str(caught.value), vars(caught.value)) == (str(error), vars(error))


def test_an_error_that_cannot_travel_sends_its_words() -> None:
    with pytest.raises(RuntimeError, match="StubbornError: 1 and 2"):
        in_child(raising_stubborn)


def test_all_errors_of_ours_travel() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    for kind in [*kinds, NotFiniteError]:
        own = vars(kind).get("__init__")
        error = kind(*(list(inspect.signature(own).parameters)[1:] if own else ["words"]))
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), vars(again)) == (str(error), vars(error)), kind


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("number", "told"), [(9, "SIGKILL.*memory"), (6, "SIGABRT"), (11, "SIGSEGV")])
def test_a_child_that_is_killed_is_told_and_not_waited_for(number: int, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        in_child(dying, number)


def test_a_child_that_leaves_without_a_word_is_told() -> None:
    with pytest.raises(EngineError, match="exit code 7"):
        in_child(leaving)


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for is dead."""
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(tmp_path: Path, number: int) -> None:
    started = tmp_path / "pid"
    code = (
        "import sys; from pathlib import Path; from sway_gguf.engine.child import in_child\n"
        "from sway_gguf.engine.interrupt import end_on_signals; from tests.test_child import lasting\n"
        "end_on_signals(); in_child(lasting, Path(sys.argv[1]))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(started)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    while not (started.exists() and started.read_text(encoding="utf-8")) and time.monotonic() < until:
        time.sleep(0.05)
    child = int(started.read_text(encoding="utf-8"))
    # Ctrl-C reaches the whole group; the others the parent alone.
    (os.killpg if number == signal.SIGINT else os.kill)(parent.pid, number)
    _, said = parent.communicate(timeout=30)
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)
    assert said.count("Traceback") == (0 if number == signal.SIGKILL else 1)
