"""The pages on faults and on independent numbers name commands and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["reliability", "independent"])
def test_every_command_of_the_page_is_there(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    tests = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", text)
    modules = re.findall(r"`python -m ([\w.]+)", text)
    assert len(tests) + len(modules) > 5
    for file, name in tests:
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in source or not name, f"{file}::{name}"
    for target in re.findall(r"`make (\w+)", text):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), target
    for module in modules:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_every_row_of_the_table_of_faults_names_what_shows_it() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith(("| fault", "|--"))]
    faults = [row for row in rows if row.count("|") == 4 and not re.match(r"\| (kind|command) ", row)]
    assert len(faults) > 35
    assert [row for row in faults if not re.search(r"`(test_\w+\.py|make \w+)", row.split("|")[3])] == []
