"""Sets of adapters as values: names, the one adapter that does the same, nulls of a whole set, keys of kept answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair, read_lora
from sway_gguf.artifacts.merge import update
from sway_gguf.artifacts.null import null_adapter, null_of
from sway_gguf.artifacts.stack import Member, Stack, as_stack, read_stack
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora, lora_of, members_of, short_names, stack_key
from sway_gguf.core.views import BASE, DESIGNS, TUNED, Design, MemberView, NullDesign, NullView, PartView, ScaledView
from sway_gguf.engine.identity import Identity
from tests.artifact_files import ADAPTED, adapter_file, base_file, factors

Wide = NDArray[np.float64]


def adapter(
    folder: Path, seed: int = 0, rank: int = 4, modules: tuple[str, ...] = ADAPTED, alpha: float = 8.0
) -> LoraAdapter:
    return replace(read_lora(adapter_file(folder / f"{seed}.gguf", factors(rank, seed, modules))), alpha=alpha)


def updates(member: Member) -> dict[str, Wide]:
    """λ·(alpha / r)·B @ A by module."""
    pairs = member.adapter.pairs
    return {pair.module: update(member.adapter, pair, member.scale).astype(np.float64) for pair in pairs}


def summed(stack: Stack) -> dict[str, Wide]:
    found: dict[str, Wide] = {}
    for member in stack.members:
        for module, each in updates(member).items():
            found[module] = found.get(module, np.zeros_like(each)) + each
    return found


# Names


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [("b.gguf:0.5", "b.gguf", 0.5), ("C:\\loras\\b.gguf:-1", "C:\\loras\\b.gguf", -1.0), ("a:b:2", "a:b", 2.0)],
)
def test_a_file_and_its_scale_are_told_apart_at_the_last_colon(text: str, path: str, scale: float) -> None:
    assert lora_of(text) == Lora(Path(path), scale)
    assert str(lora_of(text)) == f"{path}:{scale:g}"


@pytest.mark.parametrize("text", ["b.gguf", "b.gguf:", ":0.5", "b.gguf:half", "b.gguf:nan", "b.gguf:inf", ""])
def test_what_is_no_file_and_scale_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not FILE:SCALE"):
        lora_of(text)


def test_adapters_are_called_by_as_much_as_tells_them_apart() -> None:
    a, other, b = Path("x/a.gguf"), Path("y/a.gguf"), Path("b.gguf")
    assert short_names([Lora(a), Lora(b, 0.5)]) == ("a.gguf", "b.gguf:0.5")
    assert short_names([Lora(a), Lora(other)]) == (str(a), str(other))
    assert short_names([Lora(a), Lora(a, -1.0)]) == ("a.gguf", "a.gguf:-1")
    assert short_names([Lora(a), Lora(a)]) == ("a.gguf", "a.gguf (2)")


# The one adapter that does the same


def test_the_joined_adapter_has_the_sum_of_the_updates_whatever_their_ranks_scales_and_modules(tmp_path: Path) -> None:
    first = adapter(tmp_path, 0, rank=4, alpha=8.0)
    second = adapter(tmp_path, 1, rank=2, modules=ADAPTED[1:], alpha=1.0)
    stack = Stack((Member(first, 0.5), Member(second, -3.0)))
    joined, wanted = stack.joined(), summed(stack)
    assert joined.scale == 1.0
    assert {pair.module: pair.rank for pair in joined.adapter.pairs} == dict(
        zip(sorted(ADAPTED), (4, 6, 6), strict=True)
    )
    for module, found in updates(joined).items():
        assert np.abs(found - wanted[module]).max() < 1e-5 * np.abs(wanted[module]).max()


def test_a_set_of_one_is_the_adapter_itself(tmp_path: Path) -> None:
    real = adapter(tmp_path)
    assert as_stack(real).lone is real
    assert as_stack(real).as_one() is real
    half = Stack((Member(real, 0.5),))
    assert half.lone is None
    assert (half.as_one().alpha, half.as_one().in_file) == (real.alpha / 2, False)
    with pytest.raises(UserError, match="at scale 0 it is no adapter"):
        Stack((Member(real, 0.0),)).as_one()


def test_a_file_that_stands_in_a_set_twice_is_read_once_and_each_has_to_fit(tmp_path: Path) -> None:
    base = read_base(base_file(tmp_path / "base.gguf"))
    path = adapter_file(tmp_path / "a.gguf")
    stack = read_stack([Lora(path), Lora(path, -1.0)], base)
    assert stack.members[0].adapter is stack.members[1].adapter
    strange = adapter_file(tmp_path / "b.gguf", architecture="gemma")
    with pytest.raises(UserError, match=r"b\.gguf does not fit"):
        read_stack([Lora(path), Lora(strange)], base)


def test_the_cosine_tells_the_same_update_from_its_opposite_and_from_another(tmp_path: Path) -> None:
    real, other = adapter(tmp_path, 0), adapter(tmp_path, 1)
    stack = Stack((Member(real), Member(real, 0.5), Member(real, -2.0), Member(other), Member(real, 0.0)))
    assert [stack.cosine(0, place) for place in range(3)] == pytest.approx([1.0, 1.0, -1.0])
    assert abs(stack.cosine(0, 3)) < 0.2
    assert stack.cosine(0, 4) == 0.0


# Nulls


def test_the_null_of_a_lone_adapter_stays_bit_for_bit_what_it_was(tmp_path: Path) -> None:
    real = adapter(tmp_path)
    for design in DESIGNS:
        found, wanted = (
            null_of(Stack((Member(real, 0.5),)), 3, NullDesign(design)),
            null_adapter(real, 3, NullDesign(design)),
        )
        assert found.scale == 0.5
        assert found.adapter.alpha == wanted.alpha
        for mine, theirs in zip(found.adapter.pairs, wanted.pairs, strict=True):
            assert (mine.a.tobytes(), mine.b.tobytes()) == (theirs.a.tobytes(), theirs.b.tobytes())


def test_the_null_of_a_set_is_as_large_as_the_set_for_every_input(tmp_path: Path) -> None:
    stack = Stack((Member(adapter(tmp_path, 0), 0.7), Member(adapter(tmp_path, 1, rank=2), -1.5)))
    wanted, inputs = summed(stack), np.random.default_rng(2).normal(size=(24, 9))
    for module, found in updates(null_of(stack, 5)).items():
        seen, real = (np.linalg.norm(each @ inputs[: each.shape[1]], axis=0) for each in (found, wanted[module]))
        assert seen == pytest.approx(real, rel=1e-4)
        assert np.abs(found - wanted[module]).max() > 0.1 * np.abs(wanted[module]).max()


def test_adapters_that_are_alike_or_cancel_do_so_in_the_null_too(tmp_path: Path) -> None:
    """Rotated one by one, two halves of one adapter would be smaller than it by √2, and opposites would not cancel."""
    real = adapter(tmp_path)
    halves = updates(null_of(Stack((Member(real, 0.5), Member(real, 0.5))), 1))
    cancelled = updates(null_of(Stack((Member(real), Member(real, -1.0))), 1))
    for module, whole in updates(Member(real)).items():
        assert np.linalg.norm(halves[module]) == pytest.approx(np.linalg.norm(whole), rel=1e-4)
        assert np.abs(cancelled[module]).max() < 1e-4 * np.abs(whole).max()


def test_untrained_adapters_that_hang_together_are_one_of_their_own_nulls() -> None:
    """Both grew from one Gaussian B: jointly it is rotation-invariant, so ranks are uniform over ten places."""
    ranks, direction = [], np.random.default_rng(5).normal(size=16)
    module = "blk.0.attn_q.weight"
    for trial in range(200):
        rng = np.random.default_rng(trial)
        a, b = rng.normal(size=(2, 16)).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32)
        near = b + 0.3 * rng.normal(size=b.shape).astype(np.float32)
        pairs = [LoraPair(module, a, each, "F32", "F32") for each in (b, near)]
        stack = Stack(tuple(Member(LoraAdapter(Path("a"), "llama", 2.0, (pair,)), 0.5) for pair in pairs))
        nulls = [direction @ updates(null_of(stack, seed))[module] @ np.ones(16) for seed in range(9)]
        ranks.append(sum(null < direction @ summed(stack)[module] @ np.ones(16) for null in nulls))
    counts = np.bincount(ranks, minlength=10)
    # χ² with 9 degrees of freedom stays below 27.9 in 999 of 1,000.
    assert float(((counts - 20) ** 2 / 20).sum()) < 27.9


@pytest.mark.parametrize("design", DESIGNS)
def test_a_null_of_a_set_has_its_energy_under_every_design(tmp_path: Path, design: Design) -> None:
    stack = Stack((Member(adapter(tmp_path, 0, alpha=4.0), 0.5), Member(adapter(tmp_path, 1, rank=2), 2.0)))
    drawn = [updates(null_of(stack, seed, NullDesign(design))) for seed in range(40)]
    for module, real in summed(stack).items():
        found = float(np.mean([np.sum(each[module] ** 2) for each in drawn]))
        # Gaussian factors: Σ over the members of (λ·alpha/r)²·r·σ⁴·d_in·d_out, whatever the set's own factors.
        weights = (0.5 * 4 / 4) ** 2 * 4 + (2.0 * 8 / 2) ** 2 * 2
        wanted = weights * 0.02**4 * real.size if design == "gaussian" else float(np.sum(real**2))
        assert found == pytest.approx(wanted, rel=0.15 if design == "gaussian" else 1e-3)


# Keys of kept answers


def test_a_key_holds_contents_scales_and_order_and_gives_them_back() -> None:
    assert stack_key([("a1", 1.0)]) == "a1"
    sets = [[("a1", 0.5)], [("a1", 1.0), ("b2", 0.5)], [("b2", 0.5), ("a1", 1.0)], [("a1", 0.1), ("a1", -1.0)]]
    assert len({stack_key(each) for each in sets}) == len(sets)
    assert [members_of(stack_key(each)) for each in [*sets, [("a1", 1.0)]]] == [*sets, [("a1", 1.0)]]


def test_answers_of_one_adapter_of_a_set_are_those_of_the_adapter_alone(tmp_path: Path) -> None:
    base = read_base(base_file(tmp_path / "base.gguf"))
    a, b = (read_lora(adapter_file(tmp_path / f"{seed}.gguf", factors(seed=seed))) for seed in (0, 1))

    def identity(*members: Member) -> Identity:
        return Identity(base, EngineSettings(), Stack(members))

    both, alone = identity(Member(a), Member(b, 0.5)), Identity(base, EngineSettings(), a)
    assert both.of(MemberView(0)) == alone.of(TUNED) == identity(Member(a)).of(TUNED)
    assert both.of(MemberView(1)) == identity(Member(b, 0.5)).of(TUNED) != identity(Member(b)).of(TUNED)
    three = identity(Member(a), Member(a, 3.0), Member(b, 0.5))
    assert three.of(PartView((0, 2))) == both.of(TUNED) != three.of(PartView((1, 2)))
    assert both.of(BASE) == alone.of(BASE) == both.of(ScaledView(0.0))
    for view in (TUNED, ScaledView(0.5), NullView(1)):
        others = [alone, identity(Member(b, 0.5), Member(a)), identity(Member(a), Member(b))]
        assert all(each.of(view)["adapter"] != both.of(view)["adapter"] for each in others)
