"""The pytest plugin on real results and a real suite: which items there are, and how each comes out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

# Loaded here, for pytester forgets what a run of it loaded, and parts of numpy cannot be loaded twice.
import numpy.fft  # noqa: F401
import pytest
import yaml

import sway_gguf.api.testing
from sway_gguf.core.measurement import AXES
from sway_gguf.core.result import SuiteResult, Verdict
from sway_gguf.core.result_json import from_json, to_json
from sway_gguf.material.packaged import DEMO

pytest_plugins = "pytester"

RESULTS = Path(__file__).parent / "results"
PLUGIN = "sway_gguf" if entry_points(group="pytest11", name="sway_gguf") else "sway_gguf.pytest_plugin"


def marked(*arguments: str) -> str:
    return f"""
        import pytest

        @pytest.mark.sway_gguf({", ".join(arguments)})
        def test_adapter():
            pass
    """


def turned(verdicts: dict[str, Verdict]) -> SuiteResult:
    """A real result with the verdicts of some axes and probes turned."""
    path = next(RESULTS.glob("v1-*.json"))
    found = from_json(path.read_text(encoding="utf-8"), path.name)
    axes = tuple(replace(each, verdict=verdicts.get(each.axis, Verdict.PASS)) for each in found.axes)
    probes = tuple(replace(each, verdict=verdicts.get(each.name, Verdict.PASS)) for each in found.probes)
    return replace(found, axes=axes, probes=probes)


def ran(pytester: pytest.Pytester, *words: str, plugins: tuple[str, ...] = ("no:xdist",)) -> pytest.RunResult:
    chosen = [word for name in (PLUGIN, *plugins) for word in ("-p", name)]
    # The run that this one is in has loaded the plugins already.
    quiet = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    return pytester.runpytest_inprocess(*chosen, *quiet, "--strict-markers", *words)


def test_a_suite_that_a_server_answers_has_its_items_too(tmp_path: Path) -> None:
    server = {"kind": "server", "base": "base.gguf", "url": "http://127.0.0.1:9"}
    models = {"base": server, "ft": {"base": "base.gguf", "adapter": "adapter.gguf"}}
    spec = {"version": 1, "models": models, "suite": [{"name": "moved", "kind": "applied"}]}
    (tmp_path / "sway.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    suite = sway_gguf.api.testing.asked_by(["sway.yaml"], {}, [tmp_path])
    assert suite.subjects() == [*(f"axis {axis}" for axis in AXES), "probe moved"]


def test_an_item_for_each_axis_and_probe_comes_out_as_it_did(pytester: pytest.Pytester) -> None:
    verdicts = {
        "signal": Verdict.FAIL,
        "delta_kl": Verdict.FAIL,
        "leakage": Verdict.SKIP,
        "direction": Verdict.INCONCLUSIVE,
        "collateral": Verdict.WARN,
        "applied": Verdict.ERROR,
    }
    result = turned(verdicts)
    (pytester.path / "r.json").write_text(to_json(result), encoding="utf-8")
    pytester.makepyfile(marked("result='r.json'"))
    done = ran(pytester, "-v", "-rs")
    count = len(AXES) + len(result.probes)
    # `applied` is an axis and a probe, both in error; a probe's FAIL is its axis's to tell.
    done.assert_outcomes(failed=1, errors=2, skipped=2, warnings=2, passed=count - 5)
    done.stdout.fnmatch_lines_random(
        [
            "*test_adapter[[]axis signal] FAILED*",
            "*test_adapter[[]probe delta_kl] PASSED*",
            "*AdapterWarning: probe delta_kl: FAIL: *",
            "*test_adapter[[]axis leakage] SKIPPED*",
            "*test_adapter[[]axis applied] ERROR*",
            "*AdapterWarning: axis collateral: WARN: *",
            "SKIPPED*axis direction: INCONCLUSIVE: *",
        ]
    )
    assert "Traceback" not in done.stdout.str()


def test_what_is_required_must_be_answered_and_strict_takes_nothing_open(pytester: pytest.Pytester) -> None:
    (pytester.path / "r.json").write_text(
        to_json(turned({"leakage": Verdict.SKIP, "direction": Verdict.INCONCLUSIVE})), encoding="utf-8"
    )
    pytester.makepyfile(
        test_required=marked("result='r.json'", "require=['leakage']"),
        test_strict=marked("result='r.json'", "strict=True"),
    )
    required = ran(pytester, "test_required.py")
    required.assert_outcomes(failed=1, skipped=1, passed=required.parseoutcomes()["passed"])
    required.stdout.fnmatch_lines(["*axis leakage: SKIP: required, and not answered: *"])
    strict = ran(pytester, "test_strict.py")
    strict.assert_outcomes(failed=1, skipped=1, passed=strict.parseoutcomes()["passed"])
    strict.stdout.fnmatch_lines(["FAILED *axis direction*"])


def test_a_limit_is_an_item_too(pytester: pytest.Pytester) -> None:
    result = turned({})
    (pytester.path / "r.json").write_text(to_json(result), encoding="utf-8")
    pytester.makepyfile(marked("result='r.json'", "max_loss=1000", "min_lift=1000", "baseline='r.json'"))
    done = ran(pytester, "-v")
    done.assert_outcomes(failed=1, passed=len(AXES) + len(result.probes) + 2)
    done.stdout.fnmatch_lines_random(
        [
            "*test_adapter[[]gate max-loss 1000] PASSED*",
            "*test_adapter[[]gate min-lift 1000] FAILED*",
            "*test_adapter[[]gate baseline] PASSED*",
        ]
    )


def test_the_section_of_a_spec_gives_items_before_anything_is_run(pytester: pytest.Pytester) -> None:
    suite_in(pytester.path)
    with (pytester.path / "sway.yaml").open("a", encoding="utf-8") as spec:
        spec.write("gate: {min_lift: 0.5, probes: {moved: {min: 0.25, max: 2}}}\n")
    pytester.makepyfile(marked("'sway.yaml'"))
    done = ran(pytester, "--collect-only", "-q")
    found = [line.partition("[")[2].rstrip("]") for line in done.outlines if "[gate" in line]
    assert found == ["gate min-lift 0.5", "gate moved min 0.25", "gate moved max 2"]


def test_a_pass_with_a_reservation_is_a_warning(pytester: pytest.Pytester) -> None:
    # The gate excuses a signal that failed where the direction is sure, and says so.
    (pytester.path / "r.json").write_text(to_json(turned({"signal": Verdict.FAIL})), encoding="utf-8")
    pytester.makepyfile(marked("result='r.json'"))
    done = ran(pytester)
    done.assert_outcomes(passed=done.parseoutcomes()["passed"], warnings=1)
    done.stdout.fnmatch_lines(["*AdapterWarning: axis signal: FAIL: excused by a sure move*"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["'none.yaml'"], "none.yaml: cannot be read"),
        (["result='r.json'", "require=['singal']"], "did you mean 'signal'"),
        (["result='r.json'", "strickt=True"], "did you mean 'strict'"),
        ([], "give a spec or a result"),
    ],
)
def test_a_wrong_marker_is_one_line_at_collection(
    pytester: pytest.Pytester, arguments: list[str], complaint: str
) -> None:
    (pytester.path / "r.json").write_text(to_json(turned({})), encoding="utf-8")
    pytester.makepyfile(marked(*arguments))
    done = ran(pytester)
    done.assert_outcomes(errors=1)
    assert complaint in done.stdout.str()
    assert "Traceback" not in done.stdout.str()


def suite_in(folder: Path, adapter: str = "healthy") -> None:
    base = str(DEMO / "base.f32.gguf")
    spec = {
        "version": 1,
        "models": {"base": {"base": base}, "ft": {"base": base, "adapter": str(DEMO / f"{adapter}.lora.gguf")}},
        "data": str(DEMO / "document.md"),
        "defaults": {"nulls": 5, "prompts": 5, "items": 5},
        "suite": [{"kind": "applied"}, {"name": "moved", "kind": "delta_kl"}],
    }
    (folder / "sway.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")


SHARED = """
    import pytest

    @pytest.mark.sway_gguf("sway.yaml")
    def test_adapter(sway_answer):
        with open({log!r}, "a") as log:
            log.write(f"{{sway_answer.result.record.started_at}}\\n")

    @pytest.mark.sway_gguf("sway.yaml", require=["applied"])
    def test_again(sway_answer):
        with open({log!r}, "a") as log:
            log.write(f"{{sway_answer.result.record.started_at}}\\n")

    def test_moves(sway_backend):
        with sway_backend.as_base() as view:
            before = view.next_token_dist("The")
        with sway_backend.as_finetuned() as view:
            assert list(view.next_token_dist("The").logprobs) != list(before.logprobs)
"""


@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])
def test_a_suite_runs_once_however_many_workers_ask(pytester: pytest.Pytester, workers: int) -> None:
    suite_in(pytester.path)
    log = pytester.path / "log"
    pytester.makepyfile(SHARED.format(log=str(log)))
    plugins = ("xdist",) if workers else ("no:xdist",)
    words = ("-n", str(workers), "--dist", "load") if workers else ()
    done = ran(pytester, *words, plugins=plugins)
    # Six axes and two probes twice; four axes are asked by no probe of this suite.
    done.assert_outcomes(skipped=8, passed=9)
    started = log.read_text().split()
    assert len(started) == 8
    assert len(set(started)) == 1


def test_the_model_of_the_ini_options(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        f"[pytest]\nsway_gguf_base = {DEMO / 'base.f32.gguf'}\nsway_gguf_adapter = {DEMO / 'healthy.lora.gguf'}\n"
    )
    pytester.makepyfile("def test_ids(sway_backend):\n    assert len(sway_backend.cache_identity()) == 64\n")
    ran(pytester).assert_outcomes(passed=1)


def test_a_backend_that_nothing_names_is_one_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(sway_backend):\n    pass\n")
    done = ran(pytester)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*set the ini options sway_gguf_base and sway_gguf_adapter*"])


def test_a_run_that_asks_for_nothing_loads_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_it():\n    pass\n", encoding="utf-8")
    code = (
        "import sys, pytest; rc = pytest.main(['-q', '-p', 'no:cacheprovider', '-p', sys.argv[1], sys.argv[2]]); "
        "heavy = ('rich', 'scipy', 'llama_cpp'); "
        "print(rc.value, sorted(m for m in sys.modules if m.startswith('sway_gguf.') or m in heavy))"
    )
    command = [sys.executable, "-c", code, PLUGIN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith("0 ['sway_gguf.pytest_plugin']")
