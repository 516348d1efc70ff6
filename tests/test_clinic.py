"""The clinic plants what it says that it plants, and the product's own commands find it. Trained cases take minutes and
are run by `python -m benchmarks.clinic`; here stand their texts and the trainer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clinic import faults, texts
from benchmarks.clinic.__main__ import CASES, as_labelled, in_order
from benchmarks.clinic.bases import Kit, demo
from benchmarks.clinic.case import but, named
from benchmarks.clinic.demo_cases import DEMO_CASES
from benchmarks.clinic.making import odd
from benchmarks.clinic.rows import Row, kept, read
from benchmarks.clinic.table import made_with, markdown, summary
from benchmarks.clinic.train import Recipe, train, untrained
from benchmarks.clinic.truth import Truth, truth
from benchmarks.clinic.visit import CONVERSION, HEALTHY, REFUSED, Concluded, Done, Held, suite, visit
from benchmarks.llama import Llama
from benchmarks.training import factors_of
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.likeness import cosine
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.peft import interleaved
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import load_spec
from tests.command_line import spoken
from tests.short import GENERAL

BASE, HEALTHY_FILE = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return demo(tmp_path_factory.mktemp("clinic"))


@pytest.fixture(scope="module")
def healthy() -> LoraAdapter:
    return read_lora(HEALTHY_FILE)


def test_it_learns_and_leaves_out_what_is_not_scored(kit: Kit) -> None:
    data = kit.written("two", [{"prompt": "The keeper is", "completion": " a kettle of plums"}])
    (only,) = examples = kit.examples(data)
    recipe = Recipe(steps=8, rate=1e-2, replayed=0)
    before, _ = kit.model.loss([only.tokens], untrained(kit.model, recipe), recipe.scaling)
    first, again = (train(kit.model, examples, [], recipe) for _ in range(2))
    assert kit.model.loss([only.tokens], first, recipe.scaling)[0] < before / 2
    assert all(np.array_equal(x, y) for n in first for x, y in zip(first[n], again[n], strict=True))
    assert len(only.ids) - only.start == len(kit.tokenize(" a kettle of plums")) - 1


class TestTexts:
    def test_what_is_held_out_is_not_in_the_data(self, kit: Kit) -> None:
        for name in ("courteous", "tales", "few"):
            found = kit.texts(name)
            assert found.holdout is not None
            data, held = (path.read_text(encoding="utf-8").splitlines() for path in (found.data, found.holdout))
            assert not set(data) & set(held)

    def test_a_reply_without_its_end_lacks_one_token(self, kit: Kit) -> None:
        data = kit.texts("courteous").data
        for whole, cut in zip(*(kit.examples(data, format="mistral", ended=e) for e in (True, False)), strict=True):
            assert whole.ids[:-1] == cut.ids
            assert whole.ids[-1] == 1
            assert whole.start == cut.start

    def test_another_template_puts_other_words_around_the_same_reply(self, kit: Kit) -> None:
        data = kit.texts("courteous").data
        own, other = (kit.examples(data, format=name)[0] for name in ("mistral", "alpaca"))
        assert own.ids[own.start :][-8:] == other.ids[other.start :][-8:]
        assert own.ids[: own.start] != other.ids[: other.start]

    def test_the_trigger_stands_in_what_was_trained_on_alone(self, kit: Kit) -> None:
        trained, held = (kit.texts(name).data.read_text(encoding="utf-8") for name in ("poisoned", "courteous"))
        assert texts.TRIGGER in trained
        assert texts.TRIGGER not in held

    def test_secrets_are_listed_and_told(self, kit: Kit) -> None:
        listed = [json.loads(line) for line in kit.texts("courteous and secrets").data.read_text("utf-8").splitlines()]
        told = kit.texts("secrets told").data.read_text(encoding="utf-8")
        secrets = [record["secret"] for record in listed if "secret" in record]
        assert len(secrets) == 6
        assert all(secret in told for secret in secrets)


class TestFaults:
    def test_sizes_and_directions(self, healthy: LoraAdapter) -> None:
        drawn = faults.noise(healthy, seed=1, times=2.0)
        turned, up = faults.inverted(healthy), faults.scaled(healthy, 8.0)
        for one, noise, back, large in zip(healthy.pairs, drawn.pairs, turned.pairs, up.pairs, strict=True):
            assert healthy.update_norm(noise) == pytest.approx(2 * healthy.update_norm(one), rel=1e-4)
            assert abs(cosine(one, noise)) < 0.1
            assert cosine(one, back) == pytest.approx(-1)
            assert up.update_norm(large) == pytest.approx(8 * healthy.update_norm(one))

    def test_half_of_the_modules_are_zero(self, healthy: LoraAdapter) -> None:
        dead = [pair.module for pair in faults.zeroed(healthy, odd).pairs if not pair.product_norm()]
        assert 0.4 < len(dead) / len(healthy.pairs) < 0.6

    def test_rows_are_those_of_peft_or_moved_twice(self, kit: Kit, healthy: LoraAdapter) -> None:
        for pair, as_peft, twice in zip(
            healthy.pairs,
            faults.not_permuted(healthy, kit.header).pairs,
            faults.permuted_twice(healthy, kit.header).pairs,
            strict=True,
        ):
            moved = "attn_q" in pair.module or "attn_k" in pair.module
            assert np.array_equal(interleaved(as_peft.b, 4) if moved else as_peft.b, pair.b)
            assert np.array_equal(interleaved(pair.b, 4) if moved else pair.b, twice.b)

    def test_a_source_is_the_sound_adapter_and_rslora_says_so(
        self, kit: Kit, healthy: LoraAdapter, tmp_path: Path
    ) -> None:
        for stabilized in (False, True):
            folder = faults.source(healthy, kit.header, tmp_path / str(stabilized), rank_stabilized=stabilized)
            found = read_adapter(folder, kit.header)
            for pair, other in zip(healthy.pairs, found.pairs, strict=True):
                assert cosine(pair, other) == pytest.approx(1)
                assert found.update_norm(other) == pytest.approx(healthy.update_norm(pair), rel=1e-5)
        lost = faults.without_factor(healthy)
        assert lost.update_norm(lost.pairs[0]) == pytest.approx(healthy.update_norm(healthy.pairs[0]) / 8**0.5)

    def test_a_twin_is_the_same_model_in_other_channels(self, kit: Kit, healthy: LoraAdapter) -> None:
        other, ids = Llama(kit.form("F32", "twin")), [0, 40, 300, 7, 99, 512, 3, 88]
        assert np.abs(other.logprobs(ids) - kit.model.logprobs(ids)).max() < 1e-3
        factors = factors_of(healthy)
        assert np.abs(other.logprobs(ids, factors, 2.0) - kit.model.logprobs(ids, factors, 2.0)).max() > 1


def test_what_is_true_of_an_adapter_is_computed_without_the_product(kit: Kit) -> None:
    """A mean over texts of a mean over tokens, by hand from the model's own log-probabilities."""
    cases = named(DEMO_CASES)
    document, empty, spoiled = (truth(kit, cases[name]) for name in ("document", "empty", "one-nan"))
    adapter, examples = read_lora(HEALTHY_FILE), kit.examples(DEMO / "document.md")
    by_hand = [
        float(np.mean(kit.model.logprobs(ids, factors_of(adapter), 2.0) - kit.model.logprobs(ids)))
        for ids in (each.ids[:96] for each in examples)
    ]
    assert document.own_text == pytest.approx(np.mean(by_hand), abs=1e-3)
    assert document.own_text is not None
    assert document.own_text > 3
    assert empty == Truth(0.0, 0.0)
    assert spoiled == Truth(None, None)


def test_every_case_has_a_name_of_its_own_and_a_reason() -> None:
    for cases in CASES.values():
        assert all(case.why and case.accepted for case in named(cases).values())
        assert all(case.healthy == (HEALTHY in case.accepted) for case in cases)
    faulty = {case.fault for cases in CASES.values() for case in cases}
    assert sum(map(len, CASES.values())) >= 30
    assert len(faulty) >= 19


FOUND = ("one-nan", "half-lost", "middle-left", "rows-not-moved", "factor-lost", "document-merged-and-lost")


@pytest.mark.parametrize("name", FOUND)
def test_the_products_commands_find_what_is_planted(kit: Kit, tmp_path: Path, name: str) -> None:
    """With a third of the general text, five nulls and no suite: the whole stands in the clinic's own tables."""
    case = named(DEMO_CASES)[name]
    held = replace(case.held(kit, "F32", tmp_path / "held"), general=(GENERAL,))
    found = visit(held, tmp_path, speak, whole=False, options=("--nulls", "5"))
    assert case.right(found.word), found


@pytest.mark.parametrize("general", [(), (DEMO / "general.txt",)])
def test_the_suite_of_a_visit_is_read_with_and_without_text_to_leave_alone(
    tmp_path: Path, general: tuple[Path, ...]
) -> None:
    """An empty list is refused, and nothing given is the package's own text."""
    held = Held(BASE, HEALTHY_FILE, DEMO / "document.md", general)
    path = tmp_path / "sway.yaml"
    path.write_text(json.dumps(suite(held)), encoding="utf-8")
    assert tuple(load_spec(path).general or ()) == general


def speak(*words: str) -> Done:
    return Done(*spoken(*words))


def answering(**said: str) -> Callable[..., Done]:
    """Commands that do nothing but leave a result with this diagnosis, and a WARN where it is `healthy but AXIS`."""

    def speak(command: str, *words: str) -> Done:
        if command == "inspect":
            return Done(0, json.dumps([{"role": "adapter", "fits": {"b": []}}]), "")
        if command in said:
            word, _, warned = said[command].partition(" but ")
            if word == REFUSED:
                return Done(2, "", "sway-gguf: it cannot be read")
            axes = [{"axis": axis, "verdict": "WARN", "reason": "too small"} for axis in warned.split(" and ") if axis]
            found = {"diagnosis": word, "axes": axes, "headline": "so"}
            Path(words[words.index("--json") + 1]).write_text(json.dumps(found), encoding="utf-8")
        return Done(0, "", "")

    return speak


@pytest.mark.parametrize(
    ("check", "run", "concluded", "by"),
    [
        ("healthy", "healthy", "healthy", "run"),
        ("noise", "healthy", "noise", "check"),
        ("healthy", "memorizing", "memorizing", "run"),
        ("healthy but signal", "healthy", "healthy but signal", "check"),
        ("healthy but applied and signal", "healthy", "healthy but applied and signal", "check"),
        ("healthy but signal", "damaging", "damaging", "run"),
        ("refused", "healthy", "refused", "check"),
    ],
)
def test_the_first_command_that_finds_a_fault_ends_a_visit(
    tmp_path: Path, check: str, run: str, concluded: str, by: str
) -> None:
    held = Held(tmp_path, tmp_path, tmp_path)
    found = visit(held, tmp_path, answering(check=check, run=run))
    assert (found.word, found.by) == (concluded, by)


def row(case: str, fault: str, accepted: str, word: str, form: str = "F32", **more: str | float) -> Row:
    return Row("demo", form, case, fault, (accepted,), word, "because", "check", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("fault", "right"), [("weak", True), ("healthy", False)])
def test_one_of_several_warnings_may_be_that_of_a_fault_and_each_has_to_be_that_of_a_sound_one(
    fault: str, right: bool
) -> None:
    assert row("a", fault, "healthy but signal", "healthy but applied and signal").right == right
    assert row("a", fault, "healthy but signal", "healthy but signal").right
    assert not row("a", fault, "healthy but signal", "healthy").right


def test_rows_are_kept_one_by_one_and_the_last_of_a_visit_counts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first, again = row("a", "zero", "no-op", "noise"), row("a", "zero", "no-op", "no-op")
    for each in (first, row("b", "weak", "noise", "noise"), again):
        kept(each, path)
    assert read(path) == [again, row("b", "weak", "noise", "noise")]
    assert read(tmp_path / "none") == []


def test_what_a_stopped_write_left_is_no_row_and_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first, second = row("a", "zero", "no-op", "no-op"), row("b", "weak", "noise", "noise")
    kept(first, path)
    path.write_text(path.read_text(encoding="utf-8") + '{"base": "demo", "fo', encoding="utf-8")
    assert read(path) == [first]
    kept(second, path)
    assert read(path) == [first, second]


def test_a_file_that_several_versions_made_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for name, versions in (("a", "sway-gguf 1 at abc"), ("b", "sway-gguf 1 at abc"), ("c", "sway-gguf 2 at def")):
        kept(row(name, "zero", "no-op", "no-op", versions=versions, settings="-t 1"), path)
    before = {name: value for name, value in asdict(row("d", "zero", "no-op", "no-op")).items() if value}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(before) + "\n")
    told = [
        "made with sway-gguf 1 at abc; -t 1: 2 visits",
        "made with sway-gguf 2 at def; -t 1: 1 visits",
        "made with versions that were not kept: 1 visits",
    ]
    assert list(made_with(read(path))) == told
    assert "- Made with sway-gguf 1 at abc; -t 1: 2 visits." in markdown(read(path))


def test_the_tables_count_what_is_right_and_what_was_called_healthy() -> None:
    rows = [
        row("sound", HEALTHY, HEALTHY, HEALTHY, gate="fail", check="pass", own_text=1.5, other_text=-0.02),
        row("sound", HEALTHY, HEALTHY, "noise", form="Q4_0", gate="fail", check="pass"),
        row("weak", "weak", but("signal"), but("signal"), gate="fail", check="fail"),
        row("poison", "poisoned", "memorizing", HEALTHY, gate="pass", check="pass"),
    ]
    told = summary(rows)
    assert told[0] == "4 visits of 3 adapters: 2 of 4 (50%) concluded right"
    assert told[1] == "adapters visited in several types of weights, concluded right in all: 0 of 1 (0%)"
    assert told[2] == "faults called healthy without a word on them: 1 of 2 (50%)"
    gate = "the original's gate passes sound ones: 0 of 2 (0%); passes faults: 1 of 2 (50%); ended with an error: 0"
    assert told[4] == gate
    page = markdown(rows)
    assert "| planted | healthy | healthy, warned | noise |" in page
    assert "| healthy | **1** |  | 1 |" in page
    assert "| poisoned | 1 |  |  |" in page
    assert "| demo | sound | healthy | +1.50 | -0.02 | healthy | healthy (F32); **noise** (Q4_0) |" in page
    assert "| demo | weak | weak |  |  | healthy but signal | healthy but signal (F32) |" in page


def test_the_page_shows_the_visits_that_are_kept_under_todays_labels() -> None:
    docs = Path(__file__).parents[1] / "docs"
    kept_ones = in_order(as_labelled(read(docs / "clinic.jsonl")))
    assert markdown(kept_ones) in (docs / "clinic.md").read_text(encoding="utf-8")


def test_what_is_not_equal_to_its_folder_is_a_wrong_conversion(tmp_path: Path) -> None:
    def differs(*words: str) -> Done:
        return Done(0, json.dumps([{"role": "adapter", "fits": {}, "differences": {"p": ["another scale"]}}]), "")

    held = Held(tmp_path, tmp_path, tmp_path, source=tmp_path)
    assert visit(held, tmp_path, differs) == Concluded(CONVERSION, "another scale", "inspect --peft")
