"""A whole run on the fake backend: what is visited, what is asked, and what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from sway_gguf.artifacts import digest
from sway_gguf.collect import collect, groups_of
from sway_gguf.core.answers import Answer, TokenDist
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.queries import NextToken, Query, Rolling
from sway_gguf.core.result import Diagnosis, SuiteResult, Verdict
from sway_gguf.core.result_json import from_json, schema, to_json
from sway_gguf.core.sections import Preference, Section
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullDesign, NullView, ScaledView, View
from sway_gguf.engine.bare import contract, whole_row
from sway_gguf.engine.fake import FakeBackend, Script, wordy_script
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.base import SHOWN_NULLS, Probe, Sources
from sway_gguf.probes.registry import KINDS, build_probes
from sway_gguf.report.terminal import print_result
from sway_gguf.suite.demo import demo_spec
from sway_gguf.suite.measure import measure
from sway_gguf.suite.prepare import Prepared, default_spec, prepare
from sway_gguf.suite.run import run
from sway_gguf.suite.schedule import Nulls, Schedule, schedule
from sway_gguf.verdict.looks import FIRST_NULLS

SOURCES = Sources(
    sections=tuple(Section(f"s{n}", f"section {n} tells something new") for n in range(8)),
    preferences=tuple(Preference(f"p{n}", " yes", " no") for n in range(8)),
    general=tuple(f"general text number {n} is long enough" for n in range(10)),
    prompts=tuple(f"prompt {n}" for n in range(12)),
)


SCRIPTED = (
    "applied",
    "delta_kl",
    "adapter_ablation",
    "section_internalization",
    "preference_flip",
    "external_perplexity",
)


BARE_CALLS = ("rolling_logprob", "logprob_of", "next_token_dist", "generate")


def all_probes() -> list[Probe[Any]]:
    return build_probes([{"name": kind, "kind": kind} for kind in SCRIPTED], SOURCES)


def effect(section: float = 0.0, general: float = 0.0, logit: float = 0.0, scatter: float = 0.02) -> Script:
    """Views shift sections, general text and logits; nulls scatter about nothing."""

    def shift(view: View, query: Query) -> float:
        if isinstance(view, NullView):
            return float(np.random.default_rng([view.seed, len(str(query))]).normal(0, scatter))
        if not isinstance(view, ScaledView):
            return 0.0
        if isinstance(query, NextToken):
            return logit * view.scale
        text = query.text if isinstance(query, Rolling) else query.prompt + query.completion
        if text.startswith("general"):
            return view.scale * general
        return view.scale * section * (text.startswith("section") + text.endswith(" yes") - text.endswith(" no"))

    return wordy_script(shift)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """The demo's files with probes over scripted text."""
    ready = prepare(demo_spec(DEMO, "healthy"))
    return replace(ready, probes=tuple(all_probes()), skipped=())


@pytest.fixture
def result_of(prepared: Prepared) -> Callable[[Script], SuiteResult]:
    return lambda script: run(prepared, FakeBackend(script))  # type: ignore[arg-type]


def plan_of(seeds: int = 7) -> Schedule:
    return schedule(all_probes(), Nulls(tuple(range(1, seeds + 1))))


def test_each_view_is_visited_once_and_the_base_comes_first() -> None:
    plan = plan_of()
    views = [visit.view for visit in (*plan.visits, *plan.last)]
    assert views[:3] == [BASE, BASE_RERUN, TUNED]
    assert len(set(views)) == len(views)
    assert sum(isinstance(view, NullView) for view in views) == 7


def test_a_question_asked_by_several_probes_is_answered_once_per_view() -> None:
    backend = FakeBackend(effect())
    for visit in plan_of().fewest:
        collect(backend, visit.view, visit.groups)
    assert len(backend.asked) == len(set(backend.asked))


def test_units_keep_what_is_asked_together_together() -> None:
    units = groups_of({"a": [NextToken("x"), NextToken("y")], "b": [NextToken("y"), NextToken("z")]})
    assert {unit.queries: set(unit.askers) for unit in units} == {
        (NextToken("x"),): {"a"},
        (NextToken("y"),): {"a", "b"},
        (NextToken("z"),): {"b"},
    }


def test_shown_nulls_are_few_and_scales_are_for_ablation_alone() -> None:
    places = {probe.kind: place for place, probe in enumerate(all_probes())}
    visits = plan_of().every
    nulls = [visit for visit in visits if isinstance(visit.view, NullView)]
    assert sum(places["external_perplexity"] in visit.probes for visit in nulls) == SHOWN_NULLS
    assert all(places["delta_kl"] in visit.probes for visit in (*plan_of().first, *plan_of().last))
    scaled = [visit for visit in visits if isinstance(visit.view, ScaledView) and visit.view != TUNED]
    assert all(visit.probes == (places["adapter_ablation"],) for visit in scaled)


@pytest.mark.parametrize(
    ("script", "diagnosis"),
    [
        (effect(section=1.0, logit=2.0), Diagnosis.HEALTHY),
        (effect(), Diagnosis.NO_OP),
        (effect(section=0.001, logit=0.001), Diagnosis.NOISE),
        (effect(section=-1.0, logit=2.0), Diagnosis.OFF_TARGET),
        (effect(section=1.0, logit=2.0, general=-0.6), Diagnosis.DAMAGING),
    ],
    ids=["healthy", "no-op", "noise", "off-target", "damaging"],
)
def test_scripted_adapters_get_their_diagnosis(
    result_of: Callable[[Script], SuiteResult], script: Script, diagnosis: Diagnosis
) -> None:
    assert result_of(script).diagnosis == diagnosis


def test_numbers_that_are_not_finite_end_in_broken_with_view_and_query(
    result_of: Callable[[Script], SuiteResult],
) -> None:
    def script(view: View, query: Query) -> Answer:
        if view == TUNED:
            raise NonFiniteError(str(view), str(query))
        return effect()(view, query)

    found = result_of(script)
    assert found.diagnosis == Diagnosis.BROKEN
    assert "tuned view" in found.headline
    assert {probe.verdict for probe in found.probes} == {Verdict.ERROR}


def test_the_order_of_the_suite_changes_nothing_but_the_order(prepared: Prepared) -> None:
    def reversed_run() -> SuiteResult:
        turned = replace(prepared, probes=prepared.probes[::-1])
        return run(turned, FakeBackend(effect(section=1.0, logit=2.0)))  # type: ignore[arg-type]

    straight = run(prepared, FakeBackend(effect(section=1.0, logit=2.0)))  # type: ignore[arg-type]
    assert reversed_run().probes == straight.probes


def test_result_json_holds_everything_and_comes_back(result_of: Callable[[Script], SuiteResult]) -> None:
    found = result_of(effect(section=1.0, logit=2.0))
    text = to_json(found)
    jsonschema.validate(json.loads(text), schema())
    assert to_json(from_json(text, "r.json")) == text
    record = json.loads(text)
    assert len(record["nulls"]["seeds"]) == FIRST_NULLS
    assert (record["nulls"]["planned"], record["nulls"]["look"]) == (19, 1)
    assert all(len(file["sha256"]) == 64 for file in record["files"])
    kl = next(probe for probe in record["probes"] if probe["kind"] == "delta_kl")
    assert len(kl["items"]) == 12
    assert len(kl["null"]["values"]) == FIRST_NULLS


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "not JSON"), ("{}", "no result of sway-gguf"), ('{"schema_version": 1}', "run the suite")],
)
def test_a_result_that_is_none_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        from_json(text, "r.json")


@pytest.mark.parametrize("width", [80, 160])
def test_the_report_fits_the_terminal(result_of: Callable[[Script], SuiteResult], width: int) -> None:
    console = Console(width=width, record=True, file=open("/dev/null", "w") if Path("/dev/null").exists() else None)  # noqa: SIM115
    print_result(result_of(effect(section=1.0, logit=2.0)), console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for word in ("HEALTHY", "applied", "signal", "direction", "collateral", "leakage", "survival", "Holm"):
        assert word in text
    assert "…\n" not in text


class BareBackend:
    """A backend that knows the bare protocol: single calls, and records of its own kinds."""

    def __init__(self, script: Script) -> None:
        self._fake = FakeBackend(script)

    def as_base(self) -> Any:
        return self._wrapped(BASE)

    def as_finetuned(self) -> Any:
        return self._wrapped(TUNED)

    def _wrapped(self, view: View) -> Any:
        @contextmanager
        def door() -> Any:
            with self._fake.open(view) as opened:
                yield SimpleNamespace(id=opened.id, **{name: self._plain(getattr(opened, name)) for name in BARE_CALLS})

        return door()

    @staticmethod
    def _plain(call: Callable[..., Any]) -> Callable[..., Any]:
        """What another package's records look like to ours: the same fields in another class."""

        def asked(*words: Any, **options: Any) -> Any:
            found = call(*words, **options)
            return (
                SimpleNamespace(**{f.name: getattr(found, f.name) for f in fields(found)})
                if is_dataclass(found)
                else found
            )

        return asked


class FullBackend(BareBackend):
    """The same with the original's other two doors, whose nulls have energy rank_scale²."""

    def as_scaled_adapter(self, lam: float) -> Any:
        return self._wrapped(ScaledView(lam))

    def as_null_adapter(self, seed: int, *, init_scale: float = 0.02, rank_scale: float = 1.0) -> Any:
        return self._wrapped(NullView(seed, NullDesign("gaussian", rank_scale, init_scale, "original")))


def bare_effect(energies: list[float]) -> Script:
    """Nulls move as far as their size says, and tell it."""
    plain = effect(section=1.0, general=-0.2, logit=2.0)

    def script(view: View, query: Query) -> Answer:
        if isinstance(view, NullView):
            energies.append(view.design.energy_scale)
            return plain(NullView(view.seed), query)
        return plain(view, query)

    return script


def test_our_probes_run_on_any_backend_of_the_protocol() -> None:
    plan = schedule(all_probes(), Nulls((1, 2, 3, 4, 5), NullDesign("gaussian"), [4.0]))
    energies: tuple[list[float], list[float]] = ([], [])
    ours = measure(FakeBackend(bare_effect(energies[0])), all_probes(), plan).readings
    bare = measure(contract(FullBackend(bare_effect(energies[1]))), all_probes(), plan).readings
    assert [reading.kind for reading in bare] == list(SCRIPTED)
    for mine, theirs in zip(ours, bare, strict=True):
        assert theirs.tuned.value == pytest.approx(mine.tuned.value, abs=1e-6)
        assert abs(theirs.tuned.value) > 0.01
        assert [null.value for null in theirs.nulls] == pytest.approx([null.value for null in mine.nulls], abs=1e-6)
        assert [len(nulls) for nulls in theirs.profile.values()] == [len(nulls) for nulls in mine.profile.values()]
    assert set(energies[0]) == {1.0, 4.0}
    assert sorted(set(energies[1])) == pytest.approx([1.0, 4.0])


def test_probes_without_nulls_or_scales_need_two_doors_alone() -> None:
    few = [probe for probe in all_probes() if not probe.scales]
    plan = schedule(few)
    ours = measure(FakeBackend(effect(section=1.0, logit=2.0)), few, plan).readings
    bare = measure(contract(BareBackend(effect(section=1.0, logit=2.0))), few, plan).readings
    assert [reading.tuned.value for reading in bare] == pytest.approx([r.tuned.value for r in ours], abs=1e-6)


def test_a_view_that_a_backend_cannot_give_is_named() -> None:
    with pytest.raises(UserError, match="cannot give the view null"):
        collect(contract(BareBackend(effect())), NullView(1), [])


def test_the_content_of_each_file_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = digest._contents

    def counted(file: Any) -> str:
        hashed.append(Path(file.name).name)
        return real(file)

    monkeypatch.setattr(digest, "_contents", counted)
    result = run(prepare(demo_spec(DEMO, "healthy")), FakeBackend(effect()))
    assert sorted(hashed) == ["base.f32.gguf", "document.md", "general.txt", "healthy.lora.gguf"]
    monkeypatch.undo()
    for file in result.files:
        assert file.sha256 == hashlib.sha256(Path(file.path).read_bytes()).hexdigest()


def test_the_tail_of_a_truncated_distribution_is_spread_evenly() -> None:
    found = whole_row(TokenDist(np.array([2]), np.log(np.array([0.4], np.float32)), 4, float(np.log(0.6))))
    assert np.exp(found) == pytest.approx([0.2, 0.2, 0.4, 0.2], abs=1e-6)


def test_what_a_backend_lacks_is_skipped_and_told(prepared: Prepared) -> None:
    """A bare backend has two doors; what needs a third one is not run."""
    found = run(prepared, BareBackend(effect(section=1.0, logit=2.0)))
    by_kind = {probe.kind: probe for probe in found.probes}
    assert found.engine == {"backend": "BareBackend"}
    assert by_kind["applied"].value is not None
    assert by_kind["external_perplexity"].verdict == Verdict.PASS
    for kind, reason in {
        "delta_kl": "BareBackend has no null adapters",
        "adapter_ablation": "BareBackend has no adapter at other scales",
    }.items():
        assert (by_kind[kind].verdict, by_kind[kind].reason) == (Verdict.SKIP, reason)


UNKNOWN_TO_ALL = {
    "cluster_kl": "embeddings",
    "adapter_revert": "embeddings",
    "prompt_collapse": "filler of so many tokens",
    "aim": "distributions along a text",
    "top1_flips": "distributions along a text",
    "leakage": "token ids of a text",
}
"""What the bare protocol has no words for, by the kind of probe that needs it."""
WITHOUT_THIRD_DOOR = {
    "adapter_ablation": "adapter at other scales",
    "scale_response": "adapter at other scales",
    **dict.fromkeys(
        (
            "delta_kl",
            "section_internalization",
            "content",
            "paraphrase_invariance",
            "preference_flip",
            "style_fingerprint",
        ),
        "null adapters",
    ),
}
"""What a backend lacks that has a base and a tuned view alone."""


@pytest.mark.parametrize("bare", [BareBackend, FullBackend])
def test_a_suite_of_all_kinds_runs_on_a_bare_backend(tmp_path: Path, bare: type[BareBackend]) -> None:
    """None ends the run: each is measured, or skipped with the reason."""
    talk = tmp_path / "talk.jsonl"
    said = [("user", "ask {} of the harbour"), ("assistant", "reply {} tells of boats and gulls")]
    dialogues = [{"messages": [{"role": r, "content": c.format(n)} for r, c in said]} for n in range(8)]
    talk.write_text("\n".join(map(json.dumps, dialogues)), encoding="utf-8")
    texts = [talk, *(DEMO / name for name in ("document.md", "preferences.jsonl", "paraphrases.jsonl"))]
    spec = default_spec(DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", data=texts, kinds=list(KINDS))
    spec = spec.model_copy(update={"format": "chatml"})
    prepared = prepare(spec).with_defaults(nulls=5, null_design="gaussian")
    shift = {BASE: 0.0, BASE_RERUN: 0.0}
    backend = bare(wordy_script(lambda view, _: shift.get(view, 0.1 if isinstance(view, NullView) else 1.0)))
    found = {probe.kind: probe for probe in run(prepared, backend).probes}
    assert set(found) == set(KINDS)
    assert not [probe for probe in found.values() if probe.verdict == Verdict.ERROR]
    given = {
        "tool_use_fidelity": "give cases",
        "training_drift": "give checkpoint",
        "gradient_ghost": "give checkpoint",
        "interaction": "one adapter alone",
    }
    lacking = UNKNOWN_TO_ALL if bare is FullBackend else {**UNKNOWN_TO_ALL, **WITHOUT_THIRD_DOOR}
    reasons = {kind: f"{bare.__name__} has no {what}" for kind, what in lacking.items()} | given
    skipped = {kind: probe.reason for kind, probe in found.items() if probe.verdict == Verdict.SKIP}
    assert set(skipped) == set(reasons)
    for kind, reason in reasons.items():
        assert skipped[kind].startswith(reason)
    assert "whether replies run on is not known" in " ".join(found["ending"].notes)


def test_gaussian_nulls_are_had_where_they_are_asked_for(prepared: Prepared) -> None:
    full = FullBackend(effect(section=1.0, logit=2.0))
    turned = run(prepared, full)
    assert "rotation nulls (null_design: gaussian)" in next(p.reason for p in turned.probes if p.kind == "delta_kl")
    gaussian = run(prepared.with_defaults(null_design="gaussian"), full)
    assert next(probe.verdict for probe in gaussian.probes if probe.kind == "delta_kl") == Verdict.PASS
    assert next(probe.verdict for probe in gaussian.probes if probe.kind == "adapter_ablation") != Verdict.SKIP


def test_a_run_on_which_nothing_can_run_is_refused(prepared: Prepared) -> None:
    only = replace(prepared, probes=tuple(probe for probe in prepared.probes if probe.kind == "delta_kl"))
    with pytest.raises(UserError, match="no probe of the suite can run on BareBackend: delta_kl: null adapters"):
        run(only, BareBackend(effect()))
