"""Opening what the user gave: regular files alone, of a size that fits, and errors of one line."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, read_bytes, read_exact, read_utf8


def test_a_regular_file_is_read_with_plain_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert check_input(path) == len(path.read_bytes())
    assert read_utf8(path) == "one\ntwo\nthree\n"
    assert read_exact(path) == "one\r\ntwo\rthree\n"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    for path, complaint in ((tmp_path, "directory"), (tmp_path / "none", "cannot be read"), (Path("a\0b"), "null")):
        with pytest.raises(UserError, match=complaint):
            read_bytes(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_devices_are_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(UserError, match="a pipe or a device"):
            read_bytes(path)


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        (b"GGUF\x03\0\0\0", "this is a GGUF file, and a sway.yaml is wanted here"),
        (gzip.compress(b"text"), r"packed by gzip \(unpack it\), and a sway.yaml"),
        (b"PK\x03\x04", "an archive or an office document"),
        (b"%PDF-1.7", "a PDF"),
    ],
)
def test_what_is_given_for_a_text_and_is_none_is_named(tmp_path: Path, begun: bytes, said: str) -> None:
    (tmp_path / "f").write_bytes(begun)
    with pytest.raises(UserError, match=said):
        read_utf8(tmp_path / "f", "a sway.yaml", most=4)


def test_a_text_about_models_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "t.md").write_text("GGUF is a format.")
    assert read_utf8(tmp_path / "t.md") == "GGUF is a format."


def test_a_file_that_claims_a_terabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="1,099,511,627,776 bytes, and at most 1,000"):
        read_bytes(tmp_path / "sparse", most=1000)


def test_an_error_stays_one_printable_line_whatever_it_quotes() -> None:
    text = str(UserError("a\nb\x1b[31m\u202e\ud800\x85" + "x" * 10_000))
    assert text.startswith(r"a\nb\x1b[31m\u202e\ud800\x85xxx")
    assert len(text) < 5000
    assert str(UserError("café, “quoted” [v1]")) == "café, “quoted” [v1]"
