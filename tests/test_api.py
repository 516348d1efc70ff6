"""The Python API: the page on it, run as it stands, and what it says where something is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sway_gguf
from sway_gguf import Result, check, gate, load_result, open_backend
from sway_gguf.api.arguments import progress_of
from sway_gguf.core.result import Verdict
from sway_gguf.errors import UnknownNameError, UserError
from sway_gguf.material.packaged import DEMO

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "tests" / "results"
BASE, HEALTHY = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"


@pytest.fixture
def healthy() -> Result:
    return load_result(RESULTS / "v1-healthy.json")


def test_the_page_on_python_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    assert len(blocks) >= 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "sway.yaml"]


def test_every_public_name_is_there_and_another_is_an_error() -> None:
    for name in sway_gguf.__all__:
        assert callable(getattr(sway_gguf, name))
        assert name in dir(sway_gguf)
    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        sway_gguf.chek  # noqa: B018
    with pytest.raises(ImportError, match="chek"):
        from sway_gguf import chek  # noqa: F401


def test_types_are_shipped() -> None:
    assert (ROOT / "sway_gguf" / "py.typed").exists()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["sway_gguf"]
    assert settings["project"]["entry-points"]["pytest11"] == {"sway_gguf": "sway_gguf.pytest_plugin"}
    assert "pandas" in settings["project"]["optional-dependencies"]


def test_a_result_reads_as_a_mapping(healthy: Result) -> None:
    assert healthy.diagnosis == "healthy"
    assert list(healthy) == [probe.name for probe in healthy.record.probes]
    assert "delta_kl" in healthy
    assert "nothing" not in healthy
    assert healthy.get("nothing") is None
    assert list(healthy.axes) == ["applied", "signal", "direction", "collateral", "leakage", "survival"]
    assert repr(healthy) == f"<sway_gguf.Result healthy: {healthy.headline}>"
    with pytest.raises(KeyError) as caught:
        healthy["delta_lk"]
    assert isinstance(caught.value, UnknownNameError)
    assert str(caught.value) == "'delta_lk' is no probe of this run, did you mean 'delta_kl'?"


def test_frames_hold_the_numbers_of_the_record(healthy: Result) -> None:
    frame, items = healthy.to_frame(), healthy.to_frame("items")
    assert list(frame.index) == list(healthy)
    null = healthy["delta_kl"].null
    assert null is not None
    assert frame.loc["delta_kl", "null_mean"] == null.mean
    assert (frame.loc["delta_kl", "low"], frame.loc["delta_kl", "high"]) == healthy["delta_kl"].interval
    assert list(items["value"]) == [item.value for probe in healthy.values() for item in probe.items]
    with pytest.raises(UserError, match="neither 'probes' nor 'items', did you mean 'items'"):
        healthy.to_frame("item")


def test_without_pandas_the_extra_is_named(healthy: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"sway-gguf\[pandas\]"):
        healthy.to_frame()


def test_save_replaces_results_alone(healthy: Result, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert healthy.save(path) == path
    assert healthy.save(str(path)) == path
    assert load_result(path) == healthy
    with pytest.raises(UserError, match=r"r\.doc: no format by its ending"):
        healthy.save(tmp_path / "r.doc")
    other = tmp_path / "notes.json"
    other.write_text("my own", encoding="utf-8")
    with pytest.raises(UserError, match="no result of ours"):
        healthy.save(other)
    assert other.read_text(encoding="utf-8") == "my own"
    healthy.save(other, force=True)
    assert load_result(other) == healthy
    assert sorted(each.name for each in tmp_path.iterdir()) == ["notes.json", "r.json"]


class Elements(HTMLParser):
    """Tags that are open when text comes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_card_is_self_contained_and_words_stay_words(healthy: Result) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=y>\x1b[31m"
    record = healthy.record
    probes = tuple(replace(probe, name=f"{hostile}{n}", unit=hostile) for n, probe in enumerate(record.probes))
    axes = tuple(replace(axis, reason=hostile) for axis in record.axes)
    shown = Result(replace(record, headline=hostile, learned=hostile, probes=probes, axes=axes))._repr_html_()
    page = Elements()
    page.feed(shown)
    assert set(page.tags) <= {"div", "p", "span", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    assert hostile.replace("\x1b", "\\x1b") in page.text
    assert "HEALTHY" in page.text
    assert "http" not in shown
    assert len(healthy._repr_html_()) < 40_000


def test_a_gate_fails_for_a_failed_axis_and_for_what_was_required(healthy: Result) -> None:
    assert gate(healthy)
    assert gate(healthy).exit_code == 0
    unanswered = next(axis for axis, found in healthy.axes.items() if found.verdict == Verdict.SKIP)
    missing = gate(RESULTS / "v1-healthy.json", require=[unanswered])
    assert not missing
    assert f"axis {unanswered}: required, and not answered" in repr(missing)
    noise = gate(RESULTS / "v1-noise.json")
    assert (bool(noise), noise.exit_code) == (False, 1)
    assert "axis signal" in repr(noise)
    assert f"gate: {noise.outcome}" in noise._repr_html_()
    with pytest.raises(UserError, match="did you mean 'signal'"):
        gate(healthy, require=["singal"])


def test_an_open_axis_passes_unless_it_is_strict_and_an_error_always_fails(healthy: Result) -> None:
    def with_axis(verdict: Verdict) -> Result:
        axes = tuple(replace(each, verdict=verdict if each.axis == "signal" else Verdict.PASS) for each in record.axes)
        return Result(replace(record, axes=axes))

    record = healthy.record
    assert gate(with_axis(Verdict.INCONCLUSIVE))
    assert gate(with_axis(Verdict.INCONCLUSIVE), strict=True).exit_code == 3
    assert gate(with_axis(Verdict.ERROR)).exit_code == 1
    broken = tuple(replace(probe, verdict=Verdict.ERROR, optional=True) for probe in record.probes[:1])
    assert not gate(Result(replace(record, probes=broken)))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"base": 3}, "base: a path is wanted, this is int"),
        ({"data": [HEALTHY, 3]}, "data: a path is wanted, this is int"),
        ({"base": "none.gguf"}, "none.gguf"),
        ({"budget": "soon"}, "budget: 'soon' is no duration"),
        ({"budget": -3}, "budget: -3 is no duration"),
        ({"nulls": -1}, "the call: 'nulls'"),
        ({"threads": "many"}, "the call: 'threads'"),
        ({"format": "none.jinja"}, "none.jinja"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_run(arguments: dict[str, object], complaint: str) -> None:
    given: dict[str, object] = {"base": BASE, "adapter": HEALTHY} | arguments
    with pytest.raises(UserError, match=re.escape(complaint)):
        check(**given)  # type: ignore[arg-type]


def test_open_backend_names_what_is_wrong() -> None:
    with pytest.raises(UserError, match=r"open_backend\(\): 'context'"):
        open_backend(BASE, HEALTHY, context=3)


def test_progress_is_told_in_sums_or_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int, str]] = []
    with progress_of(lambda *words: told.append(words))(10) as advance:
        advance("base", 4)
        advance("tuned", 6)
    assert told == [(4, 10, "base"), (10, 10, "tuned")]
    with progress_of(False)(10) as advance:
        advance("base", 10)
    assert capsys.readouterr() == ("", "")


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "sway_gguf", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(sway_gguf.__version__)
