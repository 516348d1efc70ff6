"""Text of users, models and files stays text: on terminals, in JSON, in pictures, in any encoding."""

from __future__ import annotations

import io
import json
import os
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.core.plain import json_text, one_line, plain
from sway_gguf.core.result import Verdict
from sway_gguf.core.survival import DeploymentResult, SurvivalMatrix
from sway_gguf.report import numbers
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.plot import survival_svg
from tests.artifact_files import finish
from tests.command_line import COMMAND, complaint, spoken
from tests.test_cli import BASE, HEALTHY

HOSTILE = "a[/b] [v1] :smile: \x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2069 \x9b2J \x00 \ud800"


OBEYED = {"Cc", "Cs", "Zl", "Zp"}
ANYTHING = st.text(st.characters(codec=None) | st.sampled_from([*HOSTILE]))


def steers(text: str) -> list[str]:
    """Characters of `text` that a terminal would obey, or hide, or that turn its direction."""
    return [one for one in text if unicodedata.category(one) in OBEYED | {"Cf"} and one not in "\n\t"]


@given(ANYTHING)
def test_whatever_the_text_nothing_in_it_steers_a_terminal(text: str) -> None:
    assert OBEYED.isdisjoint(unicodedata.category(one) for one in plain(text) if one not in "\n\t")
    assert "\n" not in one_line(text)
    shown = json_text({text: [text]}, indent=1)
    assert OBEYED.isdisjoint(unicodedata.category(one) for one in shown if one != "\n")
    shown.encode("utf-8")
    assert json.loads(shown) == {text: [text]}


@pytest.mark.parametrize("number", [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x61C, 0x1B, 0x9B])
def test_escapes_and_marks_of_direction_are_spelled_out(number: int) -> None:
    assert plain(f"a{chr(number)}b").isascii()
    assert chr(number) not in json_text(chr(number))


def test_strings_on_the_console_are_no_markup_and_steer_nothing() -> None:
    stream = io.StringIO()
    console = PlainConsole(stream, width=200)
    table = Table()
    table.add_column("[bold]x")
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE)
    text = stream.getvalue()
    assert steers(text) == []
    assert text.count("a[/b] [v1] :smile: \\x1b[31mred") == 2
    assert "[bold]x" in text


def test_a_model_that_is_named_to_steer_the_terminal_is_inspected_and_told(tmp_path: Path) -> None:
    name = HOSTILE.replace("\x00", "").replace(" \ud800", "")
    path = tmp_path / "[v1] a[b].gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    finish(writer, path)
    for words in (("inspect", str(path)), ("inspect", str(path), "--json"), ("check", str(path), HEALTHY)):
        done = spoken(*words)
        assert done.returncode in (0, 2), done.stderr
        assert steers(done.stdout + done.stderr) == []
    assert "a[/b] [v1] :smile:" in spoken("inspect", str(path)).stdout
    assert json.loads(spoken("inspect", str(path), "--json").stdout)[0]["name"] == name


def test_numbers_that_are_not_finite_leave_json_sound(tmp_path: Path) -> None:
    assert json_text({"a": [float("inf"), 1.5]}, strict=False) == '{"a": [null, 1.5]}'
    real = read_lora(Path(HEALTHY))
    pairs = tuple(replace(pair, a=pair.a * np.float32(1e30), b=pair.b * np.float32(1e30)) for pair in real.pairs)
    write_lora(replace(real, pairs=pairs), tmp_path / "huge.gguf")
    done = spoken("inspect", str(tmp_path / "huge.gguf"), "--json")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout, parse_constant=pytest.fail)[0]
    assert len(card["modules"]) == 21


def test_entries_with_markup_in_their_names_are_planned_and_reported(tmp_path: Path) -> None:
    spec = tmp_path / "sway.yaml"
    spec.write_text(
        f"models:\n  base: {{base: {BASE}}}\n  ft: {{base: {BASE}, adapter: {HEALTHY}}}\n"
        'suite:\n  - {kind: adapter_health, name: "[/x] \\e[31m [v1] \\u202e"}\n  - {kind: leakage, name: "[/y]"}\n',
        encoding="utf-8",
    )
    for words in (("--dry-run",), (), ("--json", "-")):
        done = spoken("run", str(spec), *words)
        assert done.returncode == 0, done.stderr
        assert steers(done.stdout + done.stderr) == []
        assert "[/y]" in done.stdout


def test_a_wrong_path_cannot_steer_the_terminal() -> None:
    for words in (("check", BASE, f"no{HOSTILE}".replace("\x00", "").replace("\ud800", "")), ("check", "--\x1b[31m")):
        assert steers(complaint(*words)) == []


def test_a_picture_is_sound_xml_whatever_a_file_is_called() -> None:
    row = DeploymentResult(
        HOSTILE, "runtime", 10, 1, None, 1, 1, 0, 1, 1.0, (0.9, 1.0), 1, 1, 0, None, Verdict.FAIL, ""
    )
    root = ElementTree.fromstring(survival_svg(SurvivalMatrix((row,), 0.9, -0.1, "", (), f"{HOSTILE}.")))
    assert steers("".join(root.itertext())) == []


def printed(encoding: str, *words: str) -> str:
    done = spoken(*words, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_a_stdout_of_another_encoding_gets_all_lines(encoding: str) -> None:
    for words in (("inspect", BASE, HEALTHY), ("check", BASE, HEALTHY, "--dry-run"), ("probes",)):
        lines = printed(encoding, *words).splitlines()
        assert len(lines) == len(printed("utf-8", *words).splitlines())
    assert "||DW||" in printed(encoding, "inspect", BASE, HEALTHY)


def test_json_in_another_encoding_means_the_same(tmp_path: Path) -> None:
    path = tmp_path / "é漢😀.gguf"
    path.write_bytes(Path(HEALTHY).read_bytes())
    for encoding in ("ascii", "latin-1", "utf-8"):
        assert json.loads(printed(encoding, "inspect", str(path), "--json"))[0]["path"] == str(path)
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([*COMMAND, "inspect", str(path), "--json"], capture_output=True, env=environment, check=True)
    assert json.loads(done.stdout.decode("ascii"))[0]["path"] == str(path)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(6.84, "6.8 s"), (119.94, "119.9 s"), (119.96, "2 min 0 s"), (179.6, "3 min 0 s"), (200.4, "3 min 20 s")],
)
def test_a_duration_never_has_60_seconds(seconds: float, shown: str) -> None:
    assert numbers.seconds(seconds) == shown


@given(st.floats(0, 1e6))
def test_durations_and_sizes_carry_over(value: float) -> None:
    assert " 60 s" not in numbers.seconds(value)
    assert "1000" not in numbers.size(value)
    assert not numbers.parameters(int(value * 1e4)).startswith("1000.")
