"""`sway-gguf compare` and named baselines, on stored results and on one real run."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from sway_gguf.choose.compare import compare
from sway_gguf.cli.baselines import baseline_output, baseline_path, read_baseline
from sway_gguf.cli.main import cli
from sway_gguf.core.comparison import Movement
from sway_gguf.core.errors import UserError
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.result_json import from_json, to_json
from sway_gguf.report.changes import markdown_changes, print_changes, table_rows

RESULTS = Path(__file__).parent / "results"
DEMO = Path(__file__).parents[1] / "sway_gguf" / "data" / "demo"
HEALTHY, DAMAGING, INIT = (str(RESULTS / f"v1-{name}.json") for name in ("healthy", "damaging", "init"))


def stored(path: str) -> SuiteResult:
    return from_json(Path(path).read_text(encoding="utf-8"), path)


def test_what_differs_and_what_changed_stands_in_the_report() -> None:
    done = CliRunner().invoke(cli, ["compare", HEALTHY, DAMAGING])
    assert done.exit_code == 0
    assert "(damaging)" in done.output
    assert "differs in adapter: " in done.output
    assert "axis collateral: PASS → FAIL" in done.output
    assert "21 of 21 items got worse" in " ".join(done.output.split())


@pytest.mark.parametrize("newer", [1, 2])
@pytest.mark.parametrize("width", [60, 66, 72, 80, 100, 120, 160])
def test_no_number_of_the_table_is_cut_in_two(width: int, newer: int) -> None:
    """Names break behind underscores; everything else stands whole on a line, in a table of each result if need be."""
    shown = StringIO()
    found = [compare("old", stored(HEALTHY), f"new {n}", stored(DAMAGING)) for n in range(newer)]
    print_changes(found, Console(file=shown, width=width))
    lines = shown.getvalue().split("\n")
    assert max(map(len, lines)) <= width
    told = " ".join(lines).split()
    cells = [cell for _, *row in table_rows(found[:1], intervals=False) for cell in row]
    for word in " ".join(cells).replace("INCONCLUSIVE", "INCONCL.").split():
        assert word in told


@pytest.mark.parametrize(("new", "code"), [(DAMAGING, 1), (HEALTHY, 0)])
def test_exit_code_is_one_on_a_regression_alone(new: str, code: int) -> None:
    assert CliRunner().invoke(cli, ["compare", HEALTHY, new, "--exit-code"]).exit_code == code


def test_other_items_are_refused_by_name_and_number_and_left_out_when_lenient() -> None:
    old = stored(HEALTHY)
    new = replace(old, probes=tuple(replace(probe, items=probe.items[1:]) for probe in old.probes))
    with pytest.raises(UserError, match=r"applied: 1 items stand in one result alone: 'Tolva is a small' \(in a\)"):
        compare("a", old, "b", new)
    found = compare("a", old, "b", new, lenient=True)
    assert [len(probe.only_old) for probe in found.probes if probe.name == "applied"] == [1]


def test_no_probe_in_common_is_refused() -> None:
    old = stored(HEALTHY)
    with pytest.raises(UserError, match="no probe in common"):
        compare("a", old, "b", replace(old, probes=()))


def test_a_result_of_this_version_compares_with_one_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    path.write_text(to_json(stored(HEALTHY)), encoding="utf-8")
    done = CliRunner().invoke(cli, ["compare", HEALTHY, str(path), "--json", "-"])
    record = json.loads(done.output)
    assert record["regressed"] is False
    assert {probe["movement"] for probe in record["comparisons"][0]["probes"]} <= {"~", "untested"}


def test_several_results_are_each_compared_with_the_first(tmp_path: Path) -> None:
    target = tmp_path / "changes.md"
    done = CliRunner().invoke(cli, ["compare", HEALTHY, DAMAGING, HEALTHY, "--markdown", str(target)])
    assert done.exit_code == 0, done.output
    heading = next(line for line in target.read_text(encoding="utf-8").splitlines() if line.startswith("| probe"))
    assert heading.count("Δ") == 2


def test_markdown_lets_no_name_break_its_table() -> None:
    old = stored(HEALTHY)
    hostile = replace(old, probes=tuple(replace(probe, name=f"<b>|{probe.name}") for probe in old.probes))
    text = markdown_changes([compare("a|b", hostile, "c", hostile)])
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in rows}) == 1
    assert "<b>" not in text.replace("\\<b\\>", "")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "con", "nul.old", "x" * 65, "ends."])
def test_a_baseline_has_a_name_that_is_safe_on_every_system(name: str) -> None:
    with pytest.raises(UserError, match="no name for a file"):
        baseline_path(name)


def test_an_unknown_baseline_names_those_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    baseline_path("main").parent.mkdir(parents=True)
    baseline_path("main").write_text(to_json(stored(HEALTHY)), encoding="utf-8")
    with pytest.raises(UserError, match=r"'mian'.*there: main"):
        read_baseline("mian")
    assert CliRunner().invoke(cli, ["compare", "--baselines"]).output == "main\n"


def test_a_run_is_kept_as_baseline_and_the_next_compared_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "sway.yaml"
    spec.write_text(
        f"version: 1\nmodels:\n  base: {{kind: gguf, base: '{DEMO / 'base.f32.gguf'}'}}\n"
        f"  ft: {{kind: gguf, base: '{DEMO / 'base.f32.gguf'}', adapter: '{DEMO / 'healthy.lora.gguf'}'}}\n"
        f"data: '{DEMO / 'document.md'}'\ndefaults: {{nulls: 0}}\nsuite:\n  - {{name: moved, kind: applied}}\n",
        encoding="utf-8",
    )
    for _ in range(2):  # the second takes the place of the first, which is kept
        done = CliRunner().invoke(cli, ["run", str(spec), "--save-baseline", "main", "--json", "now.json", "--force"])
        assert done.exit_code == 0, done.output
    kept = tmp_path / ".sway" / "baselines"
    assert sorted(path.name for path in kept.rglob("*.json")) == ["main.1.json", "main.json"]
    done = CliRunner().invoke(cli, ["compare", "--baseline", "main", "now.json", "--json", "-"])
    (probe,) = json.loads(done.output)["comparisons"][0]["probes"]
    assert (probe["movement"], probe["delta"]) == (Movement.UNDETECTED, 0.0)


def test_where_a_baseline_cannot_be_kept_it_stays_and_the_result_is_saved_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (written,) = baseline_output("main", [])
    written.save(to_json(stored(HEALTHY)))
    kept = tmp_path / ".sway" / "baselines"
    (kept / "replaced").write_text("no folder")
    with pytest.raises(UserError, match=r"cannot be kept.*saved as .*main\.saved-1\.json"):
        written.save(to_json(replace(stored(HEALTHY), seed=1)))
    assert [read_baseline(str(kept / name)).seed for name in ("main.json", "main.saved-1.json")] == [0, 1]


def test_where_files_cannot_be_linked_no_replaced_baseline_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "link", refused)
    (written,) = baseline_output("main", [])
    results = [to_json(replace(stored(HEALTHY), seed=seed)) for seed in range(3)]
    for each in results:
        written.save(each)
    kept = tmp_path / ".sway" / "baselines"
    found = [kept / "replaced" / "main.1.json", kept / "replaced" / "main.2.json", kept / "main.json"]
    assert [path.read_text(encoding="utf-8") for path in found] == results


def test_a_page_holds_one_comparison(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert CliRunner().invoke(cli, ["compare", HEALTHY, DAMAGING, "--html", str(page)]).exit_code == 0
    assert "damaging" in page.read_text(encoding="utf-8")
    refused = CliRunner().invoke(cli, ["compare", HEALTHY, DAMAGING, INIT, "--html", str(page)])
    assert "--html shows one comparison, and 3 files were given; give 2 to it" in str(refused.exception)


def test_no_name_in_markdown_mentions_anybody_or_links() -> None:
    old = stored(HEALTHY)
    hostile = replace(old, probes=tuple(replace(probe, name=f"@all https://x.y {probe.name}") for probe in old.probes))
    text = markdown_changes([compare("@me", hostile, "# new", hostile)])
    assert "@all" not in text
    assert "@me" not in text
    assert "https://" not in text
