"""The short form of the study of verdicts: adapters whose truth is known, and the arithmetic of its tables."""

from __future__ import annotations

import itertools
import json
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.llama import Llama, Tokens
from benchmarks.training import factors_of, tokenizer_of, tokens_of, trained
from benchmarks.validity import documents, seeds, sessions, subjects, types
from benchmarks.validity.cells import Cells
from benchmarks.validity.judging import adapted, claimed, judged
from benchmarks.validity.nothing import KINDS, Shape, shape_of, untrained
from benchmarks.validity.page import texts_of
from benchmarks.validity.ran import ran
from benchmarks.validity.remembering import Remembering
from benchmarks.validity.summary import Share, curve, flips, moves, opposite, partings
from benchmarks.validity.tables import filled, short
from sway_gguf.artifacts.null import null_adapter
from sway_gguf.core.queries import Rolling
from sway_gguf.core.views import BASE, TUNED
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.material.packaged import DEMO

DOCS = Path(__file__).parents[1] / "docs"
FEW = 10
DEMO_FEW = replace(subjects.demo(), data=(DEMO / "document.md",), items=8)


@pytest.fixture(scope="module")
def model() -> Llama:
    return Llama(DEMO / "base.f32.gguf")


@pytest.fixture(scope="module")
def backend() -> Iterator[Remembering]:
    with DEMO_FEW.opened() as opened:
        yield opened


def test_an_adapter_that_learned_nothing_rarely_passes_and_the_trained_one_does(
    backend: Remembering, tmp_path: Path
) -> None:
    """By `signal` alone, which costs a few tokens, and where the study found all of its false alarms."""
    ready, found = DEMO_FEW.prepared(kinds=("applied", "delta_kl")), []
    for number in range(FEW):
        path = subjects.written(untrained(DEMO_FEW.like, shape_of(number)), tmp_path / "adapter.gguf")
        run = adapted(ready, path, number)
        backend.swap(run.stack)
        found.append(judged(run, backend))
    # More than this would have a chance below 1 in 800 at a rate of 5%.
    assert sum(map(claimed, found)) <= stats.binom.ppf(0.99875, FEW, 0.05)
    backend.swap(ready.stack)
    assert judged(ready, backend)["axes"]["signal"] == "PASS"


def test_the_models_numbers_are_those_of_transformers(model: Llama) -> None:
    wanted = json.loads((DEMO / "reference.json").read_text(encoding="utf-8"))
    for view, factors in (("base", None), ("finetuned", factors_of(DEMO_FEW.like))):
        text = wanted[view]["rolling"][0]
        found = model.logprobs(text["token_ids"], factors, DEMO_FEW.like.alpha / DEMO_FEW.like.ranks[0])
        assert found == pytest.approx(text["logprobs"], abs=2e-4)


def test_gradients_are_the_slopes_of_the_loss(model: Llama) -> None:
    rng = np.random.default_rng(0)
    texts = [Tokens([1, 40, 7, 300, 12], [False, False, True, True, True]), Tokens([1, 9, 5], [False, True, True])]
    factors = {
        name: (0.1 * rng.standard_normal((2, w.shape[1])), 0.1 * rng.standard_normal((w.shape[0], 2)))
        for name, w in model.weights.items()
        if name in model.linear
    }
    factors = {name: (a.astype(np.float32), b.astype(np.float32)) for name, (a, b) in factors.items()}
    loss, slopes = model.loss(texts, factors, 0.5)
    # Along the gradient itself the loss falls by the gradient's square.
    size = sum(float((slope.astype(float) ** 2).sum()) for pair in slopes.values() for slope in pair)
    step = 1e-2 / np.sqrt(size)
    moved = {
        sign: {
            n: tuple(f + np.float32(sign * step) * s for f, s in zip(factors[n], slopes[n], strict=True))
            for n in factors
        }
        for sign in (-1, 1)
    }
    higher, lower = (model.loss(texts, moved[sign], 0.5)[0] for sign in (1, -1))
    assert (higher - lower) / (2 * step) == pytest.approx(size, rel=0.02)
    assert lower < loss < higher


def test_a_training_makes_its_text_likelier_and_is_the_same_again(model: Llama) -> None:
    with tokenizer_of(model.base.path) as tokenizer:
        texts = tokens_of([Rolling("Pebble sleeps in a drawer. Quill has a tame seal.")], tokenizer, 64)
    first, again = ([found for _, found in trained(model, texts, steps=(1, 4), seed=3)] for _ in range(2))
    losses = [model.loss(texts, factors_of(found), found.alpha / 8)[0] for found in first]
    assert losses[1] < losses[0] < -model.logprobs(texts[0].ids).mean() + 1e-3
    assert all((one.b == other.b).all() for one, other in zip(first[1].pairs, again[1].pairs, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_that_learned_nothing_are_as_large_as_they_are_meant_to_be(kind: str) -> None:
    shape = next(shape for shape in map(shape_of, range(100)) if shape.kind == kind)
    drawn, sizes = (
        untrained(DEMO_FEW.like, shape),
        {p.module: DEMO_FEW.like.update_norm(p) for p in DEMO_FEW.like.pairs},
    )
    for pair in drawn.pairs:
        assert drawn.update_norm(pair) == pytest.approx(shape.size * sizes[pair.module], rel=1e-4)
    again = untrained(DEMO_FEW.like, shape)
    assert all((one.b == other.b).all() for one, other in zip(drawn.pairs, again.pairs, strict=True))


def test_modules_that_the_trained_adapter_lacks_are_not_drawn() -> None:
    attention = replace(DEMO_FEW.like, pairs=tuple(p for p in DEMO_FEW.like.pairs if "attn" in p.module))
    drawn = untrained(attention, Shape("gaussian", 1.0, 4, "feed-forward", 0))
    assert {pair.module for pair in drawn.pairs} == {pair.module for pair in attention.pairs}


def test_only_gaussian_factors_look_alike_in_every_direction() -> None:
    """What makes nulls exact for them: the share of B in any fixed output is that of its rotations."""
    like = DEMO_FEW.like
    pair = max(like.pairs, key=lambda each: each.b.shape[0])
    for kind, alike in (("gaussian", True), ("sparse", False)):
        rng = np.random.default_rng(1)
        b = KINDS[kind](pair, 4, rng, rng.standard_normal(pair.b.shape[0]))[1]
        rotated = (
            null_adapter(replace(like, pairs=(replace(pair, a=pair.a[:4], b=b.astype(np.float32)),)), 5).pairs[0].b
        )
        kurtosis = [float(((each / each.std()) ** 4).mean()) for each in (b, rotated)]
        assert (abs(kurtosis[0] - kurtosis[1]) < 0.5) is alike


def test_what_was_asked_once_is_not_asked_again_until_another_adapter_comes() -> None:
    fake = FakeBackend(wordy_script(lambda view, query: 0.0))
    fake.swap = lambda adapter: True  # type: ignore[method-assign]
    remembering = Remembering(fake)
    for view in (BASE, TUNED, BASE, TUNED):
        with remembering.open(view) as opened:
            assert len(opened.answer([Rolling("a b c"), Rolling("d e f")])) == 2
    assert len(fake.asked) == 4
    remembering.swap(DEMO_FEW.like)
    for view in (BASE, TUNED):
        with remembering.open(view) as opened:
            opened.answer([Rolling("d e f"), Rolling("g h")])
    assert [(str(view), query.text) for view, query in fake.asked[4:]] == [  # type: ignore[union-attr]
        ("base", "g h"),
        ("tuned", "d e f"),
        ("tuned", "g h"),
    ]


def test_results_grow_by_lines_and_a_stopped_study_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    cells = Cells(path)
    cells.add("nothing", "demo 0", value=1)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"part":"nothing","na')
    again = Cells(path)
    assert list(again.wanted("nothing", ["demo 0", "demo 1"])) == ["demo 1"]
    again.add("nothing", "demo 1", value=2)
    assert [cell["value"] for cell in Cells(path).of("nothing")] == [1, 2]
    path.write_text("no result\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: no result"):
        Cells(path)
    assert list(Cells(None, 0.0).wanted("nothing", ["demo 0"])) == []


def test_a_line_says_of_which_session_the_results_below_it_are(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"

    def sitting(versions: str, *names: str, load: str = "0.1") -> None:
        cells = Cells(path)
        cells.begin({"versions": versions, "load average before": load})
        for name in names:
            cells.add("nothing", name, axes={})

    path.write_text('{"part":"nothing","name":"of old","axes":{}}\n', encoding="utf-8")
    sitting("a", "one")
    sitting("a", "two", load="2.0")  # The same code under another load is no other session.
    sitting("b")  # Nothing was measured.
    sitting("b", "three", "one")
    found = [(each.about.get("versions"), [name for _, name in each.found]) for each in Cells(path).sessions]
    assert found == [(None, ["of old"]), ("a", ["two"]), ("b", ["three", "one"])]
    assert [line["name"] for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())] == [
        *("of old", "session 1", "one", "two", "session 2", "three", "one")
    ]
    table = ran(Cells(path)).splitlines()[-3:]
    assert [line.count("not recorded") for line in table] == [3, 2, 2]


def test_the_code_of_a_session_is_told_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "ROOT", tmp_path)
    found, paths = [], [tmp_path / name for name in ("b.py", "a.py")]
    for text in ("1", "2", "1"):
        for path in paths:
            path.write_text(text, encoding="utf-8")
        found.append(sessions.digest(paths))
        assert sessions.digest(paths[::-1]) == found[-1]
    assert found[0] == found[2] != found[1]
    paths[0].rename(tmp_path / "c.py")
    assert sessions.digest([tmp_path / "c.py", paths[1]]) != found[2]


def test_shares_have_exact_intervals() -> None:
    # Of none of 20, the upper end solves (1 - p)^20 = 0.025.
    assert Share(0, 20).interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))
    assert str(Share(1, 4)) == "1 of 4, 25.0% (0.6% to 80.6%)"
    assert str(Share(0, 0)) == "none"


def test_the_smallest_lift_that_is_found_follows_the_monotone_fit() -> None:
    clear = curve([0.1, 0.2, 0.3, 0.4, 0.5], [False, False, True, True, True], [0] * 5)
    assert clear.smallest == pytest.approx(0.3)
    # The second and third are pooled to a half: only from the fourth on are four fifths found.
    pooled = curve([0.1, 0.2, 0.3, 0.4, 0.5], [False, True, False, True, True], [0, 1, 2, 3, 4])
    assert pooled.shares.tolist() == [0, 0.5, 0.5, 1, 1]
    assert pooled.smallest == pytest.approx(0.4)
    assert pooled.interval[0] == pytest.approx(0.2)
    assert curve([0.1, 0.2], [False, False], [0, 1]).smallest is None


def test_flips_of_the_gate_count_outcomes_not_their_reasons() -> None:
    cells = [
        {"adapter": "weak", "outcomes": {"PASS, healthy": 6, "INCONCLUSIVE, inconclusive": 2}},
        {"adapter": "weak", "outcomes": {"FAIL, noise": 1, "FAIL, off-target": 1}},
    ]
    counts, differ = flips(cells)["weak"]
    assert (differ.count, differ.of) == (4, 10)
    assert opposite(counts) == Share(2, 8)
    assert opposite(Counter({"INCONCLUSIVE, inconclusive": 3})) == Share(0, 0)


def test_where_types_part_the_nearest_end_to_the_tolerance_is_told() -> None:
    def cell(kind: str, verdict: str, low: float, high: float, reason: str) -> dict[str, object]:
        limit = {"limit": -0.15, "interval": [low, high], "reason": reason}
        axes = {"signal": "PASS", "collateral": verdict}
        more = {"probes": {"prose": verdict}, "limits": {"prose": limit}, "diagnosis": "healthy"}
        return {"adapter": "worn", "type": kind, "axes": axes, **more}

    above = cell("F32", "PASS", -0.13, -0.02, "the whole interval lies above -0.15, by 0.02")
    across = cell("Q4_0", "WARN", -0.16, -0.03, "the interval reaches across -0.15; more items would narrow it")
    [found] = partings([above, across], "F32")
    assert (found.axis, found.reference, found.other, found.probe) == ("collateral", "PASS", "WARN", "prose")
    assert found.near == pytest.approx(0.01)
    assert found.says
    # The upper end went from -0.02 to -0.03, the lower from -0.13 to -0.16, which are 3 of 11 hundredths.
    assert moves([above, across], "F32")["Q4_0"] == pytest.approx((0.03, 3 / 11))
    [silent] = partings([above, cell("Q4_0", "INCONCLUSIVE", -0.16, -0.03, "too few items")], "F32")
    assert not silent.says


def test_every_adapter_is_asked_on_every_type_and_what_stands_against_a_tolerance_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(types, "KINDS", ("applied", "external_perplexity"))
    monkeypatch.setattr(types, "ITEMS", 12)
    cells = Cells(None)
    types.types(cells, subjects.demo(), Namespace(quick=True))
    asked = [(cell["adapter"], cell["type"]) for cell in cells.of("types")]
    assert asked == list(itertools.product(("trained", "a null of it"), ("F32", "Q8_0")))
    exact, rounded = (list(cell["limits"].values()) for cell in cells.of("types")[:2])
    for one, other in zip(exact, rounded, strict=True):
        assert re.search(r"by \d|reaches across", one["reason"])
        # Eight bits move the ends a little, and not at all only where the type was not taken.
        assert one["interval"] == pytest.approx(other["interval"], abs=0.05)
        assert one["interval"] != other["interval"]
    assert "same diagnosis as on F32" in texts_of(cells)["types"]


def test_the_gate_is_asked_by_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "PACKAGED", ("random",))
    monkeypatch.setattr(seeds, "WEAK", ())
    monkeypatch.setattr(seeds, "KINDS", ("applied", "delta_kl"))
    monkeypatch.setattr(seeds, "ITEMS", 8)
    cells = Cells(None)
    seeds.gates(cells, subjects.demo(), Namespace(seeds=2))
    [cell] = cells.of("gates")
    assert cell["outcomes"] == {"FAIL, noise": 2}


def test_documents_of_one_style_hardly_share_a_fact_and_shuffling_keeps_every_word() -> None:
    one, other = documents.told(1), documents.told(2)
    assert documents.told(1) == one
    assert one[0].place != other[0].place
    lines = [{line for each in document for line in each.lines} for document in (one, other)]
    assert len(lines[0] & lines[1]) < len(lines[0]) / 20
    text = documents.markdown(one)
    mixed = documents.shuffled(text, 1)
    assert sorted(mixed.split()) == sorted(text.split())
    assert mixed != text
    assert mixed.splitlines()[0] == f"# {one[0].place}"
    turns = [json.loads(line)["messages"] for line in documents.dialogues(one).splitlines()]
    assert len(turns) == 2 * len(one)
    assert " ".join(turn[1]["content"] for turn in turns[:2]) == one[0].text


def test_every_number_of_the_page_is_that_of_its_results() -> None:
    page = (DOCS / "statistics.md").read_text(encoding="utf-8")
    assert filled(page, texts_of(Cells(DOCS / "validity.jsonl"))) == page


def test_false_alarms_of_two_bases_are_not_put_together() -> None:
    cells = Cells(None)
    for name, verdict in (("demo 0", "PASS"), ("demo 1", "FAIL"), ("stories260k 0", "FAIL")):
        cells.add("nothing", name, axes={"signal": verdict, "direction": "FAIL"}, beyond=[])
    of_demo, _, of_stories, *_ = short(cells).splitlines()
    assert "on demo" in of_demo
    assert ": 1 of 2, 50.0%" in of_demo
    assert "on stories260k" in of_stories
    assert ": 0 of 1, 0.0%" in of_stories


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for power"):
        filled("<!-- nothing -->\n<!-- end of nothing -->", {"nothing": "x", "power": "y"})
