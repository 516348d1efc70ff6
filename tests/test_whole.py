"""Files appear whole or not at all; what the killed left is removed, what the living make is not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sway_gguf.artifacts.locks import alone_in
from sway_gguf.artifacts.whole import scratch, sweep, whole

MAKING = (
    "import sys; from pathlib import Path; from sway_gguf.artifacts.whole import whole\n"
    "with whole(Path(sys.argv[1])) as partial:\n"
    "    partial.write_text('half'); print('ready', flush=True); sys.stdin.read()"
)


def maker(path: Path) -> subprocess.Popen[str]:
    """A process that is in the middle of writing `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_a_killed_process_left_goes_with_the_next_file_and_a_living_ones_stays(tmp_path: Path) -> None:
    killed, living = maker(tmp_path / "a.gguf"), maker(tmp_path / "b.gguf")
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 2
    with whole(tmp_path / "c.json") as partial:
        partial.write_text("c", encoding="utf-8")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left[-1] == "c.json"
    assert len(left) == 2
    assert left[0].startswith(".b.gguf.")
    living.communicate("", timeout=30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.gguf", "c.json"]


def test_one_process_does_not_remove_its_own(tmp_path: Path) -> None:
    with scratch(tmp_path / "a") as first, scratch(tmp_path / "a") as second:
        sweep(tmp_path)
        assert first != second
        assert first.exists()
        assert second.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_a_long_name_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "r.json"
    link.symlink_to(tmp_path / "far" / "real.json")
    for target in (link, tmp_path / ("é" * 120 + ".json")):
        with whole(target) as partial:
            partial.write_text("new", encoding="utf-8")
        assert target.read_text(encoding="utf-8") == "new"
    assert link.is_symlink()


def test_files_that_only_look_like_ours_stay(tmp_path: Path) -> None:
    other = tmp_path / ".notes.part"
    other.write_text("mine", encoding="utf-8")
    sweep(tmp_path)
    assert other.exists()


def test_a_folder_is_held_by_one_and_free_when_it_dies(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sway_gguf.artifacts.locks import alone_in\n"
        "with alone_in(Path(sys.argv[1])) as alone: print(alone, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with alone_in(tmp_path) as alone:
        assert not alone
    process.kill()
    process.wait()
    with alone_in(tmp_path) as alone:
        assert alone


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_unwinds_a_write(tmp_path: Path) -> None:
    process = maker(tmp_path / "a.gguf")
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("4096 requested and 1024 written"), errno.ENOSPC),
        (OSError("obtaining file position failed"), None),
        (OSError(errno.EACCES, "Permission denied"), errno.EACCES),
    ],
)
def test_only_a_short_write_is_told_as_a_full_disk(tmp_path: Path, error: OSError, told: int | None) -> None:
    with pytest.raises(OSError, match=r".") as raised, whole(tmp_path / "a"):
        raise error
    assert raised.value.errno == told
    assert (raised.value is error) == (told != errno.ENOSPC)
    assert list(tmp_path.iterdir()) == []
