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
from sway_gguf import Result, check, compare, gate, load_result, open_backend
from sway_gguf.api.arguments import progress_of
from sway_gguf.api.gating import asked_of
from sway_gguf.core.comparison import Movement
from sway_gguf.core.gate import Outcome
from sway_gguf.core.result import Verdict
from sway_gguf.errors import UnknownNameError, UserError
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import load_spec

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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "result.json", "sway.yaml"]


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


def test_limits_of_the_call_take_the_place_of_a_spec_s(healthy: Result, tmp_path: Path) -> None:
    path = tmp_path / "sway.yaml"
    path.write_text(
        f"models: {{base: {{base: '{BASE}'}}, ft: {{base: '{BASE}', adapter: '{HEALTHY}'}}}}\n"
        "suite: [{kind: delta_kl, informational: true}]\n"
        "gate: {require: [signal], max_loss: 0.1, strict: true, probes: {delta_kl: {min: 0.05}}}\n",
        encoding="utf-8",
    )
    spec = load_spec(path)
    rules, before = asked_of(spec)
    assert (rules.require, rules.max_loss, rules.strict, before) == (("signal",), 0.1, True, None)
    assert (rules.probes["delta_kl"].min, rules.probes["delta_kl"].informational) == (0.05, True)
    rules, before = asked_of(spec, require=[], max_loss=0.3, baseline=healthy)
    assert (rules.require, rules.max_loss, rules.strict, before) == ((), 0.3, True, healthy)


def test_a_gate_takes_limits_and_a_baseline(healthy: Result) -> None:
    lift = healthy["section_internalization"].value
    assert lift is not None
    missed = gate(healthy, min_lift=lift + 100)
    assert missed.exit_code == 1
    line = missed.line(f"min-lift {lift + 100:g}, section_internalization")
    assert line is not None
    assert line.outcome == Outcome.FAIL
    assert gate(healthy, baseline=healthy)
    assert gate(healthy, baseline=RESULTS / "v1-healthy.json")
    for wrong, complaint in (
        ({"max_loss": -1}, "gate(): 'max_loss'"),
        ({"threshold": 2}, "gate(): 'threshold'"),
        ({"baseline": "nightly"}, "baseline 'nightly': no file, and not kept"),
        ({"baseline": 3}, "baseline: a path is wanted, this is int"),
    ):
        with pytest.raises(UserError, match=re.escape(complaint)):
            gate(healthy, **wrong)  # type: ignore[arg-type]


def test_what_changed_reads_as_a_mapping_too(healthy: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = compare(healthy, RESULTS / "v1-healthy.json")
    assert not same.regressed
    assert list(same) == list(healthy)
    assert "no regression" in repr(same)
    general = healthy["external_perplexity"]
    assert general.value is not None
    fallen = replace(
        general, value=general.value - 1, items=tuple(replace(item, value=item.value - 1) for item in general.items)
    )
    probes = tuple(fallen if probe is general else probe for probe in healthy.record.probes)
    after = Result(replace(healthy.record, probes=probes))
    worse = compare(healthy, after)
    assert worse.regressed
    assert worse["external_perplexity"].movement == Movement.WORSE
    assert worse["external_perplexity"].delta == pytest.approx(-1)
    assert "external_perplexity: worse" in repr(worse)
    assert "REGRESSED" in worse._repr_html_()
    frame = worse.to_frame()
    assert frame.loc["external_perplexity", "holm_p"] == worse["external_perplexity"].holm_p
    assert list(worse.to_frame("items").loc["external_perplexity", "delta"]) == pytest.approx([-1] * len(general.items))
    assert not gate(after, baseline=healthy)
    with pytest.raises(UnknownNameError, match="did you mean 'delta_kl'"):
        worse["delta_lk"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".sway" / "baselines").mkdir(parents=True)
    healthy.save(tmp_path / ".sway" / "baselines" / "nightly.json")
    assert compare("nightly", after).record.old_name == "nightly"


def test_only_what_is_in_both_is_compared_where_it_is_lenient(healthy: Result) -> None:
    general = healthy["external_perplexity"]
    fewer = tuple(replace(p, items=p.items[1:]) if p is general else p for p in healthy.record.probes)
    after = Result(replace(healthy.record, probes=fewer))
    with pytest.raises(UserError, match="external_perplexity: 1 items stand in one result alone"):
        compare(healthy, after)
    assert compare(healthy, after, lenient=True)["external_perplexity"].only_old == (general.items[0].label,)


def test_save_writes_every_format_that_has_an_ending(healthy: Result, tmp_path: Path) -> None:
    starts = {"r.html": "<!doctype html>", "r.md": "<!-- sway-gguf:", "r.xml": "<?xml", "r.svg": "<svg", "r.txt": ""}
    for name, start in starts.items():
        assert healthy.save(tmp_path / name).read_text(encoding="utf-8").lower().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"base": 3}, "base: a path is wanted, this is int"),
        ({"data": [HEALTHY, 3]}, "data: a path is wanted, this is int"),
        ({"base": "none.gguf"}, "none.gguf"),
        ({"budget": "soon"}, "budget: 'soon' is no duration"),
        ({"budget": -3}, "budget: -3 is no duration"),
        ({"nulls": -1}, "the call: 'nulls'"),
        ({"show": 99}, "the call: 'show'"),
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
    with progress_of(lambda *words: told.append(words))(10, 30) as advance:
        advance("base", 4)
        advance("tuned", 6)
        advance("null 8", 5)
    assert told == [(4, 10, "base"), (10, 10, "tuned"), (15, 30, "null 8")]
    with progress_of(False)(10, 10) as advance:
        advance("base", 10)
    assert capsys.readouterr() == ("", "")


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "sway_gguf", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(sway_gguf.__version__)
