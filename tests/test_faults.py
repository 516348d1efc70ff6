"""What commands do where the machine fails them: one line and nothing half-written, or their work all the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.cli.held import held_by
from sway_gguf.report import numbers
from tests.faults import BASE, HEALTHY, MOUNTS, READERS, RESULTS, SUITE, WRITERS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts disks and limits memory as Linux does")
ROOT = Path(__file__).parents[1]
RUN = "from sway_gguf.cli.start import main; main()"
Found = dict[str, dict[str, dict[str, Any]]]
"""By fault and command, what came of it."""


def in_a_namespace_of_mounts() -> list[str]:
    """Words before a command that let it mount what nobody else sees; none where the system does not let us."""
    words = ["unshare", "-Urm"]
    allowed = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    return words if allowed else []


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """All faults, tried in one process that imports everything once."""
    command = [
        *in_a_namespace_of_mounts(),
        sys.executable,
        "-m",
        "tests.faults",
        str(tmp_path_factory.mktemp("faults")),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said: Found = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        said.setdefault(one["fault"], {})[one.get("command", "")] = one
    return said


def of(found: Found, fault: str) -> dict[str, dict[str, Any]]:
    """What came of a fault; without a disk of its own it is skipped."""
    if fault in MOUNTS and "" in found[fault]:
        pytest.skip(f"no disk can be mounted: {found[fault]['']['left out']}")
    return found[fault]


def refusal(one: dict[str, Any]) -> str:
    """The line that a command ended with; what it said before on stderr tells what it was doing."""
    assert one["code"] == 2, (one["command"], one["code"], one["err"][-600:])
    assert "Traceback" not in one["err"]
    *before, last = one["err"].splitlines()
    assert last.startswith("sway-gguf: "), one
    assert not any(line.startswith("sway-gguf: ") for line in before), one
    return str(last)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(found: Found) -> None:
    tried = of(found, "disk full")
    for name in WRITERS:
        said = refusal(tried[name])
        assert "No space left" in said or "the disk may be full" in said, (name, said)
        left = [path for path in tried[name]["left"] if path not in ("work/.lock", "out/table.jsonl")]
        assert left == [], name
        assert "saved as" in said or name not in ("run", "report"), said  # what was measured is never lost


def test_a_store_or_cache_on_a_full_disk_costs_no_verdict(found: Found) -> None:
    for name in ("store", "cache"):
        one = of(found, "disk full")[name]
        assert one["code"] == 0
        assert json.loads(one["out"])["axes"][0]["verdict"] == "PASS"
        (line,) = [line for line in one["err"].splitlines() if "store" in line]
        assert "is not used: " in line


def test_a_disk_that_may_only_be_read_is_one_line_before_the_work(found: Found) -> None:
    tried = of(found, "read-only")
    for name in WRITERS:
        assert "cannot be" in refusal(tried[name])
    assert tried["store"]["code"] == 0
    assert "is not used: Read-only file system" in tried["store"]["err"]


def test_inputs_and_the_working_folder_may_be_on_such_a_disk(found: Found) -> None:
    for name in READERS:
        one = of(found, "read-only")[f"{name} there"]
        assert (one["code"], "read-only" in one["err"].lower()) == (0, False), one


def test_short_memory_ends_in_one_line_or_in_the_verdict(found: Found) -> None:
    tried = list(of(found, "memory short").values())
    codes = [one["code"] for one in tried]
    assert codes[0] == 2, tried[0]
    assert codes[-1] == 0, tried[-1]
    for one in tried:
        if one["code"]:
            assert "memory" in refusal(one), one
        else:
            assert json.loads(one["out"])["axes"][0]["verdict"] == "PASS"


def test_a_user_without_a_home_gets_the_verdict_and_a_line_on_the_store(found: Found) -> None:
    tried = of(found, "no home")
    for name in READERS:
        assert (tried[name]["code"], tried[name]["left"]) == (0, []), tried[name]
    assert "this user has no home folder; name a folder by SWAY_GGUF_CACHE" in tried["run"]["err"]
    for name in ("store info", "demo --real"):
        assert "SWAY_GGUF_CACHE" in refusal(tried[name])


def test_a_reader_that_went_away_is_no_error_and_files_are_written(found: Found) -> None:
    tried = of(found, "nobody reads")
    for name, one in tried.items():
        assert (one["code"], "Traceback" in one["err"]) == (0, False), (name, one)
    assert tried["run to a file"]["left"] == ["r.json"]


def test_on_a_terminal_of_twenty_columns_nothing_is_lost(found: Found) -> None:
    for name, one in of(found, "narrow").items():
        assert (one["code"], one["err"]) == (0, ""), (name, one)
        assert one["out"].strip(), name
    words = " ".join(of(found, "narrow")["report"]["out"].split())
    record = json.loads((RESULTS / "v1-healthy.json").read_text(encoding="utf-8"))
    shown = [numbers.number(probe["value"]) for probe in record["probes"] if probe["value"] is not None]
    assert len(shown) > 5
    assert [each for each in shown if each not in words] == []


def started(folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    known = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])} | variables
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *words], cwd=folder, env=known, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("started_at", "timings")}


def test_two_runs_at_once_on_one_store_and_one_output(tmp_path: Path) -> None:
    (tmp_path / "sway.yaml").write_text(SUITE, encoding="utf-8")
    words = ("run", "sway.yaml", "--json", "r.json", "--store", "store")
    both = [started(tmp_path, *words) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [err for _, err in said if "store" in err] == []
    at_once = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    alone = started(tmp_path, "run", "sway.yaml", "--json", "-", "--no-store").communicate(timeout=120)[0]
    assert without_times(at_once) == without_times(json.loads(alone))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "store", "sway.yaml"]


def test_two_merges_at_once_into_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    words = ("merge", BASE, HEALTHY, "--type", "F16", "-o", "m.gguf", "--force")
    both = [started(tmp_path, *words) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    file = GGUFFile(tmp_path / "m.gguf")
    assert all(file.read(name).size for name in file.tensors)


NAME = "é ü 日本 « »"


def test_the_c_locale_reads_and_writes_names_and_words_beyond_ascii(tmp_path: Path) -> None:
    """Python takes a locale of ASCII for one of UTF-8, unless it is told not to, as here."""
    place = tmp_path / NAME
    place.mkdir()
    for source, name in ((BASE, "bäse.gguf"), (HEALTHY, "adäpter.gguf"), (str(RESULTS / "v1-healthy.json"), "ö.json")):
        shutil.copy(source, place / name)
    (place / "dätä.md").write_text("# Überschrift\n\nGrüße aus Zürich, 日本語. Noch ein Satz.\n", encoding="utf-8")
    suite = SUITE.replace(BASE, "bäse.gguf").replace(HEALTHY, "adäpter.gguf")
    lines = [line for line in suite.splitlines() if not line.startswith("data:")] + ["data: dätä.md"]
    (place / "süite.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plain = {"LC_ALL": "C", "LANG": "", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    outputs = ("--json", "räsult.json", "--html", "räsult.html", "--markdown", "räsult.md", "--store", "störe")
    done = started(place, "run", "süite.yaml", *outputs, **plain)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert "is not used" not in err
    record = json.loads((place / "räsult.json").read_text(encoding="utf-8"))
    assert record["axes"][0]["verdict"] == "PASS"
    assert os.fsencode(record["files"][0]["path"]) == "bäse.gguf".encode()
    assert held_by(place / "räsult.html") == "result"
    assert (place / "störe" / "answers.sqlite").exists()
    for words in (("merge", "bäse.gguf", "adäpter.gguf", "--type", "Q8_0", "-o", "mérged.gguf"), ("report", "ö.json")):
        done = started(place, *words, **plain)
        out, err = done.communicate(timeout=120)
        assert done.returncode == 0, err
    assert (place / "mérged.gguf").stat().st_size > 1 << 20
    assert out.strip()
