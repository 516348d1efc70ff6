"""Signals end a command within a moment, wherever it is: in imports, in llama.cpp's log, in a child, in threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sway_gguf.engine.store import open_store
from tests.test_cli import BASE, HEALTHY, TEXT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")

# A command that is asked to stop when it first does what is named, however fast the machine is.
STOPPED_AT = """
import os, signal, sys
from sway_gguf.cli.start import main
number, where = int(sys.argv[1]), sys.argv[2]
sys.argv = ["sway-gguf", *sys.argv[3:]]
def stop_once(*_):
    global stop_once
    stop_once = lambda *_: None
    print("sent", file=sys.stderr, flush=True)
    os.kill(os.getpid(), number)
if where.startswith("import "):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == where.split()[1]: stop_once()
    sys.meta_path.insert(0, Finder())
elif where == "spawn":
    import multiprocessing.util as util, threading, time
    # The main thread lets no signal through while it starts a child; another one takes it.
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    spawned = util.spawnv_passfds
    def spawn(path, args, passfds):
        pid = spawned(path, args, passfds)
        if any("spawn_main" in str(word) for word in args): stop_once()
        return pid
    util.spawnv_passfds = spawn
else:
    import logging
    class Handler(logging.Handler):
        def emit(self, record):
            if where in record.getMessage(): stop_once()
    logging.getLogger("sway_gguf.llama").addHandler(Handler())
    logging.getLogger("sway_gguf.llama").setLevel(1)
main()
"""
CHECK = ("check", BASE, HEALTHY, *TEXT)


def rest(process: subprocess.Popen[str]) -> list[str]:
    """The lines that a command has yet to say on stderr."""
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(timeout=60)
    return [line for line in said.splitlines() if line]


def stopped(number: int, where: str, *words: str) -> tuple[int, list[str], float]:
    """Exit code, what is said, and the seconds from the signal to the end."""
    command = [sys.executable, "-c", STOPPED_AT, str(number), where, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line.rstrip())
        if line == "sent\n":
            break
    sent = time.monotonic()
    said = rest(process)
    return process.returncode, said, time.monotonic() - sent


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize(
    ("number", "where"),
    [
        (signal.SIGINT, "import rich"),
        (signal.SIGTERM, "import pydantic"),
        (signal.SIGINT, "import sway_gguf.spec.model"),
        (signal.SIGTERM, "import numpy"),
        (signal.SIGINT, "import llama_cpp"),
        (signal.SIGTERM, "import scipy"),
        # llama.cpp's log
        (signal.SIGTERM, "loading"),
        (signal.SIGINT, "KV"),
        (signal.SIGTERM, "graph"),
    ],
)
def test_a_signal_during_an_import_and_in_llama_cpps_log_ends_the_command(number: int, where: str) -> None:
    """One handler takes both signals; which of them it was is told by the exit code."""
    found, said, seconds = stopped(number, where, *CHECK)
    assert (found, said) == (CODES[number], ["sway-gguf: stopped; nothing half-written is left"])
    assert seconds < 20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_views_are_answered_side_by_side_ends_the_command(number: int, code: int) -> None:
    # The adapters of two views are being loaded, in threads that get no signals.
    found, said, seconds = stopped(number, "loading lora", *CHECK, "--parallel", "2")
    assert (found, said) == (code, ["sway-gguf: stopped; nothing half-written is left"])
    assert seconds < 20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_child_is_started_ends_the_command(tmp_path: Path, number: int, code: int) -> None:
    merge = ("merge", BASE, HEALTHY, "--type", "Q4_K_M", "-o", str(tmp_path / "m.gguf"))
    found, said, seconds = stopped(number, "spawn", *merge)
    assert (found, said) == (code, ["sway-gguf: stopped; nothing half-written is left"])
    assert list(tmp_path.iterdir()) == []
    assert seconds < 20


def waited_for(process: subprocess.Popen[str], text: str) -> None:
    """Read what a command says until it says `text`."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it never said {text!r}")


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from sway_gguf.cli.start import main; main()", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_group_ends_a_merge_and_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    process = start("merge", BASE, HEALTHY, "--type", "Q4_K_M", "-o", str(tmp_path / "m.gguf"))
    waited_for(process, "quantizing")
    os.killpg(process.pid, number)
    said = rest(process)
    assert process.returncode == code
    assert said == ["sway-gguf: stopped; nothing half-written is left"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_merge_left_goes_with_the_next(tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    process = start("merge", BASE, HEALTHY, "--type", "Q4_K_M", "-o", str(out))
    waited_for(process, "quantizing")
    process.kill()
    rest(process)
    assert list(tmp_path.iterdir()) != []
    again = start("merge", BASE, HEALTHY, "--type", "F16", "-o", str(out))
    rest(again)
    assert again.returncode == 0
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_quants_and_its_child(tmp_path: Path, number: int, code: int) -> None:
    where = ("--work", str(tmp_path / "w"), "--store", str(tmp_path / "store"))
    process = start("quants", BASE, HEALTHY, *TEXT, "--types", "F16,Q8_0", *where)
    waited_for(process, "F16 merged")
    os.killpg(process.pid, number)
    said = rest(process)
    assert process.returncode == code
    assert not any("Traceback" in line for line in said)
    assert [path.name for path in (tmp_path / "w").iterdir()] == [".lock"]
    with open_store(tmp_path / "store") as store:
        assert store.holding().entries == 1


GIVES_UP = """
import ctypes, sys
from sway_gguf.engine.interrupt import end_on_signals
if sys.argv[1] == "command": end_on_signals()
from sway_gguf.engine.library import ggml
ggml().ggml_abort(b"/build/ggml/src/ggml.c", 1644, b"GGML_ASSERT(%s != NULL) failed", b"ctx->mem_buffer")
"""


def test_where_llama_cpp_gives_up_a_command_says_why_in_one_line_and_no_debugger_is_called() -> None:
    words = [sys.executable, "-c", GIVES_UP]
    kept = {key: value for key, value in os.environ.items() if key not in ("GGML_NO_BACKTRACE", "SWAY_GGUF_DEBUG")}
    own, others = (
        subprocess.run([*words, who], capture_output=True, text=True, env=kept, timeout=60, check=False)
        for who in ("command", "a program that uses us")
    )
    why = "ggml.c:1644: GGML_ASSERT(ctx->mem_buffer != NULL) failed"
    assert (own.returncode, own.stdout) == (2, "")
    assert own.stderr.startswith(f"sway-gguf: llama.cpp gave up: {why}; memory ran out: ")
    assert len(own.stderr.splitlines()) == 1
    assert (others.returncode, others.stdout, others.stderr) == (-signal.SIGABRT, "", f"/build/ggml/src/{why}\n")
