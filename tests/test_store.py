"""The answer store: what was put, bit for bit, for several threads and processes; a disk that fails costs no run."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sway_gguf.artifacts.network import network_disk
from sway_gguf.engine import store_file
from sway_gguf.engine.store import AnswerStore, open_store
from sway_gguf.engine.store_check import Checked, checked
from sway_gguf.engine.store_file import FORMAT, NAME, SET_ASIDE, StoreFile

MANY = 300


def request(number: int) -> bytes:
    """As a run would ask: long, and much the same as the next."""
    return b"a question of tokens " * 20 + b"%d" % number


def value(number: int) -> bytes:
    return random.Random(number).randbytes(100 + number)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    with open_store(tmp_path / "store") as opened:
        assert opened.on
        yield opened


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The folder of a store of `MANY` answers that nobody has open."""
    with open_store(tmp_path / "filled") as opened:
        opened.put_many([(request(number), value(number)) for number in range(MANY)])
    return tmp_path / "filled"


def rows(folder: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What another program sees in the file."""
    with sqlite3.connect(folder / NAME, isolation_level=None) as connection:
        found = connection.execute(statement, values).fetchall()
    connection.close()
    return found


# What is kept


def test_exactly_what_was_put_is_there_for_exactly_its_request(store: AnswerStore) -> None:
    assert store.get(b"question") is None
    store.put(b"question", b"answer")
    assert store.get(b"question") == b"answer"
    assert store.get(b"question ") is None
    assert (store.asked, store.found) == (3, 1)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.binary(max_size=200), st.binary(max_size=2000), max_size=20))
def test_any_bytes_come_back_bit_for_bit(store: AnswerStore, answers: dict[bytes, bytes]) -> None:
    store.put_many(answers.items())
    assert {asked: store.get(asked) for asked in answers} == answers


def test_a_later_value_takes_the_place_of_an_earlier(store: AnswerStore) -> None:
    store.put(b"question", b"first")
    store.put(b"question", b"second")
    assert store.get(b"question") == b"second"
    holding = store.holding()
    assert holding is not None
    assert holding.entries == 1


def test_what_was_removed_is_gone(store: AnswerStore) -> None:
    store.put(b"question", b"answer")
    store.remove(b"question")
    assert store.get(b"question") is None


def test_a_sample_has_requests_and_values_of_the_store_each_once(filled: Path) -> None:
    known = {request(number): value(number) for number in range(MANY)}
    with open_store(filled) as opened:
        some, everything = opened.sample(20), opened.sample(10 * MANY)
    assert len({asked for asked, _ in some}) == 20
    assert set(some) <= known.items()
    assert dict(everything) == known


def test_the_key_is_the_hash_of_the_request_and_the_request_lies_beside_the_value(filled: Path) -> None:
    """`verify` computes from the request, and a name or a path is nowhere in the key."""
    ((key, packed, kept),) = rows(filled, "SELECT key, request, value FROM answers WHERE id = 1")
    assert isinstance(packed, bytes)
    assert zlib.decompress(packed) == request(0)
    assert key == sha256(request(0)).digest()
    assert kept == value(0)


def test_without_a_folder_it_is_off_and_no_trouble() -> None:
    with open_store(None) as store:
        store.put(b"question", b"answer")
        assert store.get(b"question") is None
        assert (store.on, store.trouble, store.holding(), store.clear()) == (False, "", None, 0)


def test_what_was_asked_of_a_person_is_nobody_elses(tmp_path: Path) -> None:
    with open_store(tmp_path / "made" / "store"):
        pass
    if os.name != "nt":
        assert (tmp_path / "made" / "store").stat().st_mode & 0o077 == 0


# Several at once


def test_threads_of_one_process_share_a_store(store: AnswerStore) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 50):
            store.put(request(number), value(number))
            assert store.get(request(number)) == value(number)
            assert store.get(request(number - 25)) in (None, value(number - 25))

    failed: list[BaseException] = []

    def told(first: int) -> None:
        try:
            work(first)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=told, args=(first,)) for first in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert store.trouble == ""
    assert [store.get(request(number)) for number in range(225)] == [value(number) for number in range(225)]
    assert store.asked == 8 * 100 + 225


_CHILD = """
import sys
from pathlib import Path
from sway_gguf.engine.store import open_store
from tests.test_store import request, value
folder, first = Path(sys.argv[1]), int(sys.argv[2])
with open_store(folder) as store:
    for number in range(first, first + 60):
        store.put(request(number), value(number))
        if number == int(sys.argv[3]):
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
    print(store.trouble, end="")
"""


def child(folder: Path, first: int, killed_at: int = -1) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _CHILD, str(folder), str(first), str(killed_at)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])


def test_processes_that_begin_one_at_once_share_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    children = [child(folder, first) for first in range(0, 180, 30)]
    assert [process.communicate()[0] for process in children] == [""] * 6
    assert [process.returncode for process in children] == [0] * 6
    with open_store(folder) as opened:
        assert [opened.get(request(number)) for number in range(210)] == [value(number) for number in range(210)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_was_put_survives_a_kill_right_behind_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    process = child(folder, 0, killed_at=37)
    process.communicate()
    assert process.returncode == -9
    with open_store(folder) as opened:
        assert [opened.get(request(number)) == value(number) for number in range(40)] == [True] * 38 + [False] * 2


def test_a_value_is_seen_by_another_process_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as writer, open_store(tmp_path) as reader:
        writer.put(b"question", b"answer")
        assert reader.get(b"question") == b"answer"


# The bound


def test_what_was_not_used_for_longest_goes_first_and_the_bound_holds(tmp_path: Path) -> None:
    bound = 1 << 20
    with open_store(tmp_path, bound) as opened:
        opened.put_many([(b"kept %d" % number, os.urandom(10_000)) for number in range(20)])
    # An hour and more ago, so that being read again counts.
    rows(tmp_path, "UPDATE answers SET used = used - 10000")
    with open_store(tmp_path, bound) as opened:
        opened.put(b"kept 3", opened.get(b"kept 3") or b"")
        assert opened.get(b"kept 7") is not None
        for number in range(200):
            opened.put(b"new %d" % number, os.urandom(10_000))
            assert opened.file.filled() <= bound + (bound >> 6)
        there = {number for number in range(20) if opened.get(b"kept %d" % number)}
        assert opened.get(b"new 199") is not None
    # 105 rows of 10 kB fill the bound: of 220 the 20 old ones went first, but for none that outlived the newer.
    assert there <= {3, 7}
    assert (tmp_path / NAME).stat().st_size < bound * 1.1


def test_a_row_that_is_read_is_used_again_and_outlives_those_that_are_not(tmp_path: Path) -> None:
    bound = 1 << 20
    with open_store(tmp_path, bound) as opened:
        for number in range(90):
            opened.put(b"%d" % number, os.urandom(10_000))
    rows(tmp_path, "UPDATE answers SET used = used - 10000")
    with open_store(tmp_path, bound) as opened:
        for number in range(20):
            assert opened.get(b"%d" % number) is not None
        for number in range(90, 130):
            opened.put(b"%d" % number, os.urandom(10_000))
        assert all(opened.get(b"%d" % number) for number in range(20))
        assert opened.get(b"20") is None


def test_reading_what_was_used_just_now_writes_nothing(filled: Path) -> None:
    with open_store(filled) as opened:
        changes = rows(filled, "PRAGMA data_version")
        with sqlite3.connect(filled / NAME) as other:
            ((before,),) = other.execute("PRAGMA data_version")
            for number in range(MANY):
                opened.get(request(number))
            opened.close()
            ((after,),) = other.execute("PRAGMA data_version")
        other.close()
    assert changes
    assert before == after


def test_a_lower_bound_shrinks_the_file(filled: Path) -> None:
    with open_store(filled) as opened:
        opened.put_many([(b"%d" % number, os.urandom(100_000)) for number in range(50)])
    assert (filled / NAME).stat().st_size > 5_000_000
    with open_store(filled, 2 << 20) as opened:
        opened.put(b"one more", b"value")
    assert (filled / NAME).stat().st_size <= 2 << 20


def test_a_value_too_large_for_the_bound_is_not_kept(tmp_path: Path) -> None:
    with open_store(tmp_path, 1 << 20) as opened:
        opened.put(b"small", b"value")
        opened.put(b"large", bytes(1 << 19))
        assert opened.get(b"large") is None
        assert opened.get(b"small") == b"value"


def test_clearing_forgets_and_gives_the_room_back_while_others_go_on(filled: Path) -> None:
    full = (filled / NAME).stat().st_size
    with open_store(filled) as other:
        with open_store(filled) as opened:
            assert opened.clear(unused_for=3600) == 0
            assert opened.clear() == MANY
        assert other.get(request(1)) is None
        other.put(request(1), value(1))
        assert other.get(request(1)) == value(1)
    assert (filled / NAME).stat().st_size < full / 3


def test_what_was_used_lately_can_be_kept(filled: Path) -> None:
    rows(filled, "UPDATE answers SET used = used - 100000 WHERE id <= 100")
    with open_store(filled) as opened:
        assert opened.clear(unused_for=50_000) == 100
        assert opened.get(request(0)) is None
        assert opened.get(request(100)) == value(100)


# Disks that fail


def left_over(store: AnswerStore) -> str:
    """The line of a store that is in trouble, after seeing that nothing can be done with it."""
    store.put(b"question", b"answer")
    assert store.get(b"question") is None
    assert store.holding() is None
    assert not store.on
    assert store.trouble.startswith(f"the answer store {store.file.path} is not used: ")
    assert "\n" not in store.trouble
    return store.trouble


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder", encoding="utf-8")
    for folder in (tmp_path / "store", tmp_path / "store" / "below"):
        with open_store(folder) as opened:
            assert "exists" in left_over(opened) or "directory" in opened.trouble
    assert (tmp_path / "store").read_text(encoding="utf-8") == "no folder"


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder below which everyone may look; those of pytest are their maker's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(sys.platform == "win32", reason="modes of folders bind nobody there")
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_may_not_be_written(open_to_all: Path, there: bool) -> None:
    folder = open_to_all / "store"
    folder.mkdir()
    if there:
        with open_store(folder) as opened:
            opened.put(b"question", b"answer")
    folder.chmod(0o555)
    for path in folder.iterdir():
        path.chmod(0o444)
    before = {path.name for path in folder.iterdir()}
    with as_nobody(), open_store(folder) as opened:
        assert "Permission denied" in left_over(opened)
    assert {path.name for path in folder.iterdir()} == before
    folder.chmod(0o755)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Modes do not bind root, who is somebody else for so long."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("what", [b"no database at all, but long enough to be taken for one\n" * 40, b"SQLite"])
def test_what_is_no_database_is_set_aside_and_the_next_run_begins_anew(tmp_path: Path, what: bytes) -> None:
    (tmp_path / NAME).write_bytes(what)
    with open_store(tmp_path) as opened:
        assert f"is damaged (file is not a database) and was set aside as {SET_ASIDE}" in left_over(opened)
    assert (tmp_path / SET_ASIDE).read_bytes() == what
    with open_store(tmp_path) as opened:
        opened.put(b"question", b"answer")
        assert opened.get(b"question") == b"answer"


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    with open_store(tmp_path) as opened:
        opened.put(b"question", b"answer")
        assert opened.get(b"question") == b"answer"


def test_a_later_format_is_left_as_it_is(filled: Path) -> None:
    rows(filled, f"PRAGMA user_version = {FORMAT + 1}")
    before = (filled / NAME).read_bytes()
    with open_store(filled) as opened:
        assert f"a later sway-gguf wrote it (format {FORMAT + 1}; this one reads {FORMAT})" in left_over(opened)
    assert (filled / NAME).read_bytes() == before


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    rows(tmp_path, "CREATE TABLE theirs (x)")
    before = (tmp_path / NAME).read_bytes()
    with open_store(tmp_path) as opened:
        assert "another program's database" in left_over(opened)
    assert (tmp_path / NAME).read_bytes() == before


def test_tables_that_are_not_ours_are_damage(filled: Path) -> None:
    rows(filled, "ALTER TABLE answers RENAME COLUMN value TO worth")
    with open_store(filled) as opened:
        assert "is damaged (no such column: value)" in left_over(opened)


def test_a_full_disk(filled: Path) -> None:
    """SQLite is told that the file may not grow, which it takes as it takes a full disk."""
    with open_store(filled) as opened:
        pages = opened.file.all("PRAGMA page_count")[0][0]
        opened.file.all(f"PRAGMA max_page_count = {pages}")
        assert opened.get(request(5)) == value(5)
        opened.put(b"large", os.urandom(1 << 20))
        assert "database or disk is full" in left_over(opened)
    with open_store(filled) as opened:
        assert [opened.get(request(number)) for number in range(MANY)] == [value(number) for number in range(MANY)]


def test_a_file_held_for_too_long(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_file, "_PATIENCE", 0.2)
    holder = sqlite3.connect(filled / NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with open_store(filled) as opened:
        assert opened.get(request(1)) == value(1)  # readers wait for nobody
        opened.put(b"question", b"answer")
        assert "another process held it" in left_over(opened)
    holder.execute("ROLLBACK")
    holder.close()


def test_a_file_held_for_a_moment_is_waited_for(filled: Path) -> None:
    holder = sqlite3.connect(filled / NAME, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    with open_store(filled) as opened:
        timer = threading.Timer(0.5, lambda: holder.execute("COMMIT"))
        timer.start()
        opened.put(b"question", b"answer")
        timer.join()
        assert opened.get(b"question") == b"answer"
    holder.close()


@pytest.mark.skipif(sys.platform == "win32", reason="these doors are those of Unix")
@pytest.mark.parametrize("door", ["unix-dotfile", "unix-none"])
def test_a_disk_without_memory_that_processes_share(tmp_path: Path, door: str) -> None:
    store = AnswerStore(StoreFile(tmp_path, vfs=door))
    assert "no memory that processes share" in left_over(store)


MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,relatime shared:5 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/me/local\\040disk rw,relatime - xfs /dev/sdb1 rw
32 22 0:41 / /mnt rw - ext4 /dev/sdc1 rw
33 32 0:42 / /mnt rw - cifs //server/share rw
34 22 0:43 / /homeless rw - tmpfs tmpfs rw
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows names its shares in the path")
@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/cache", ""),
        ("/home/me/.cache/sway-gguf", "nfs4"),
        ("/home/me/local disk/store", ""),
        ("/mnt/store", "cifs"),
        ("/homeless/store", ""),
    ],
)
def test_a_network_disk_is_known_by_its_mount(folder: str, kind: str) -> None:
    assert network_disk(Path(folder), MOUNTS) == kind


def test_a_store_is_not_begun_on_a_network_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_file, "network_disk", lambda folder: "nfs4")
    with open_store(tmp_path / "store") as opened:
        assert "network disk (nfs4)" in left_over(opened)
    assert not (tmp_path / "store").exists()


def test_a_damaged_row_is_a_miss_and_goes(filled: Path) -> None:
    rows(filled, "UPDATE answers SET value = zeroblob(length(value)) WHERE id = 8")
    rows(filled, "UPDATE answers SET value = 5 WHERE id = 9")
    rows(filled, "UPDATE answers SET checksum = x'00' WHERE id = 10")
    rows(filled, "UPDATE answers SET key = (SELECT zeroblob(32)) WHERE id = 11")
    with open_store(filled) as opened:
        assert [opened.get(request(number)) for number in range(7, 11)] == [None] * 4
        assert opened.get(b"") is None
        assert opened.get(request(11)) == value(11)
        assert opened.trouble == ""
    assert rows(filled, "SELECT id FROM answers WHERE id BETWEEN 8 AND 11") == [(11,)]


def test_a_damaged_request_is_not_drawn(filled: Path) -> None:
    rows(filled, "UPDATE answers SET request = zeroblob(9) WHERE id <= 100")
    rows(
        filled, "UPDATE answers SET request = (SELECT request FROM answers WHERE id = 201) WHERE id BETWEEN 101 AND 200"
    )
    with open_store(filled) as opened:
        assert len(opened.sample(MANY)) == MANY - 200
        assert opened.trouble == ""


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=200)), min_size=1, max_size=6),
    st.booleans(),
)
@example(scars=[(0.37406282707900806, b"\x00")], cut=False)
def test_no_damage_gives_a_wrong_answer_or_an_error(
    filled: Path, tmp_path_factory: pytest.TempPathFactory, scars: list[tuple[float, bytes]], cut: bool
) -> None:
    """Garbage at random places of the file: each answer is right or is none, and the next run but one has a store."""
    folder = tmp_path_factory.mktemp("damaged")
    image = bytearray((filled / NAME).read_bytes())
    for place, garbage in scars:
        at = int(place * len(image))
        image[at : at + len(garbage)] = garbage
    (folder / NAME).write_bytes(image[: int(scars[0][0] * len(image))] if cut else image)
    with open_store(folder) as opened:
        for number in range(MANY):
            assert opened.get(request(number)) in (None, value(number))
        opened.put(request(MANY), value(MANY))
        assert all(kept == value(int(asked[420:])) for asked, kept in opened.sample(MANY))
    for _ in range(3):
        with open_store(folder) as opened:
            opened.put_many([(request(number), value(number)) for number in range(MANY)])
            whole = [opened.get(request(number)) for number in range(MANY)]
            if opened.on:
                break
    # A damaged key of the index may hide neighbours, which are asked again.
    assert all(kept in (None, value(number)) for number, kept in enumerate(whole))
    assert sum(kept is not None for kept in whole) > MANY // 2


def test_an_index_that_names_rows_which_are_not_there_is_damage_and_no_endless_work(filled: Path) -> None:
    """The index is hidden from SQLite while the rows go."""
    with sqlite3.connect(filled / NAME, isolation_level=None) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        kept = connection.execute("SELECT * FROM sqlite_master WHERE name = 'answers_by_use'").fetchall()
        connection.execute("DELETE FROM sqlite_master WHERE name = 'answers_by_use'")
    connection.close()
    rows(filled, "DELETE FROM answers")
    with sqlite3.connect(filled / NAME, isolation_level=None) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.executemany("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
    connection.close()
    with open_store(filled) as opened:
        opened.clear()
        assert "is damaged" in left_over(opened)


@pytest.mark.skipif(sys.platform == "win32", reason="there an open file cannot be moved, lock or not")
def test_a_damaged_file_stays_while_another_uses_it(filled: Path) -> None:
    """SQLite's log belongs to a name: whoever moved the file from under another would mix two files' logs."""
    with open_store(filled) as other:
        image = bytearray((filled / NAME).read_bytes())
        image[4096:] = b"\xff" * (len(image) - 4096)
        (filled / NAME).write_bytes(image)
        with open_store(filled) as opened:
            opened.get(request(1))
            assert "stays while another process uses it" in opened.trouble
        assert (filled / NAME).exists()
        other.get(request(2))
        assert "set aside" in other.trouble
    assert (filled / SET_ASIDE).exists()


# Held against the model


def test_a_check_tells_what_agrees_and_removes_what_does_not(filled: Path) -> None:
    def again(asked: bytes) -> bytes | None:
        number = int(asked[420:])
        return None if number < 10 else b"otherwise" if number < 15 else value(number)

    with open_store(filled) as opened:
        assert checked(opened, 10 * MANY, again) == Checked(agreed=MANY - 15, differed=5, unknown=10)
        assert [opened.get(request(number)) is None for number in (9, 10, 14, 15)] == [False, True, True, False]
