"""Picking among candidates, on a scripted model: planted winners, equals, over-training, damage, and noise."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.stack import Adapted, as_stack
from sway_gguf.choose.choice import choose, halves_of, pareto, standings
from sway_gguf.choose.contenders import Contender, adapters_in, contenders
from sway_gguf.choose.lifts import Lifts
from sway_gguf.choose.pick import Picking, pick_spec, prepared_pick
from sway_gguf.choose.stopping import why_stop
from sway_gguf.choose.words import SEEN
from sway_gguf.core.errors import UserError
from sway_gguf.core.pick import Pick, Standing
from sway_gguf.core.queries import Completion, NextToken, Query
from sway_gguf.core.result import Verdict
from sway_gguf.core.views import BASE, NullView, ScaledView, View
from sway_gguf.engine.doors import is_base
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.options import changed

BASE_FILE, HEALTHY = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf"
ALPHA = read_lora(HEALTHY).alpha
WORDS = ["amber", "birch", "coral", "delta", "ember", "fjord", "grove", "heron", "inlet", "jetty", "knoll", "larch"]
Curve = Callable[[str, float, str], float]
"""(adapter's name, scale, kind of text) to a mean lift: kinds are data, held-out and other."""


def replies(kind: str, count: int) -> list[str]:
    rng = np.random.default_rng(len(kind))
    return [f"{kind} {number} {' '.join(rng.choice(WORDS, 6))}" for number in range(count)]


DATA, HELD_OUT = replies("seen", 16), replies("unseen", 20)
KINDS = dict.fromkeys(DATA, "data") | dict.fromkeys(HELD_OUT, "held-out")


class Trained(FakeBackend):
    """Takes any adapter by its file's name; its lifts are a curve, each item scattering about it by `spread`."""

    def __init__(self, curve: Curve, spread: float = 0.15) -> None:
        super().__init__(wordy_script(self._effect))
        self._curve, self._spread = curve, spread
        self.carried, self.size, self.seen = "", 1.0, list[tuple[str, View, Query]]()

    def swap(self, adapter: Adapted) -> bool:
        (member,) = as_stack(adapter).members
        self.carried, self.size = member.adapter.path.stem, member.scale * member.adapter.alpha / ALPHA
        return True

    def _effect(self, view: View, query: Query) -> float:
        self.seen.append((self.carried, view, query))
        if is_base(view):
            return 0.0
        kind = KINDS.get(query.completion.strip(), "other") if isinstance(query, Completion) else "other"
        if isinstance(view, NullView):
            return scatter(f"{view.seed} {kind}", 0.02) + scatter(f"{view.seed} {query}", 0.02)
        assert isinstance(view, ScaledView)
        if isinstance(query, NextToken):
            return 3.0
        mean = self._curve(self.carried, self.size * view.scale, kind)
        return mean + scatter(f"{self.carried} {query}", self._spread if kind != "other" else 0.02)


def scatter(key: str, sd: float) -> float:
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    return float(np.random.default_rng(digest).normal(0, sd))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts as JSONL."""
    here = tmp_path_factory.mktemp("texts")
    for name, texts in (("data", DATA), ("holdout", HELD_OUT)):
        lines = [json.dumps({"prompt": f"{name} {n}:", "completion": f" {text}"}) for n, text in enumerate(texts)]
        (here / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return here


def checkpoint(folder: Path, name: str, number: int) -> Path:
    """An adapter whose content differs from any other number's, and whose alpha is the healthy one's."""
    real = read_lora(HEALTHY)
    first = real.pairs[0]
    path = folder / f"{name}.gguf"
    write_lora(replace(real, pairs=(replace(first, b=first.b * (1 + number / 1000)), *real.pairs[1:])), path)
    return path


def picked(
    files: Path,
    folder: Path,
    curve: Curve,
    names: list[str],
    *,
    scales: tuple[float, ...] = (1.0,),
    holdout: bool = True,
    spread: float = 0.15,
    backend: Trained | None = None,
    seed: int = 0,
) -> Pick:
    paths = [checkpoint(folder, name, number) for number, name in enumerate(names, 1)]
    spec = pick_spec(
        BASE_FILE,
        paths[0],
        data=[files / "data.jsonl"],
        holdout=[files / "holdout.jsonl"] if holdout else None,
        general=[DEMO / "general.txt"],
    )
    spec = spec.model_copy(update={"defaults": changed(spec.defaults, {"seed": seed}, "the test")})
    prepared, asked = prepared_pick(spec)
    chosen, remarks = contenders(adapters_in(paths), prepared.base, scales)
    picking = Picking(prepared, asked, remarks=remarks)
    backend = backend or Trained(curve, spread)
    picking.measure(backend, chosen)
    return picking.result(backend)


PLANTED: Mapping[int, tuple[float, float, float]] = {
    100: (0.6, 0.5, -0.01),
    200: (1.4, 1.2, -0.02),
    400: (2.2, 2.0, -0.03),
    500: (2.3, 2.0, -0.03),
    700: (2.6, 2.0, -0.04),
    900: (3.4, 1.4, -0.06),
}
"""By step: lift on data, on held-out text, and on any other: learning, a plateau from 400 to 700, then by heart."""


def planted(name: str, scale: float, kind: str) -> float:
    return scale * PLANTED[int(name.split("-")[1])][("data", "held-out", "other").index(kind)]


def test_of_planted_equals_the_earliest_ships_and_planted_over_training_is_named(files: Path, tmp_path: Path) -> None:
    found = picked(files, tmp_path, planted, [f"checkpoint-{step}" for step in PLANTED])
    assert (found.verdict, found.winner) == (Verdict.PASS, "checkpoint-400")
    assert found.band == ("checkpoint-400", "checkpoint-500", "checkpoint-700")
    assert found.overtrained == "checkpoint-900"
    text = " ".join(found.summary)
    assert "the earliest, checkpoint-400, is taken" in text
    assert "checkpoint-900 over-trained: the held-out lift falls from" in text
    assert found.command == (f"llama-server -m {BASE_FILE} --lora {tmp_path / 'checkpoint-400.gguf'}",)
    assert all(abs(row.held_out.value - PLANTED[row.step or 0][1]) < 0.2 for row in found.rows if row.held_out)


def test_the_choice_is_made_on_one_half_and_reported_on_the_other(files: Path, tmp_path: Path) -> None:
    """The number that is said is that of the items which took no part, whatever the others say."""
    found = picked(files, tmp_path, planted, [f"checkpoint-{step}" for step in PLANTED])
    assert found.reported is not None
    assert (found.chosen_on, found.reported.items) == (10, 10)
    halves = halves_of(HELD_OUT, 0)
    assert sorted((*halves.choosing, *halves.reporting)) == list(range(20))
    assert f"On the 10 items that took no part in the choice its lift is {found.reported.value:.2f}" in found.summary[0]


def test_the_base_and_every_candidate_are_asked_the_same_once_and_nulls_of_the_chosen_one_alone(
    files: Path, tmp_path: Path
) -> None:
    backend = Trained(planted)
    picked(files, tmp_path, planted, ["checkpoint-100", "checkpoint-400"], scales=(0.5, 1.0), backend=backend)
    before = next(place for place, (_, view, _) in enumerate(backend.seen) if isinstance(view, NullView))
    asked: dict[tuple[str, View], Counter[Query]] = {
        key: Counter() for key in {(name, view) for name, view, _ in backend.seen[:before]}
    }
    for name, view, query in backend.seen[:before]:
        asked[name, view][query] += 1
    scored = {key: counts for key, counts in asked.items() if not any(isinstance(q, NextToken) for q in counts)}
    views = [ScaledView(0.5), ScaledView(1.0)]
    for name in ("checkpoint-100", "checkpoint-400"):
        for view in views:
            counts = asked[name, view]
            assert set(counts.values()) <= {1, 2}  # the chosen one is asked once more, beside its nulls
    assert len({frozenset(counts) for key, counts in scored.items() if key[0] == "checkpoint-100"}) == 1
    assert {name for name, view, _ in backend.seen if isinstance(view, NullView)} == {"checkpoint-400"}
    assert sum(is_base(view) for _, view in asked) >= 1


def test_what_costs_more_than_the_tolerance_does_not_ship_however_much_it_lifts(files: Path, tmp_path: Path) -> None:
    def curve(name: str, scale: float, kind: str) -> float:
        lift, cost = {"small": (1.0, -0.02), "large": (4.0, -0.6)}[name]
        return scale * (cost if kind == "other" else lift)

    found = picked(files, tmp_path, curve, ["large", "small"])
    assert found.winner == "small"
    assert found.row("large").standing == Standing.BEYOND
    assert set(found.pareto) == {"large", "small"}
    nobody = picked(files, tmp_path, curve, ["large"])
    assert (nobody.winner, nobody.verdict, nobody.command) == ("", Verdict.FAIL, ())
    assert "smaller scales may do" in nobody.summary[0]


def test_a_scale_that_stays_within_the_tolerance_ships_and_what_it_keeps_is_said(files: Path, tmp_path: Path) -> None:
    """The lift saturates and the damage goes with the square: half the scale keeps most at a quarter of the cost."""

    def curve(name: str, scale: float, kind: str) -> float:
        return -0.4 * scale**2 if kind == "other" else 3.0 * (1 - 0.1 ** (2 * scale))

    found = picked(files, tmp_path, curve, ["adapter"], scales=(0.25, 0.5, 1.0), spread=0.05)
    assert found.winner == "adapter at λ=0.5"
    assert found.command == (f"llama-server -m {BASE_FILE} --lora-scaled {tmp_path / 'adapter.gguf'}:0.5",)
    kept = next(sentence for sentence in found.summary if "keeps" in sentence)
    assert kept.startswith("adapter: λ = 0.5 keeps 9")
    assert "of the lift at 2" in kept


def test_what_lifts_any_text_is_not_credited_with_it(files: Path, tmp_path: Path) -> None:
    """An adapter that only flatters all text would have the larger raw lift."""

    def curve(name: str, scale: float, kind: str) -> float:
        return {"flatters": 2.0, "learned": 0.0 if kind == "other" else 1.0}[name]

    found = picked(files, tmp_path, curve, ["flatters", "learned"])
    assert found.winner == "learned"
    row = found.row("flatters")
    assert row.held_out is not None
    assert abs(row.held_out.value) < 0.1


def test_noise_never_ships(files: Path, tmp_path: Path) -> None:
    """Six adapters that learned nothing, drawn as their nulls are: the best of them is held to a level that pays."""
    shipped = 0  # of five, one in twenty at most by chance
    for seed in range(5):

        def curve(name: str, scale: float, kind: str, seed: int = seed) -> float:
            return scatter(f"{seed} {name} {kind}", 0.02)

        found = picked(files, tmp_path, curve, [f"untrained-{n}" for n in range(6)], spread=0.02, seed=seed)
        shipped += bool(found.winner)
    assert shipped == 0


def test_without_held_out_text_it_is_said_what_that_means(files: Path, tmp_path: Path) -> None:
    found = picked(files, tmp_path, planted, ["checkpoint-400", "checkpoint-900"], holdout=False)
    assert found.winner == "checkpoint-900"  # by heart looks best where all was seen
    assert found.verdict == Verdict.WARN
    assert SEEN in found.summary
    assert found.overtrained == ""
    assert found.rows[0].held_out is None


def test_numbers_that_are_not_finite_put_a_candidate_out_of_the_choice(files: Path, tmp_path: Path) -> None:
    class Diverged(Trained):
        def _answer(self, view, queries, progress):  # type: ignore[no-untyped-def]
            from sway_gguf.core.errors import NonFiniteError

            if self.carried == "diverged" and not is_base(view):
                raise NonFiniteError(str(view), "the text 'x'")
            return super()._answer(view, queries, progress)

    def curve(name: str, scale: float, kind: str) -> float:
        return 0.0 if kind == "other" else 1.0

    found = picked(files, tmp_path, curve, ["diverged", "sound"], backend=Diverged(curve))
    assert found.winner == "sound"
    assert found.row("diverged").standing == Standing.BROKEN


def test_a_copy_is_no_candidate(files: Path, tmp_path: Path) -> None:
    one, other = checkpoint(tmp_path, "one", 1), checkpoint(tmp_path, "other", 1)
    prepared, _ = prepared_pick(pick_spec(BASE_FILE, one, data=[files / "data.jsonl"]))
    chosen, remarks = contenders(adapters_in([one, other]), prepared.base, [1.0])
    assert [each.name for each in chosen] == ["one"]
    assert remarks == ["other holds the same adapter as one and was left out"]


def test_too_few_items_are_told_before_anything_is_measured(files: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text((files / "holdout.jsonl").read_text(encoding="utf-8").split("\n")[0], encoding="utf-8")
    with pytest.raises(UserError, match="--holdout: 1 items leave no interval"):
        prepared_pick(pick_spec(BASE_FILE, HEALTHY, data=[files / "data.jsonl"], holdout=[few]))
    with pytest.raises(UserError, match="--data: 1 items"):
        prepared_pick(pick_spec(BASE_FILE, HEALTHY, data=[few]))


def lifts(held_out: list[float], cost: float = 0.0, data: float = 1.0, endless: str = "") -> Lifts:
    return Lifts((data,) * 6, tuple(held_out), prose=(cost, cost - 0.01, cost + 0.01) * 3, endless=endless)


def contender(place: int, step: int | None, size: float) -> Contender:
    return Contender(f"c{place}", Path(f"c{place}"), 1.0, step, place, size)


def test_without_steps_the_smallest_of_the_equals_is_taken() -> None:
    same = [1.0, 1.2, 0.9, 1.1, 1.05, 0.8]
    measured = {0: lifts(same), 1: lifts([x + 0.002 for x in same]), 2: lifts([x - 1 for x in same])}
    all_of = [contender(0, None, 3.0), contender(1, None, 2.0), contender(2, None, 1.0)]
    halves = halves_of(same, 0)
    assert (halves.choosing, halves.reporting) == ((0, 1, 2, 3, 4, 5), ())
    found = choose(all_of, measured, standings(measured, -0.15, 0), lambda each: each.held_out, halves, 0)
    assert (found.best, found.band, found.taken) == (1, (1, 0), 1)


def test_replies_that_no_longer_end_and_damage_that_is_open_come_behind() -> None:
    same = [1.0, 1.2, 0.9, 1.1, 1.05, 0.8]
    measured = {0: lifts(same, endless="they run on"), 1: lifts(same, cost=-0.148), 2: lifts([x / 2 for x in same])}
    standing = standings(measured, -0.15, 0)
    assert standing == {0: Standing.ENDLESS, 1: Standing.OPEN, 2: Standing.WITHIN}
    every = [contender(place, place, 1.0) for place in range(3)]
    found = choose(every, measured, standing, lambda each: each.held_out, halves_of(same, 0), 0)
    assert (found.taken, found.strict) == (2, True)
    del measured[2], standing[2]
    found = choose(every, measured, standing, lambda each: each.held_out, halves_of(same, 0), 0)
    assert (found.taken, found.strict) == (1, False)


def test_the_pareto_set_by_hand() -> None:
    points = {0: (1.0, -0.1), 1: (2.0, -0.2), 2: (1.5, -0.3), 3: (2.0, -0.2), 4: (0.5, -0.05)}
    assert pareto(points) == {0, 1, 3, 4}


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([1.0, 1.5, 2.0], ""),
        ([2.0, 2.0, 2.0, 2.0], "3 checkpoints in a row bring no more held-out lift than c0"),
        ([1.0, 2.0, 1.0], "the held-out lift of c2 surely lies below that of c1"),
    ],
)
def test_when_to_stop(files: Path, steps: list[float], why: str) -> None:
    prepared, asked = prepared_pick(pick_spec(BASE_FILE, HEALTHY, data=[files / "data.jsonl"]))
    picking = Picking(prepared, asked)
    for place, mean in enumerate(steps):
        picking.contenders.append(contender(place, place, 1.0))
        picking.measured[place] = lifts([mean + scatter(f"{place} {n}", 0.05) for n in range(12)])
        found = why_stop(picking, 3)
        assert found == (why if place == len(steps) - 1 else "")


def test_training_is_stopped_where_it_damages(files: Path) -> None:
    prepared, asked = prepared_pick(pick_spec(BASE_FILE, HEALTHY, data=[files / "data.jsonl"]))
    picking = Picking(prepared, asked, contenders=[contender(0, 1, 1.0)], measured={0: lifts([1.0] * 8, cost=-0.5)})
    assert "unrelated text surely loses more than 0.15 nats/token with c0" in why_stop(picking, 3)


def test_the_base_view_is_the_plain_one(files: Path, tmp_path: Path) -> None:
    backend = Trained(planted)
    picked(files, tmp_path, planted, ["checkpoint-100"], backend=backend)
    assert backend.seen[0][1] == BASE


def test_of_nothing_that_was_measured_nothing_is_said() -> None:
    assert standings({}, -0.15, 0) == {}
