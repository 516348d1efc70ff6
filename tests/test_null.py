"""Null adapters: what each design keeps, the law of rank and energy, and that a seed says everything."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.null import VERSION, _orthonormal, null_adapter
from sway_gguf.core.views import DESIGNS, Design, Energy, NullDesign
from tests.artifact_files import factors, spoiled


def adapter(rank: int = 4, seed: int = 0, alpha: float = 8.0) -> LoraAdapter:
    pairs = tuple(LoraPair(m, a, b, "F32", "F32") for m, (a, b) in sorted(factors(rank, seed).items()))
    return LoraAdapter(Path("real.gguf"), "llama", alpha, pairs)


def update(whole: LoraAdapter, place: int) -> np.ndarray:
    """ΔW of one module, float64."""
    pair = whole.pairs[place]
    product: np.ndarray = whole.scaling(pair) * (pair.b.astype(np.float64) @ pair.a.astype(np.float64))
    return product


@given(seed=st.integers(0, 2**32), rank=st.integers(1, 8))
@settings(max_examples=30)
def test_rotation_keeps_the_size_of_the_effect_on_every_input(seed: int, rank: int) -> None:
    real = adapter(rank)
    null = null_adapter(real, seed)
    for place in range(len(real.pairs)):
        x = np.random.default_rng(seed).normal(size=real.pairs[place].a.shape[1])
        before, after = np.linalg.norm(update(real, place) @ x), np.linalg.norm(update(null, place) @ x)
        assert after == pytest.approx(before, rel=1e-5)


def test_rotation_leaves_nothing_of_the_direction() -> None:
    real = adapter()
    cosines = []
    for seed in range(200):
        one, other = update(real, 0).ravel(), update(null_adapter(real, seed), 0).ravel()
        cosines.append(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    # Of mean 0, and with 16 output dimensions of a spread below 1 / √16.
    assert abs(np.mean(cosines)) < 4 * np.std(cosines) / np.sqrt(len(cosines))
    assert np.std(cosines) < 0.25


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_spectrum_keeps_the_singular_values(seed: int) -> None:
    real = adapter()
    null = null_adapter(real, seed, NullDesign("spectrum"))
    for place in range(len(real.pairs)):
        before, after = (np.linalg.svd(update(one, place), compute_uv=False)[:4] for one in (real, null))
        assert after == pytest.approx(before, rel=1e-5)


def test_gaussian_factors_have_the_standard_deviation_asked_for() -> None:
    drawn = [null_adapter(adapter(), seed, NullDesign("gaussian", init_scale=0.05)) for seed in range(50)]
    a = np.concatenate([null.pairs[0].a.ravel() for null in drawn])
    b = np.concatenate([null.pairs[0].b.ravel() for null in drawn])
    assert (a.std(), b.std()) == (pytest.approx(0.05, rel=0.05), pytest.approx(0.05, rel=0.05))
    assert drawn[0].pairs[0].a.shape == adapter().pairs[0].a.shape


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("rank_scale", [0.25, 0.5, 0.6, 1.5, 2.0, 3.0])
@pytest.mark.parametrize(("energy", "power"), [("rank", 1), ("original", 2)])
def test_energy_follows_rank_under_every_design(design: Design, rank_scale: float, energy: Energy, power: int) -> None:
    """E‖ΔW'‖² = rank_scale · E‖ΔW'‖² at rank_scale 1, or its square as the original has it, to 5% over 200 draws."""
    real = adapter()

    def mean_energy(scale: float) -> float:
        nulls = (null_adapter(real, seed, NullDesign(design, scale, energy=energy)) for seed in range(200))
        return float(np.mean([sum(null.update_norm(pair) ** 2 for pair in null.pairs) for null in nulls]))

    assert mean_energy(rank_scale) / mean_energy(1.0) == pytest.approx(rank_scale**power, rel=0.05)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("rank_scale", "rank"), [(0.1, 1), (0.5, 2), (1.0, 4), (2.0, 8), (2.6, 10)])
def test_rank_scale_sets_the_rank_and_keeps_the_scaling(design: Design, rank_scale: float, rank: int) -> None:
    null = null_adapter(adapter(), 3, NullDesign(design, rank_scale))
    assert null.ranks == (rank,)
    assert [null.scaling(pair) for pair in null.pairs] == pytest.approx([2.0] * 3)


def test_rotation_of_a_lower_rank_keeps_the_strongest_input_directions() -> None:
    real = adapter()
    null = null_adapter(real, 1, NullDesign("rotation", 0.5))
    _, _, right = np.linalg.svd(update(real, 0))
    outside = update(null, 0) @ right[2:].T
    assert np.abs(outside).max() < 1e-5 * np.abs(update(null, 0)).max()


def test_an_untrained_adapter_is_one_of_its_own_rotation_nulls() -> None:
    """A Gaussian B is rotation-invariant: its B' must have the same spread in every direction."""
    ranks = []
    direction = np.random.default_rng(5).normal(size=16)
    for trial in range(300):
        real = adapter(seed=trial)
        nulls = [direction @ update(null_adapter(real, seed), 0) @ np.ones(16) for seed in range(9)]
        ranks.append(sum(null < direction @ update(real, 0) @ np.ones(16) for null in nulls))
    counts = np.bincount(ranks, minlength=10)
    # Uniform over ten places: χ² with 9 degrees of freedom stays below 27.9 in 999 of 1,000.
    assert float(((counts - 30) ** 2 / 30).sum()) < 27.9


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    code = (
        "from tests.test_null import *; import sys; from pathlib import Path\n"
        "for d in DESIGNS: write_lora(null_adapter(adapter(), 11, NullDesign(d, 0.5)), Path(sys.argv[1], d))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    for design in DESIGNS:
        write_lora(null_adapter(adapter(), 11, NullDesign(design, 0.5)), tmp_path / "here")
        assert digest(tmp_path / "here") == digest(tmp_path / design)


@pytest.mark.parametrize("design", DESIGNS)
def test_neither_the_order_nor_the_number_of_tensors_matters(design: Design) -> None:
    real = adapter()
    whole = null_adapter(real, 2, NullDesign(design))
    turned = null_adapter(replace(real, pairs=real.pairs[::-1]), 2, NullDesign(design))
    alone = null_adapter(replace(real, pairs=real.pairs[1:2]), 2, NullDesign(design))
    assert (turned.pairs[1].b == whole.pairs[1].b).all()
    assert (alone.pairs[0].b == whole.pairs[1].b).all()
    assert (whole.pairs[0].b != null_adapter(real, 3, NullDesign(design)).pairs[0].b).any()


def test_mixed_ranks_share_one_alpha_and_keep_each_scaling() -> None:
    pairs = (*adapter(rank=3).pairs[:1], *adapter(rank=8).pairs[1:])
    real = replace(adapter(), pairs=pairs)
    for design in DESIGNS:
        null = null_adapter(real, 1, NullDesign(design, 0.5))
        energy = [null.update_norm(pair) ** 2 for pair in null.pairs]
        if design != "gaussian":
            wanted = [0.5 * real.update_norm(pair) ** 2 for pair in real.pairs]
            assert energy == pytest.approx(wanted, rel=1e-4)
        assert null.ranks == (2, 4)


def test_experts_are_rotated_one_by_one() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 2, 8)).astype(np.float32), rng.normal(size=(3, 8, 2)).astype(np.float32)
    real = replace(adapter(), pairs=(LoraPair("blk.0.ffn_up_exps.weight", a, b, "F32", "F32"),))
    null = null_adapter(real, 1).pairs[0]
    for expert in range(3):
        assert np.linalg.norm(null.b[expert] @ null.a[expert]) == pytest.approx(
            np.linalg.norm(b[expert] @ a[expert]), rel=1e-5
        )
    assert not np.allclose(null.b, b)


def test_a_zero_adapter_has_zero_nulls() -> None:
    real = adapter()
    zero = replace(real, pairs=tuple(replace(pair, b=np.zeros_like(pair.b)) for pair in real.pairs))
    for design in ("rotation", "spectrum"):
        assert all(np.all(pair.b == 0) for pair in null_adapter(zero, 1, NullDesign(design)).pairs)


def test_what_has_no_null_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        null_adapter(spoiled(adapter(), 0), 1)
    with pytest.raises(ValueError, match="negative"):
        null_adapter(adapter(), -1)
    for wrong in ({"rank_scale": 0.0}, {"init_scale": -1.0}, {"design": "other"}, {"energy": "other"}):
        with pytest.raises(ValueError, match=next(iter(wrong)).replace("design", "design 'other'")):
            NullDesign(**wrong)  # type: ignore[arg-type]


PINNED: dict[tuple[Design, float], list[float]] = {
    ("rotation", 1.0): [0.777424, 2.097850, 1.789270, 2.333510, 3.469045, 8.198504],
    ("rotation", 0.5): [-0.262354, -0.541169, -0.770599, -0.025376, -0.052344, -0.074535],
    ("spectrum", 1.0): [0.178109, -2.015724, 2.171466, -3.347669, -5.834439, 5.838304],
    ("spectrum", 0.5): [0.599734, 0.583205, 0.505676, 0.058008, 0.056410, 0.048911],
    ("gaussian", 1.0): [5.22128e-4, -1.16501e-4, 1.664e-5, -1.906659e-3, 4.67796e-4, 3.32607e-4],
    ("gaussian", 0.5): [-2.0943e-4, -2.0257e-5, -6.28623e-4, 5.2999e-5, 5.126e-6, 1.59082e-4],
}
"""The first two rows of B @ A of a null of two small factors, seed 5."""


@pytest.mark.parametrize("drawn", PINNED, ids=str)
def test_what_a_seed_draws_is_pinned_to_the_version_under_which_answers_are_kept(drawn: tuple[Design, float]) -> None:
    """Whoever changes a number here raises `null.VERSION`: answers of the nulls before stand in people's stores.

    Bytes would hang on the processor's own rounding, which is part of what answers are kept under.
    """
    a = np.array([[1, 2, 3], [0, 1, -1]], np.float32)
    b = np.array([[1, 0], [0, 2], [1, 1], [3, 0]], np.float32)
    real = replace(adapter(), pairs=(LoraPair("blk.0.attn_q.weight", a, b, "F32", "F32"),))
    (pair,) = null_adapter(real, 5, NullDesign(*drawn)).pairs
    assert VERSION == 1
    assert (pair.b @ pair.a)[:2].ravel().tolist() == pytest.approx(PINNED[drawn], rel=1e-3)


@pytest.mark.parametrize("shape", [(4, 1), (64, 16), (1536, 64)])
def test_a_tall_draw_is_made_orthonormal_as_its_qr_factorization_has_it(shape: tuple[int, int]) -> None:
    drawn = np.random.default_rng(5).normal(size=shape)
    basis, upper = np.linalg.qr(drawn)
    found = _orthonormal(drawn)
    assert np.abs(found - basis * np.sign(np.diag(upper))).max() < 1e-13
    assert np.abs(found.T @ found - np.eye(shape[1])).max() < 1e-13
