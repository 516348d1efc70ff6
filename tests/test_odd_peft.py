"""PEFT folders wrong in one place, by a list and by seed: each is converted as peft would read it, or refused."""

from __future__ import annotations

import json
import math
import os
import random
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sway_gguf.artifacts import patterns
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.coverage import family_of, shares, targets
from sway_gguf.artifacts.facts import adapter_facts
from sway_gguf.artifacts.likeness import differences
from sway_gguf.artifacts.lora import LoraAdapter, check_finite
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.patterns import first_matches
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.artifacts.peft_config import read_config
from sway_gguf.core.errors import UserError
from sway_gguf.material.packaged import DEMO
from tests.test_odd_gguf import mutations
from tests.test_peft import CONFIG, PREFIX, factors, folder
from tests.torch_file import FakeTensor, torch_file

ODD = [
    None,
    True,
    False,
    0,
    -1,
    1,
    8,
    10**400,
    2**70,
    0.0,
    1e-300,
    1e300,
    math.nan,
    math.inf,
    "",
    "false",
    "8",
    "(",
    "\0",
]
ODD += [[], {}, [1], ["q_proj"], ["("], {"a": 1}, {"(": 1}, {"q_proj": "x"}, {"q_proj": 0}, {"q_proj": None}, [[]]]
FIELDS = [*CONFIG, "alpha_pattern", "rank_pattern", "use_rslora", "use_dora", "modules_to_save", "fan_in_fan_out"]
FIELDS += [
    "init_lora_weights",
    "base_model_name_or_path",
    "layers_to_transform",
    "exclude_modules",
    "layer_replication",
]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return read_base(DEMO / "base.f32.gguf")


def complaint(path: Path, base: BaseModel) -> str:
    """What is said of a folder in one line, or "" where it converts. Anything but a UserError fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            adapter = read_adapter(path, base)
            differences(adapter, adapter, base)
            shares(adapter, base, read_config(path))
            check_finite(adapter, "so")
            adapter_facts(adapter)
            write_lora(adapter, path / "out.gguf")
        except UserError as error:
            said = str(error)
            assert said.count("\n") == 0, said
            assert path.name in said, said
            return said
    return ""


@pytest.mark.parametrize("field", FIELDS)
def test_an_odd_value_in_the_config_is_taken_as_peft_does_or_named(tmp_path: Path, base: BaseModel, field: str) -> None:
    for value in ODD:
        said = complaint(folder(tmp_path / "p", **{field: value}), base)
        assert not said or field in said or (field, "alpha" in said) == ("lora_alpha", True), said


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        *(("lora_alpha", value, "lora_alpha is ") for value in (0, None, math.nan, math.inf, "16", True, 10**400, [])),
        ("lora_alpha", 1e39, "an alpha of 1e+39 is beyond the float32"),
        ("use_rslora", "false", "use_rslora is 'false'; write true or false"),
        ("alpha_pattern", {"(": 1}, "alpha_pattern: '(' is no regular expression"),
        ("alpha_pattern", {"q_proj": 0}, "alpha_pattern['q_proj'] is 0"),
        ("alpha_pattern", {"q_proj": "x"}, "alpha_pattern['q_proj'] is 'x'"),
        ("alpha_pattern", 1, "alpha_pattern is 1, where names with numbers are wanted"),
        ("rank_pattern", {"(": 4}, "rank_pattern: '(' is no regular expression"),
        ("target_modules", "(", "target_modules: '(' is no regular expression"),
        ("alora_invocation_tokens", [1, 2], "alora_invocation_tokens is [1, 2]: an activated LoRA"),
        ("layer_replication", [[0, 2], [1, 3]], "layer_replication is [[0, 2], [1, 3]]"),
    ],
)
def test_a_value_that_makes_no_adapter_is_named(
    tmp_path: Path, base: BaseModel, field: str, value: object, wanted: str
) -> None:
    assert wanted in complaint(folder(tmp_path / "p", **{field: value}), base)


def test_a_damaged_config_or_weights_are_read_or_refused_in_one_line(tmp_path: Path, base: BaseModel) -> None:
    path = folder(tmp_path / "p", alpha_pattern={}, use_rslora=False)
    refused = 0
    for name, count in (("adapter_config.json", 250), ("adapter_model.safetensors", 250)):
        data = (path / name).read_bytes()
        for changed in mutations(data[:700], 3, count):
            (path / name).write_bytes(changed + data[700:])
            refused += bool(complaint(path, base))
        (path / name).write_bytes(data)
    assert refused > 250
    assert complaint(path, base) == ""


def test_odd_tensors_are_named(tmp_path: Path, base: BaseModel) -> None:
    """Shapes by seed: only [4, 256] with [256, 4] is what the config and the base want."""
    rng = random.Random(5)
    module = f"{PREFIX}.0.self_attn.q_proj"
    for _ in range(200):
        a, b = (tuple(rng.choice((0, 1, 3, 4, 256)) for _ in range(rng.randrange(4))) for _ in range(2))
        tensors = {f"{module}.lora_{side}.weight": np.ones(shape, np.float32) for side, shape in (("A", a), ("B", b))}
        said = complaint(folder(tmp_path / "p", tensors), base)
        good = len(a) == len(b) == 2 and a[1] == b[0] == 256 and a[0] == b[1] and 0 not in a
        assert bool(said) != good, (a, b, said)
        if len(a) != 2 or len(b) != 2:
            assert "q_proj" in said


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", "bool"])
def test_factors_of_any_number_are_read_or_named(tmp_path: Path, base: BaseModel, dtype: str) -> None:
    tensors = {name: tensor.astype(dtype) for name, tensor in factors().items()}
    said = complaint(folder(tmp_path / "p", tensors), base)
    assert said == "" if dtype.startswith("float") else "a float type is wanted" in said


def test_a_module_that_is_there_twice_is_named(tmp_path: Path, base: BaseModel) -> None:
    name = f"{PREFIX}.0.mlp.up_proj.lora_A"
    tensors = factors()
    again = tensors | {f"{name}.default.weight": tensors[f"{name}.weight"]}
    assert "up_proj has two factors A" in complaint(folder(tmp_path / "p", again), base)
    other = {key.replace("model.layers", "language_model.layers"): value for key, value in tensors.items()}
    assert "2 modules are all blk.0." in complaint(folder(tmp_path / "p", tensors | other), base)


def test_rows_that_are_no_heads_are_named(tmp_path: Path, base: BaseModel) -> None:
    module = f"{PREFIX}.0.self_attn.q_proj"
    odd = {
        f"{module}.lora_A.weight": np.ones((4, 256), np.float32),
        f"{module}.lora_B.weight": np.ones((12, 4), np.float32),
    }
    assert "has 12 rows, which are no 4 heads" in complaint(folder(tmp_path / "p", odd), base)


def test_a_missing_alpha_is_eight_as_in_peft(tmp_path: Path, base: BaseModel) -> None:
    path = folder(tmp_path / "p")
    config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
    del config["lora_alpha"]
    (path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    # Rank 4, so that alpha = r would be another scaling.
    assert (read_peft(path, base).alpha, read_peft(path, base).scaling(read_peft(path, base).pairs[0])) == (8.0, 2.0)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("pissa", "PiSSA"),
        ("pissa_niter_16", "PiSSA"),
        ("olora", "OLoRA"),
        ("OLoRA", "OLoRA"),
        ("loftq", "LoftQ"),
        ("corda", "CorDA"),
        ("lora_ga", "LoRA-GA"),
    ],
)
def test_a_start_that_changed_the_base_is_refused_with_the_way_out(
    tmp_path: Path, base: BaseModel, start: str, name: str
) -> None:
    said = complaint(folder(tmp_path / "p", init_lora_weights=start), base)
    assert f"{name} changed the base's own weights" in said
    assert ("merge_and_unload" if name == "LoftQ" else "path_initial_model_for_weight_conversion") in said


@pytest.mark.parametrize("start", [True, False, "gaussian", "eva", "orthogonal", "mica"])
def test_a_start_that_leaves_the_base_alone_is_converted(tmp_path: Path, base: BaseModel, start: bool | str) -> None:
    assert complaint(folder(tmp_path / "p", init_lora_weights=start), base) == ""


def test_what_peft_converted_already_is_plain_lora(tmp_path: Path, base: BaseModel) -> None:
    """peft writes init_lora_weights true, twice the rank and twice alpha: the scaling stays, ΔW = s·(B A - B₀ A₀)."""
    before, start = factors(), factors(block=0)
    rng = np.random.default_rng(9)
    trained = {name: tensor + rng.normal(size=tensor.shape).astype(np.float32) for name, tensor in before.items()}
    both = {
        name: np.concatenate(
            [tensor, start[name] if "lora_A" in name else -start[name]], axis=0 if "lora_A" in name else 1
        )
        for name, tensor in trained.items()
    }
    adapter = read_peft(folder(tmp_path / "p", both, r=8, lora_alpha=16, init_lora_weights=True), base)
    up = next(pair for pair in adapter.pairs if "ffn_up" in pair.module)
    a, b = (f"{PREFIX}.0.mlp.up_proj.lora_{side}.weight" for side in "AB")
    wanted = 2.0 * (trained[b] @ trained[a] - start[b] @ start[a])
    assert adapter.scaling(up) * up.b @ up.a == pytest.approx(wanted, abs=1e-3)


def test_a_pattern_that_backtracks_for_ages_is_ended(
    tmp_path: Path, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_SECONDS", 2)
    started = time.monotonic()
    said = complaint(folder(tmp_path / "p", alpha_pattern={"([a-z0-9_.]+)+!": 8}), base)
    assert "alpha_pattern: matching its patterns takes more than 2 s" in said
    assert time.monotonic() - started < 60


def test_patterns_match_as_pefts_own_look_up_does() -> None:
    names = [f"model.layers.{n}.{part}" for n in range(12) for part in ("self_attn.q_proj", "mlp.up_proj")]

    def of(*asked: str) -> list[int | None]:
        return first_matches(asked, names, "end", "here")

    assert of() == [None] * 24
    assert of("q_proj") == [0, None] * 12
    assert of("_proj") == [None] * 24
    assert of("layers.1.mlp.up_proj", "up_proj")[1::2] == [0 if n == 1 else 1 for n in range(12)]
    assert of(r"layers\.(3|4)\..*") == [0 if n in (3, 4) else None for n in range(12) for _ in range(2)]
    assert of("model.layers.2.mlp.up_proj")[5] == 0
    with pytest.raises(UserError, match=r"here: '\(' is no regular expression"):
        of("q_proj", "(")


def test_an_infinite_update_is_not_written(tmp_path: Path, base: BaseModel) -> None:
    tensors = {name: tensor * np.float32(1e30) for name, tensor in factors().items()}
    said = complaint(folder(tmp_path / "p", tensors, lora_alpha=8, alpha_pattern={"q_proj": 1e20}), base)
    assert "NaN or infinity in blk.0.attn_q.weight" in said


def test_a_folder_of_several_alphas_converts_to_the_same_bytes_each_time(tmp_path: Path, base: BaseModel) -> None:
    """The file's alpha is the first pair's; the order in which tensors are read must not choose it."""
    path = folder(tmp_path / "p", factors() | factors(block=1), alpha_pattern={"q_proj": 32, "layers.1.mlp.up_proj": 4})
    assert {read_peft(path, base).alpha for _ in range(20)} == {8.0}


def equal(one: LoraAdapter, other: LoraAdapter) -> bool:
    pairs = zip(one.pairs, other.pairs, strict=True)
    same = all((p.a == q.a).all() and (p.b == q.b).all() and p.module == q.module for p, q in pairs)
    return same and one.alpha == other.alpha


def test_a_pickled_adapter_of_old_is_read_without_torch(tmp_path: Path, base: BaseModel) -> None:
    wanted = read_peft(folder(tmp_path / "p"), base)
    path = folder(tmp_path / "old")
    (path / "adapter_model.safetensors").unlink()
    torch_file(path / "adapter_model.bin", {name: FakeTensor(tensor) for name, tensor in factors().items()})
    assert equal(replace(read_peft(path, base), path=wanted.path), wanted)


def test_a_pickled_adapter_that_is_none_is_told(tmp_path: Path, base: BaseModel) -> None:
    path = folder(tmp_path / "old")
    (path / "adapter_model.safetensors").unlink()
    (path / "adapter_model.bin").write_bytes(b"not a zip")
    assert "not a zip file" in complaint(path, base)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are Unix's")
@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_parts_without_an_end_are_not_opened(tmp_path: Path, base: BaseModel, name: str) -> None:
    for make in (os.mkfifo, lambda place: os.symlink("/dev/zero", place), os.mkdir):
        path = folder(tmp_path / "p")
        (path / name).unlink()
        make(path / name)
        with pytest.raises(UserError, match=r"this is a directory|no regular file but a pipe"):
            read_peft(path, base)
        os.rmdir(path / name) if make is os.mkdir else (path / name).unlink()


def present(path: Path, base: BaseModel) -> dict[str, tuple[int, Sequence[str]]]:
    """How many modules of each family were to be trained, and which are missing."""
    found = shares(read_peft(path, base), base, read_config(path))
    return {share.family: (len(share.trained), share.missing) for share in found}


def test_the_share_of_the_target_modules_is_told_by_family(tmp_path: Path, base: BaseModel) -> None:
    """Three blocks; the weights hold q and up of the first."""
    missing_q = ("blk.1.attn_q.weight", "blk.2.attn_q.weight")
    missing_up = ("blk.1.ffn_up.weight", "blk.2.ffn_up.weight")
    asked: list[tuple[dict[str, Any], dict[str, tuple[int, Sequence[str]]]]] = [
        ({}, {"attention": (3, missing_q), "MLP": (3, missing_up)}),
        ({"layers_to_transform": 0}, {"attention": (1, ()), "MLP": (1, ())}),
        ({"target_modules": r".*\.[01]\.self_attn\.q_proj"}, {"attention": (2, missing_q[:1])}),
        ({"exclude_modules": ["up_proj"]}, {"attention": (3, missing_q)}),
    ]
    for config, wanted in asked:
        assert present(folder(tmp_path / "p", **config), base) == wanted
    for left_out, each in ([], 7), (["up_proj"], 6):
        config = read_config(folder(tmp_path / "p", target_modules="all-linear", exclude_modules=left_out))
        assert len(targets(config, base)) == 3 * each


def test_without_a_config_the_bases_linear_layers_are_counted(tmp_path: Path, base: BaseModel) -> None:
    found = shares(read_peft(folder(tmp_path / "p"), base), base)
    counted = {share.family: (len(share.trained) - len(share.missing), len(share.trained)) for share in found}
    assert counted == {"attention": (1, 12), "MLP": (1, 9), "embeddings": (0, 1)}
    assert found[2].missing == ("token_embd.weight",)


@pytest.mark.parametrize(
    ("module", "family"),
    [
        ("blk.0.attn_q.weight", "attention"),
        ("blk.11.attn_kv_a_mqa.weight", "attention"),
        ("blk.0.ffn_up.weight", "MLP"),
        ("blk.0.ffn_up_exps.weight", "experts"),
        ("blk.0.ffn_gate_inp.weight", "experts"),
        ("blk.0.ffn_down_shexp.weight", "experts"),
        ("token_embd.weight", "embeddings"),
        ("output.weight", "lm_head"),
        ("v.blk.0.attn_q.weight", "vision"),
        ("mm.0.weight", "vision"),
        ("blk.0.ssm_in.weight", "other"),
    ],
)
def test_a_family_follows_from_the_name(module: str, family: str) -> None:
    assert family_of(module) == family


def test_a_rank_that_is_not_the_configs_is_named(tmp_path: Path, base: BaseModel) -> None:
    """peft scales by its r: with another rank in the weights nobody knows by which."""
    assert "has rank 4 in the weights and 8 here" in complaint(folder(tmp_path / "p", r=8), base)
    assert complaint(folder(tmp_path / "p", r=8, rank_pattern={".*_proj": 4}), base) == ""
