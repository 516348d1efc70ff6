"""The terminal report: every number whole at every width, colour only where it is wanted, and any locale."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sway_gguf.core.result_json import from_json
from sway_gguf.report import numbers
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.probe_list import print_kind
from sway_gguf.report.terminal import print_result

RESULTS = sorted((Path(__file__).parent / "results").glob("*.json"))
PRINTS = """
import sys
from pathlib import Path
from sway_gguf.cli.output import drawing, in_any_encoding
from sway_gguf.core.result_json import from_json
from sway_gguf.report.terminal import print_result
in_any_encoding()
with drawing() as console:
    print_result(from_json(Path(sys.argv[1]).read_text(encoding="utf-8"), "result"), console)
"""


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_no_line_is_too_long_and_no_number_or_part_of_a_name_is_cut_at_any_width(path: Path) -> None:
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    for width in (*range(60, 155, 3), 79, 80, 149, 150, *range(155, 301, 29)):
        stream = io.StringIO()
        print_result(result, PlainConsole(stream, width=width))
        drawn = stream.getvalue()
        assert max(len(line) for line in drawn.splitlines()) <= width
        for probe in result.probes:
            cells = [numbers.number(probe.value), numbers.span(probe.interval)]
            cells += [numbers.z_score(probe.null.z), numbers.p_value(probe.null.family_p)] if probe.null else []
            cells += re.split("(?<=_)", probe.name)
            assert [cell for cell in cells if cell not in drawn] == [], width
        words = "".join(drawn.split())
        assert "".join(result.headline.split()) in words


def printed(**environment: str) -> bytes:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    run = subprocess.run(
        [sys.executable, "-c", PRINTS, str(RESULTS[1])],
        capture_output=True,
        check=True,
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    return run.stdout


def test_a_pipe_gets_no_colour_unless_it_is_forced_and_never_against_no_color() -> None:
    assert b"\x1b" not in printed()
    assert b"\x1b[1;30;42m" in printed(FORCE_COLOR="1")
    assert b"\x1b[3" not in printed(FORCE_COLOR="1", NO_COLOR="1")
    assert b";42m" not in printed(FORCE_COLOR="1", NO_COLOR="1")


def test_a_locale_without_unicode_gets_ascii_that_reads() -> None:
    drawn = printed(LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0", COLUMNS="100")
    assert drawn.isascii()
    assert b"\\u" not in drawn
    assert max(map(len, drawn.splitlines())) <= 100


def test_what_a_probe_means_reads_as_paragraphs_and_points() -> None:
    out = io.StringIO()
    card = {"kind": "k", "axis": "signal", "unit": "nats", "question": "Is it?", "passing": "so", "caveat": "not"}
    definition = "One line of a\ndocstring and another.\n\nA list:\n- first, which goes\n  on here;\n- second."
    print_kind({**card, "definition": definition, "fields": {}}, PlainConsole(out, 60))
    told = "\nOne line of a docstring and another.\n\nA list:\n- first, which goes on here;\n- second.\n"
    assert told in out.getvalue()
