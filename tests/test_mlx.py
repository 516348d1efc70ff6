"""Adapters by mlx-lm: the numbers of the equal PEFT folder, bit for bit, and what is refused with its way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.merge import update
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.core.errors import UserError
from sway_gguf.material.packaged import DEMO
from sway_gguf.watch.arrival import check_whole
from tests.command_line import complaint, succeeded
from tests.test_cli import BASE
from tests.test_peft import factors, folder

PARAMETERS = {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "mlp.up_proj"]}
CONFIG = {"fine_tune_type": "lora", "model": "org/tiny", "num_layers": 1, "lora_parameters": PARAMETERS}


@pytest.fixture
def base() -> BaseModel:
    return read_base(DEMO / "base.f32.gguf")


def as_mlx(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same factors as mlx-lm names and turns them."""
    found = {}
    for name, tensor in tensors.items():
        module, side = name.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".", 1)
        found[f"{module}.{side.lower()}"] = np.ascontiguousarray(tensor.T)
    return found


def mlx_folder(path: Path, tensors: dict[str, np.ndarray] | None = None, **config: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "adapter_config.json").write_text(json.dumps(CONFIG | config), encoding="utf-8")
    save_file(as_mlx(factors(block=2)) if tensors is None else tensors, path / "adapters.safetensors")
    return path


def same(one: LoraAdapter, other: LoraAdapter) -> bool:
    return one.alpha == other.alpha and all(
        mine.module == theirs.module and np.array_equal(mine.a, theirs.a) and np.array_equal(mine.b, theirs.b)
        for mine, theirs in zip(one.pairs, other.pairs, strict=True)
    )


def test_an_mlx_folder_is_the_equal_peft_folder_bit_for_bit(tmp_path: Path, base: BaseModel) -> None:
    """scale 2 at rank 4 is an alpha of 8: alpha / r is what mlx-lm multiplies by."""
    mine = read_peft(mlx_folder(tmp_path / "mlx"), base)
    assert same(mine, read_peft(folder(tmp_path / "peft", factors(block=2), r=4, lora_alpha=8), base))
    assert mine.base_name == "org/tiny"
    assert len(mine.pairs) == 2


def test_the_update_is_scale_times_both_factors_by_hand(tmp_path: Path, base: BaseModel) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(256, 4)).astype(np.float32), rng.normal(size=(4, 512)).astype(np.float32)
    tensors = {"model.layers.1.mlp.up_proj.lora_a": a, "model.layers.1.mlp.up_proj.lora_b": b}
    adapter = read_peft(mlx_folder(tmp_path / "m", tensors, lora_parameters=PARAMETERS | {"scale": 20.0}), base)
    # y = x @ W.T + scale · (x @ lora_a) @ lora_b, so W changes by scale · (lora_a @ lora_b).T, whatever the rank.
    wanted = 20.0 * (a.astype(float) @ b.astype(float)).T
    assert update(adapter, adapter.pairs[0], 1.0) == pytest.approx(wanted, rel=1e-5, abs=1e-4)
    assert adapter.scaling(adapter.pairs[0]) == 20.0


def test_an_embedding_is_its_rows(tmp_path: Path, base: BaseModel) -> None:
    rng = np.random.default_rng(0)
    rows = base.vocabulary
    a, b = rng.normal(size=(rows, 4)).astype(np.float32), rng.normal(size=(4, 256)).astype(np.float32)
    tensors = {"model.embed_tokens.lora_a": a, "model.embed_tokens.lora_b": b}
    adapter = read_peft(mlx_folder(tmp_path / "m", tensors), base)
    assert update(adapter, adapter.pairs[0], 1.0) == pytest.approx(2.0 * a @ b, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"fine_tune_type": "dora"}, "DoRA rescales whole weights"),
        ({"use_dora": True}, "DoRA rescales whole weights"),
        ({"fine_tune_type": "full"}, "fine_tune_type is 'full'"),
        ({"lora_parameters": None}, "no lora_parameters with rank and scale"),
        ({"lora_parameters": PARAMETERS | {"scale": "2"}}, "lora_parameters.scale is '2'"),
        ({"lora_parameters": PARAMETERS | {"scale": 10**400}}, "where a number is wanted"),
        ({"lora_parameters": PARAMETERS | {"rank": 0}}, "lora_parameters.rank is 0"),
        ({"lora_parameters": PARAMETERS | {"rank": 8}}, "has rank 4 in the weights and 8 here"),
        ({"num_layers": "all"}, "num_layers is 'all'"),
        ({"lora_parameters": PARAMETERS | {"alpha": 16}}, "the first releases of mlx-lm ran that at 8, later"),
    ],
    ids=[
        "DoRA",
        "use_dora",
        "full",
        "no parameters",
        "scale",
        "a huge scale",
        "rank",
        "another rank",
        "layers",
        "alpha",
    ],
)
def test_what_is_no_plain_lora_is_refused_in_a_line(
    tmp_path: Path, base: BaseModel, config: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told.replace(".", r"\.")) as caught:
        read_peft(mlx_folder(tmp_path / "m", **config), base)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("alpha", [4, 8])
def test_an_alpha_under_which_both_laws_agree_is_let_pass(tmp_path: Path, base: BaseModel, alpha: int) -> None:
    """scale·alpha / rank is scale where alpha is the rank; where alpha is scale·rank, the scale was written from it."""
    adapter = read_peft(mlx_folder(tmp_path / "m", lora_parameters=PARAMETERS | {"alpha": alpha}), base)
    assert adapter.scaling(adapter.pairs[0]) == 2.0


def test_files_that_are_not_there_or_hold_more_are_told(tmp_path: Path, base: BaseModel) -> None:
    quantized = as_mlx(factors()) | {"model.layers.0.mlp.up_proj.lora_a_scales": np.ones((4, 4), np.float32)}
    with pytest.raises(UserError, match=r"lora_a_scales: a GGUF LoRA holds factors lora_a and lora_b alone; fuse it"):
        read_peft(mlx_folder(tmp_path / "q", quantized), base)
    old = mlx_folder(tmp_path / "old")
    (old / "adapters.safetensors").rename(old / "adapters.npz")
    with pytest.raises(UserError, match="before safetensors"):
        read_peft(old, base)
    mixed = mlx_folder(tmp_path / "mixed")
    (mixed / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4}', encoding="utf-8")
    with pytest.raises(UserError, match="put its own beside them"):
        read_peft(mixed, base)


def test_watch_waits_for_the_weights(tmp_path: Path) -> None:
    path = mlx_folder(tmp_path / "m")
    check_whole(path)
    (path / "adapters.safetensors").unlink()
    with pytest.raises(UserError, match=r"no adapters\.safetensors in it yet"):
        check_whole(path)


def test_commands_take_the_folder(tmp_path: Path, base: BaseModel) -> None:
    path, out = str(mlx_folder(tmp_path / "m")), str(tmp_path / "a.gguf")
    assert "2 modules, rank 4, alpha 8, F32" in succeeded("convert", path, "--base", BASE, "-o", out)
    assert same(read_lora(Path(out)), read_peft(Path(path), base))
    # The last block alone was trained, and all that its keys name stands in the adapter.
    text = succeeded("inspect", BASE, path)
    assert "of target_modules: attention 1 of 1, MLP 1 of 1" in " ".join(text.split())
    assert "the same as" in succeeded("inspect", BASE, out, "--peft", path)
    assert "DoRA" in complaint("check", BASE, str(mlx_folder(tmp_path / "d", fine_tune_type="dora")))
