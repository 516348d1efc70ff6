"""The gate: one decision from verdicts, limits and a baseline, and the exit code that follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.core.gate import GateDecision, GateRules, Limits, Outcome
from sway_gguf.core.measurement import Item
from sway_gguf.core.result import Diagnosis, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.result_json import from_json, to_json
from sway_gguf.spec.gate import Gate, ProbeLimits, rules_of
from sway_gguf.spec.model import load_spec
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.gate import against, decide
from tests.command_line import Done, spoken

RESULTS = Path(__file__).parent / "results"


def stored(name: str) -> SuiteResult:
    path = RESULTS / f"v1-{name}.json"
    return from_json(path.read_text(encoding="utf-8"), str(path))


def probe(
    name: str = "external_perplexity",
    axis: str = "collateral",
    verdict: Verdict = Verdict.PASS,
    values: tuple[float, ...] = (0.0,) * 6,
    interval: tuple[float, float] | None = (0.0, 0.0),
    **more: object,
) -> ProbeResult:
    items = tuple(Item(f"{name} {n}", value) for n, value in enumerate(values))
    mean = sum(values) / len(values) if values else None
    base = ProbeResult(
        name, name, axis, verdict, "why", "nats/token", mean, interval, items=items, better="higher"
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def suite_of(*probes: ProbeResult) -> SuiteResult:
    """A run with these probes beside an applied, a signal and a direction that pass."""
    fine = [probe("applied", "applied"), probe("delta_kl", "signal"), probe("section_internalization", "direction")]
    given = {each.name for each in probes}
    every = (*(each for each in fine if each.name not in given), *probes)
    axes = axes_of(every)
    diagnosis, headline = diagnose(axes, every)
    return replace(stored("healthy"), probes=every, axes=axes, diagnosis=diagnosis, headline=headline)


def outcomes(decision: GateDecision) -> dict[str, Outcome]:
    return {line.subject: line.outcome for line in decision.lines if not line.informational}


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("healthy", Outcome.PASS),
        ("init", Outcome.PASS),
        ("noise", Outcome.FAIL),
        ("no-op", Outcome.FAIL),
        ("damaging", Outcome.FAIL),
    ],
)  # fmt: skip
def test_stored_runs_of_known_adapters(name: str, outcome: Outcome) -> None:
    decision = decide(stored(name))
    assert decision.outcome == outcome
    assert decision.exit_code == (1 if outcome == Outcome.FAIL else 0)


def test_an_error_fails_even_where_the_probe_is_optional_or_informational() -> None:
    wrong = probe("tool_use_fidelity", verdict=Verdict.ERROR, optional=True, values=(), interval=None)
    rules = GateRules(probes={"tool_use_fidelity": Limits(informational=True)})
    assert decide(suite_of(wrong)).outcome == Outcome.FAIL
    assert decide(suite_of(wrong), rules).outcome == Outcome.FAIL


def test_what_failed_stands_first_and_a_warning_passes_and_is_said() -> None:
    failed = decide(suite_of(probe(verdict=Verdict.FAIL)))
    assert (failed.lines[0].subject, failed.outcome) == ("axis collateral", Outcome.FAIL)
    warned = decide(suite_of(probe(verdict=Verdict.WARN)))
    assert warned.outcome == Outcome.PASS
    assert [line.subject for line in warned.lines if line.warning] == ["axis collateral"]


def test_an_inconclusive_run_goes_on_unless_the_gate_is_strict() -> None:
    open_run = suite_of(probe(verdict=Verdict.INCONCLUSIVE))
    assert (decide(open_run).outcome, decide(open_run).exit_code) == (Outcome.INCONCLUSIVE, 0)
    assert decide(open_run, GateRules(strict=True)).exit_code == 3


@pytest.mark.parametrize("verdict", [Verdict.SKIP, Verdict.INCONCLUSIVE])
def test_a_required_axis_must_be_answered(verdict: Verdict) -> None:
    run = suite_of(probe(verdict=verdict))
    assert decide(run, GateRules(require=("collateral",))).outcome == Outcome.FAIL
    assert decide(run, GateRules(require=("signal",))).outcome != Outcome.FAIL


def test_a_failing_signal_is_excused_as_the_diagnosis_excuses_it_and_not_where_it_is_required() -> None:
    run = suite_of(probe("delta_kl", "signal", Verdict.FAIL))
    assert run.diagnosis == Diagnosis.HEALTHY
    assert decide(run).outcome == Outcome.PASS
    assert decide(run, GateRules(require=("signal",))).outcome == Outcome.FAIL


def test_an_informational_probe_is_left_out_of_its_axis_and_of_the_diagnosis() -> None:
    run = suite_of(probe(), probe("everyday_replies", verdict=Verdict.FAIL))
    rules = GateRules(probes={"everyday_replies": Limits(informational=True)})
    assert (decide(run).outcome, decide(run, rules).outcome) == (Outcome.FAIL, Outcome.PASS)


@pytest.mark.parametrize("axis_of_others", [Verdict.PASS, Verdict.FAIL])
def test_broken_fails_whatever_is_informational(axis_of_others: Verdict) -> None:
    run = replace(suite_of(probe(verdict=axis_of_others)), diagnosis=Diagnosis.BROKEN)
    assert decide(run, GateRules(probes={"external_perplexity": Limits(informational=True)})).outcome == Outcome.FAIL


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((-0.09, 0.0), Outcome.PASS),
        ((-0.30, -0.11), Outcome.FAIL),
        ((-0.15, -0.05), Outcome.INCONCLUSIVE),
    ],
)
def test_a_limit_is_met_or_missed_by_the_whole_interval(interval: tuple[float, float], outcome: Outcome) -> None:
    run = suite_of(probe(interval=interval))
    assert outcomes(decide(run, GateRules(max_loss=0.1)))["max-loss 0.1, external_perplexity"] == outcome


def test_the_noise_floor_counts_against_both_sides_of_a_limit() -> None:
    near = probe(interval=(-0.09, -0.05), noise_floor=0.02)
    assert against(near, Limits(min=-0.1)).outcome == Outcome.INCONCLUSIVE
    assert against(near, Limits(min=-0.2)).outcome == Outcome.PASS


def test_one_item_decides_no_limit_however_far_it_lies() -> None:
    for value in (-9.0, 9.0):
        assert against(probe(values=(value,), interval=None), Limits(min=0.0)).outcome == Outcome.INCONCLUSIVE


def test_no_spread_at_the_limit_itself_is_left_to_the_noise_floor() -> None:
    tied = probe(values=(-0.1,) * 8, interval=(-0.1, -0.1), noise_floor=1e-4)
    assert against(tied, Limits(min=-0.1)).outcome == Outcome.INCONCLUSIVE
    assert against(tied, Limits(min=-0.2)).outcome == Outcome.PASS


def test_a_limit_that_nothing_measured_fails() -> None:
    run = suite_of()
    assert outcomes(decide(run, GateRules(max_loss=0.1)))["max-loss 0.1"] == Outcome.FAIL


def test_min_lift_holds_the_whole_interval_above_it() -> None:
    run = suite_of(probe("section_internalization", "direction", values=(1.0,) * 6, interval=(0.9, 1.1)))
    found = {lift: outcomes(decide(run, GateRules(min_lift=lift))) for lift in (0.5, 1.0, 2.0)}
    assert [found[lift][f"min-lift {lift:g}, section_internalization"] for lift in found] == [
        Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL,
    ]  # fmt: skip


def test_the_same_run_is_no_regression_and_a_shift_of_every_item_is_one() -> None:
    old = suite_of(probe(values=(0.1, 0.2, 0.3, 0.15, 0.25, 0.2, 0.1, 0.3)))
    assert decide(old, baseline=old).outcome == Outcome.PASS
    new = suite_of(probe(values=(0.0, 0.1, 0.2, 0.05, 0.1, 0.1, 0.0, 0.2)))
    assert outcomes(decide(new, baseline=old))["baseline, external_perplexity"] == Outcome.FAIL
    assert outcomes(decide(old, baseline=new))["baseline, external_perplexity"] == Outcome.PASS


def test_a_baseline_whose_shift_is_within_the_noise_floor_does_not_fail() -> None:
    old = suite_of(probe(values=(0.1,) * 12))
    new = suite_of(probe(values=(0.099,) * 12, noise_floor=0.01))
    assert outcomes(decide(new, baseline=old))["baseline, external_perplexity"] == Outcome.PASS


@pytest.mark.parametrize("count", [1, 4])
def test_few_items_that_got_worse_decide_nothing(count: int) -> None:
    old, new = (suite_of(probe(values=(value,) * count, interval=None)) for value in (0.5, -0.5))
    assert outcomes(decide(new, baseline=old))["baseline, external_perplexity"] == Outcome.INCONCLUSIVE


def test_a_run_that_hardly_asks_the_baselines_items_is_not_held_against_it() -> None:
    old = suite_of(probe(values=(0.1, 0.2, 0.3, 0.15, 0.25, 0.2, 0.1, 0.3)))
    few, most = (suite_of(probe(values=(0.1, 0.2, 0.3, 0.15, 0.25, 0.2)[:count], interval=None)) for count in (1, 6))
    assert outcomes(decide(few, baseline=old))["baseline, external_perplexity"] == Outcome.INCONCLUSIVE
    assert outcomes(decide(most, baseline=old))["baseline, external_perplexity"] == Outcome.PASS


def test_a_baseline_of_sizes_alone_holds_nothing() -> None:
    run = suite_of()
    sizes = replace(run, probes=tuple(replace(each, better="") for each in run.probes))
    assert outcomes(decide(sizes, baseline=sizes))["baseline"] == Outcome.INCONCLUSIVE


def test_a_baseline_of_other_texts_or_with_more_probes_is_told() -> None:
    other = replace(suite_of(), probes=(probe(values=(0.1,)),))
    elsewhere = replace(other, probes=(replace(other.probes[0], items=(Item("elsewhere", 0.0),)),))
    assert outcomes(decide(other, baseline=elsewhere))["baseline"] == Outcome.FAIL
    more = suite_of(probe(), probe("everyday_replies"))
    assert outcomes(decide(suite_of(probe()), baseline=more))["baseline, everyday_replies"] == Outcome.INCONCLUSIVE


def test_names_that_are_none_are_errors_with_the_nearest_valid_one(tmp_path: Path) -> None:
    suite: list[dict[str, object]] = [{"name": "kl", "kind": "delta_kl"}, {"kind": "content", "informational": True}]
    with pytest.raises(UserError, match="named 'kll', did you mean 'kl'"):
        rules_of(Gate(probes={"kll": ProbeLimits()}), suite)
    with pytest.raises(UserError, match="--require: 'signa' is no axis, did you mean 'signal'"):
        rules_of(Gate(), suite, require="direction,signa")
    assert rules_of(Gate(), suite).probes == {"content": Limits(informational=True)}
    spec = tmp_path / "sway.yaml"
    text = "models: {base: {base: b.gguf}, ft: {base: b.gguf, adapter: a.gguf}}\ngate: {%s}\nsuite: [{kind: applied}]\n"
    for wrong, said in {
        "requires: [signal]": "did you mean 'require'",
        "probes: {applied: {mim: 1}}": "did you mean 'min'",
        "max_loss: -1": "gate.max_loss",
    }.items():
        spec.write_text(text % wrong)
        with pytest.raises(UserError, match=said):
            load_spec(spec)
    spec.write_text(text % "require: [signal], max_loss: 0.1, baseline: last.json, probes: {applied: {min: 1}}")
    assert load_spec(spec).gate.baseline == tmp_path / "last.json"


def gate(*words: object) -> Done:
    return spoken("gate", *map(str, words))


def test_a_result_that_is_there_is_judged_and_the_exit_code_is_the_printed_outcome(tmp_path: Path) -> None:
    unclear = tmp_path / "unclear.json"
    unclear.write_text(to_json(suite_of(probe(verdict=Verdict.INCONCLUSIVE))), encoding="utf-8")
    cases: list[tuple[list[object], int, str]] = [
        ([RESULTS / "v1-healthy.json"], 0, "GATE PASS"),
        ([RESULTS / "v1-noise.json"], 1, "GATE FAIL"),
        ([unclear], 0, "GATE INCONCLUSIVE"),
        ([unclear, "--strict"], 3, "GATE INCONCLUSIVE"),
        ([RESULTS / "v1-healthy.json", "--require", "survival"], 1, "required, and not answered"),
    ]
    for words, code, said in cases:
        done = gate(*words)
        assert (done.returncode, said in done.stdout) == (code, True), done
        assert ("INCONCLUSIVE" in done.stderr) == ("INCONCLUSIVE" in said)
    for option, value in (("--seed", "3"), ("--budget", "60s"), ("--trace", "t.jsonl"), ("--quants", "q.json")):
        refused = gate(unclear, option, value)
        assert refused.returncode == 2
        assert f"{option} goes with a spec" in refused.stderr
