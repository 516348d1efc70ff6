"""A process that calls functions for another: results, errors, words, deaths, and the end of either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.engine.helper import Helper, tell
from tests.test_child import alive, dying, leaving, raising, raising_stubborn


def printing() -> int:
    print("what a library prints")
    os.write(1, b"and what compiled code does")
    return os.getpid()


def telling(count: int) -> None:
    for number in range(count):
        tell(number)


def giving_up() -> None:
    os.write(2, b"first line\nGGML_ASSERT(n > 0) failed\n")
    os.abort()


def sleeping(started: Path) -> None:
    started.write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)


def killed(pid: int) -> None:
    """End a process of ours and see it gone: its first thread is a zombie before its others are."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def helper() -> Iterator[Helper]:
    made = Helper()
    yield made
    made.stop()


def test_one_process_serves_call_after_call_whatever_it_prints(helper: Helper) -> None:
    first = helper.call(printing)
    assert first != os.getpid()
    assert helper.call(sorted, [3, 1], reverse=True) == [3, 1]
    assert helper.call(printing) == first


def test_an_error_comes_back_as_it_was_and_the_process_goes_on(helper: Helper) -> None:
    first = helper.call(os.getpid)
    with pytest.raises(UserError, match="mend it"):
        helper.call(raising, UserError("mend it"))
    with pytest.raises(RuntimeError, match="StubbornError: 1 and 2"):
        helper.call(raising_stubborn)
    with pytest.raises(Exception, match="pickle"):
        helper.call(threading.Lock)  # a result that cannot travel
    assert helper.call(os.getpid) == first


def test_words_come_in_order_before_the_result() -> None:
    heard: list[int] = []
    helper = Helper(heard.append)
    helper.call(telling, 5)
    helper.stop()
    assert heard == [0, 1, 2, 3, 4]


def test_words_of_a_function_that_is_called_here_go_nowhere() -> None:
    telling(2)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_death_is_told_with_the_last_words_and_the_next_call_has_another_process(helper: Helper) -> None:
    first = helper.call(os.getpid)
    with pytest.raises(EngineError, match=r"SIGABRT \(GGML_ASSERT\(n > 0\) failed\)"):
        helper.call(giving_up)
    with pytest.raises(EngineError, match=r"SIGKILL.*memory"):
        helper.call(dying, 9)
    with pytest.raises(EngineError, match="exit code 7"):
        helper.call(leaving)
    assert helper.call(os.getpid) != first


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_one_that_died_while_nothing_was_asked_is_not_missed(helper: Helper) -> None:
    first = helper.call(os.getpid)
    killed(first)
    assert helper.call(os.getpid) not in (first, os.getpid())


def test_work_is_stopped_from_another_thread(helper: Helper, tmp_path: Path) -> None:
    started = tmp_path / "started"

    def stop() -> None:
        until = time.monotonic() + 60
        while not started.exists() and time.monotonic() < until:
            time.sleep(0.01)
        helper.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(EngineError, match="ended"):
        helper.call(sleeping, started)
    thread.join()


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("place", "moment"), [(subprocess, "Popen"), (Helper, "_end")])
def test_one_that_is_only_being_started_is_stopped_too(
    helper: Helper, monkeypatch: pytest.MonkeyPatch, place: Any, moment: str
) -> None:
    """Before there is one, and while one that died is still being cleared away for it."""
    killed(helper.call(os.getpid))
    go_on, stopper = getattr(place, moment), threading.Thread(target=helper.stop)

    def slowly(*words: Any, **named: Any) -> Any:
        with suppress(RuntimeError):  # the end of the second one comes here as well
            stopper.start()
            stopper.join(0.3)  # by then it has looked for a process to end, and there is none
        return go_on(*words, **named)

    monkeypatch.setattr(place, moment, slowly)
    with pytest.raises(EngineError, match="ended"):
        helper.call(time.sleep, 30)
    stopper.join()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes")
def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    code = (
        "import sys; from pathlib import Path; from sway_gguf.engine.helper import Helper\n"
        "from tests.test_helper import sleeping\n"
        "Helper().call(sleeping, Path(sys.argv[1]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(started)], cwd=Path(__file__).parents[1])
    until = time.monotonic() + 60
    while not (started.exists() and started.read_text(encoding="utf-8")) and time.monotonic() < until:
        time.sleep(0.02)
    child = int(started.read_text(encoding="utf-8"))
    parent.kill()
    parent.wait()
    while alive(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(child)
