"""One place opens a backend, by the kind that a spec names."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.engine.factory import BACKENDS, open_backend
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.models import ModelSpec

PACKAGE = Path(__file__).parents[1] / "sway_gguf"
OWN_FILES = {f"engine/{name}.py" for name in ("llama_backend", "sway_entry", "factory", "again", "rpc_trial")}


def test_the_kinds_of_a_spec_are_those_that_can_be_opened() -> None:
    assert set(get_args(ModelSpec.model_fields["kind"].annotation)) == set(BACKENDS)


def test_a_kind_that_nobody_knows_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"models.kind: 'hf' is none of gguf"):
        open_backend(DEMO / "base.f32.gguf", kind="hf")


def test_nothing_else_names_the_engine_s_own_backend() -> None:
    named = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "LlamaBackend" in path.read_text("utf-8")
    }
    assert named == OWN_FILES
