"""sway.yaml: what is read, and how each wrong line is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.prepare import prepare

GOOD = """
version: 1
models:
  base: {kind: gguf, base: base.gguf}
  ft: {kind: gguf, base: base.gguf, adapter: adapter.gguf}
data: doc.md
defaults: {seed: 3, nulls: 9}
suite:
  - {name: kl, kind: delta_kl, prompts: [Hello]}
"""


def spec_file(folder: Path, text: str) -> Path:
    path = folder / "sway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    spec = load_spec(spec_file(tmp_path, GOOD))
    assert spec.models.base.base == tmp_path / "base.gguf"
    assert spec.models.ft.adapter == tmp_path / "adapter.gguf"
    assert spec.data == tmp_path / "doc.md"
    assert (spec.defaults.seed, spec.defaults.nulls, spec.defaults.alpha) == (3, 9, 0.05)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("data:", "dat:", "did you mean 'data'"),
        ("nulls: 9", "nuls: 9", "did you mean 'nulls'"),
        ("nulls: 9", "nulls: -1", "'defaults.nulls'"),
        ("version: 1", "version: 2", "reads version 1"),
        ("kind: gguf, base: base.gguf, adapter", "kind: hf, base: base.gguf, adapter", "'models.ft.kind'"),
        (", adapter: adapter.gguf", "", "models.ft.adapter is missing"),
        ("ft: {kind: gguf, base: base.gguf", "ft: {kind: gguf, base: other.gguf", "name the same file"),
        ("models:", "models: [", "not valid YAML"),
        ("suite:", "suite:\n  - {kind: [applied]}", "entry 1: kind is one word"),
        ("suite:", "suite:\n  - {name: {a: 1}, kind: applied}", "entry 1: name is one word"),
    ],
)
def test_a_wrong_line_is_answered_in_one(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(UserError, match=r"sway\.yaml") as caught:
        load_spec(spec_file(tmp_path, GOOD.replace(old, new, 1)))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a list", "just text"])
def test_something_else_than_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="mapping"):
        load_spec(spec_file(tmp_path, text))


def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml"):
        load_spec(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("suite", "complaint"),
    [
        ("[{kind: applied}, {kind: delta_k}]", "suite entry 2: unknown probe kind 'delta_k', did you mean 'delta_kl'?"),
        ("[{kind: null_adapter}, {kind: applied, a: 1}]", "suite entry 2 (applied): unknown key 'a', "),
        ("[{kind: applied, name: x}, {kind: delta_kl, name: x}]", "two entries are named 'x'"),
        ("[{kind: null_adapter}, {kind: null_adapter}]", "the suite has 2 entries of kind null_adapter; "),
        ("[{kind: null_adapter}]", "the suite is empty; "),
    ],
)
def test_what_is_wrong_in_a_suite_is_told_by_file_and_entry(tmp_path: Path, suite: str, complaint: str) -> None:
    """The base is not there: entries are looked at before any model."""
    path = spec_file(tmp_path, f"{GOOD.partition('suite:')[0]}suite: {suite}\n")
    with pytest.raises(UserError) as caught:
        prepare(load_spec(path))
    assert str(caught.value).startswith(f"{path}: {complaint}")
