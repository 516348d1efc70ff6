"""Where stderr is no terminal, a plain line now and then says how far a run is."""

from __future__ import annotations

import pytest

from sway_gguf.cli.progress import Lines, progress_bar


def test_a_line_every_30_seconds_with_share_speed_and_time_left() -> None:
    now, said = 100.0, list[str]()
    lines = Lines(10_000, said.append, lambda: now)
    for _ in range(20):
        now += 4.0
        lines.advance("null 7", 200)
    assert said == [
        "16% done, 50 tokens/s, 2 min 48 s left (null 7)",
        "32% done, 50 tokens/s, 2 min 16 s left (null 7)",
    ]


def test_more_work_than_planned_is_never_more_than_all() -> None:
    now, said = 0.0, list[str]()
    lines = Lines(100, said.append, lambda: now)
    now = 31.0
    lines.advance("tuned", 310)
    assert said == ["100% done, 10 tokens/s, 0.0 s left (tuned)"]


def test_where_the_first_look_does_not_decide_no_share_falls_back() -> None:
    """At 100 of 100 it goes on to 1,000 at most: 10% done, after 100%, would read as a fault."""
    now, said = 0.0, list[str]()
    lines = Lines(100, said.append, lambda: now, most=1000)
    for done in (90, 110):
        now += 31.0
        lines.advance("null 5", done)
    assert said == [
        "90% done, 3 tokens/s, 3.4 s left (null 5)",
        "it takes longer, 3 tokens/s, at most 4 min 8 s left (null 5)",
    ]


def test_a_pipe_gets_lines_and_no_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sway_gguf.cli.progress._EVERY", 0.0)
    with progress_bar(100) as advance:
        advance("base", 50)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("50% done")
    assert "\x1b" not in shown.err
