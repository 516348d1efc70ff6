"""Hashes of large files are read once, and never from a memory of what the file was before."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from sway_gguf.artifacts.digest import remembering, sha256_of, sha256_of_all
from sway_gguf.engine.store import AnswerStore, open_store
from sway_gguf.engine.store_digests import RememberedDigests

LARGE = 1 << 20
SETTLES = 2.1
"""Seconds until a file's times tell every later write."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    with open_store(tmp_path / "store") as opened:
        yield opened


class Reading:
    """A memory that counts what it was asked and what it could say."""

    def __init__(self, store: AnswerStore) -> None:
        self._kept = RememberedDigests(store.file)
        self.said: list[str | None] = []
        self.told = 0

    def recall(self, path: bytes, stamp: tuple[int, ...]) -> str | None:
        self.said.append(self._kept.recall(path, stamp))
        return self.said[-1]

    def remember(self, path: bytes, stamp: tuple[int, ...], digest: str) -> None:
        self.told += 1
        self._kept.remember(path, stamp, digest)


def aged(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose every time lies far enough back: the clock is put forward, since nobody can set a ctime."""
    path.write_bytes(content)
    now = time.time_ns
    monkeypatch.setattr("sway_gguf.artifacts.digest.time.time_ns", lambda: now() + int(SETTLES * 1e9))
    return path


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def test_a_large_file_that_stayed_as_it_was_is_read_once(
    store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(LARGE)
    path, memory = aged(tmp_path / "base.gguf", content, monkeypatch), Reading(store)
    with remembering(memory):
        assert [sha256_of(path), sha256_of(path), sha256_of_all([path])] == [digest(content)] * 3
    assert memory.said == [None, digest(content), digest(content)]
    assert memory.told == 1
    # Outside the block nothing is recalled.
    sha256_of(path)
    assert len(memory.said) == 3


def test_the_memory_is_what_is_believed(store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a recalled hash stands for a reading shows where the memory says something else."""
    path, memory = aged(tmp_path / "base.gguf", os.urandom(LARGE), monkeypatch), Reading(store)
    with remembering(memory):
        sha256_of(path)
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        memory.remember(os.fsencode(path.resolve()), stamp, "of another content")
        assert sha256_of(path) == "of another content"


def test_another_process_recalls_it_and_a_small_file_is_always_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = aged(tmp_path / "large", os.urandom(LARGE), monkeypatch)
    small = aged(tmp_path / "small", os.urandom(LARGE - 1), monkeypatch)
    for _ in range(2):
        with open_store(tmp_path / "store") as store, remembering(memory := Reading(store)):
            sha256_of(large)
            sha256_of(small)
    assert memory.said == [digest(large.read_bytes()), digest(small.read_bytes())]
    assert memory.told == 0
    with open_store(tmp_path / "store") as store:
        assert RememberedDigests(store.file).places(digest(small.read_bytes())) == [os.fsencode(small.resolve())]


def test_a_file_written_just_now_is_not_remembered(store: AnswerStore, tmp_path: Path) -> None:
    """A second write within one tick of the file system's clock would go unseen."""
    path = tmp_path / "adapter.gguf"
    path.write_bytes(os.urandom(LARGE))
    with remembering(memory := Reading(store)):
        sha256_of(path)
    assert memory.told == 0


@pytest.mark.parametrize("how", ["in place", "replaced", "time put back", "grown"])
def test_a_file_that_changed_is_read_again(
    how: str, store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = aged(tmp_path / "adapter.gguf", os.urandom(LARGE), monkeypatch)
    before, other = path.stat(), os.urandom(LARGE + (how == "grown"))
    with remembering(Reading(store)):
        sha256_of(path)
        if how == "replaced":
            (tmp_path / "new").write_bytes(other)
            os.replace(tmp_path / "new", path)
        else:
            time.sleep(0.02)  # a tick of the file system's clock
            path.write_bytes(other)
        if how == "time put back" or how == "replaced":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert sha256_of(path) == digest(other)


def test_another_name_of_a_file_recalls_it_and_another_file_under_its_name_does_not(
    store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = aged(tmp_path / "first", os.urandom(LARGE), monkeypatch)
    second = aged(tmp_path / "second", os.urandom(LARGE), monkeypatch)
    link = tmp_path / "link"
    link.symlink_to(first)
    with remembering(memory := Reading(store)):
        sha256_of(first)
        assert sha256_of(link) == digest(first.read_bytes())
        assert memory.said == [None, digest(first.read_bytes())]
        link.unlink()
        link.symlink_to(second)
        assert sha256_of(link) == digest(second.read_bytes())


def test_a_folder_is_hashed_file_by_file(store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "peft").mkdir()
    large = aged(tmp_path / "peft" / "adapter_model.safetensors", os.urandom(LARGE), monkeypatch)
    aged(tmp_path / "peft" / "adapter_config.json", b"{}", monkeypatch)
    without = sha256_of(tmp_path / "peft")
    with remembering(memory := Reading(store)):
        assert sha256_of(tmp_path / "peft") == without
        assert sha256_of(tmp_path / "peft") == without
    assert memory.said == [None, None, digest(b"{}"), digest(large.read_bytes())]


def test_a_damaged_memory_says_nothing(store: AnswerStore) -> None:
    memory = RememberedDigests(store.file)
    memory.remember(b"/base.gguf", (1, 2, 3, 4), "abc")
    assert memory.recall(b"/base.gguf", (1, 2, 3, 4)) == "abc"
    for stamp in ((2, 2, 3, 4), (1, 3, 3, 4), (1, 2, 4, 4), (1, 2, 3, 5)):
        assert memory.recall(b"/base.gguf", stamp) is None
    store.file.all("UPDATE digests SET digest = 'abd'")
    assert memory.recall(b"/base.gguf", (1, 2, 3, 4)) is None


def test_files_seen_longest_ago_make_room(store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sway_gguf.engine.store_digests._MOST", 3)
    memory = RememberedDigests(store.file)
    clock = iter(range(100))
    monkeypatch.setattr("sway_gguf.engine.store_digests.time.time", lambda: next(clock))
    for name in (b"a", b"b", b"c", b"d", b"a", b"e"):
        memory.remember(name, (), "digest")
    assert [memory.recall(name, ()) is not None for name in (b"a", b"b", b"c", b"d", b"e")] == [
        True, False, False, True, True,
    ]  # fmt: skip


def test_a_store_that_is_off_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = aged(tmp_path / "base.gguf", os.urandom(LARGE), monkeypatch)
    with open_store(None) as store, remembering(memory := Reading(store)):
        assert sha256_of(path) == sha256_of(path) == digest(path.read_bytes())
    assert memory.said == [None, None]
