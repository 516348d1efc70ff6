"""YAML in specs: what is read, what is refused by its line, and what would grow without bound."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from sway_gguf.core.errors import UserError
from sway_gguf.spec.append import appended, fragment
from sway_gguf.spec.model import load_spec
from sway_gguf.spec.yaml_text import parse_yaml
from tests.test_spec import GOOD, spec_file

HERE = Path("s.yaml")
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGED = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


def test_what_specs_use_is_read_as_pyyaml_reads_it() -> None:
    text = GOOD + "more: &m {a: 1, b: [true, null, 1.5, 0x1F, 'it']}\nagain: {<<: *m, a: 2}\n"
    assert parse_yaml(text, HERE) == yaml.safe_load(text)
    assert parse_yaml("a: 2001-02-03", HERE) == {"a": "2001-02-03"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (BOMB, "line 7, column 5: more than 500,000 values"),
        (MERGED, "more than 500,000 values"),
        ("a: &a [*a]", "an alias stands within what it names"),
        ("[" * 20_000, "nested more than 64 deep"),
        ("{a: " * 20_000, "nested more than 64 deep"),
        ("- " * 20_000, "nested more than 64 deep"),
        ("a: !!timestamp x", "does not stand here"),
        ("a: !!python/object/apply:os.system [x]", "does not stand here"),
        ("a: !!map x", "does not stand here"),
        ('a: !!int ""', "is no int"),
        ("a: !!bool x", "is no bool"),
        ("a: " + "1:" * 500_000 + "1", "a number of 1,000,001 digits"),
        ("? [a]\n: b", "unhashable key"),
        ("suite: []\nsuite: [a]", "line 2, column 1: the key 'suite' stands twice"),
        ('a: "\\uD83D"', "half of a surrogate pair"),
        ('a: "\\0"', "NUL"),
    ],
)
def test_what_no_spec_needs_is_refused_by_its_line(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_yaml(text, HERE)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("s.yaml: not valid YAML: line ")


@pytest.mark.parametrize(
    "old_and_new",
    [
        ("nulls: 9", "null_profile: [0]"),
        ("nulls: 9", "null_profile: [.nan]"),
        ("nulls: 9", "null_profile: [.inf]"),
        ("nulls: 9", "rank_scale: .nan"),
        ("nulls: 9", "rank_scale: 1.0e+9"),
        ("nulls: 9", "init_scale: .inf"),
        ("nulls: 9", "alpha: .nan"),
    ],
)
def test_numbers_that_scale_nothing_are_refused(tmp_path: Path, old_and_new: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="defaults") as caught:
        load_spec(spec_file(tmp_path, GOOD.replace(*old_and_new)))
    assert "greater than" in str(caught.value) or "finite" in str(caught.value) or "less than" in str(caught.value)


ENTRY = {"name": "mined", "kind": "delta_kl", "prompts": ["a: b", "c # d"], "picked_on": "ab"}
LAYOUTS = {
    "plain": "suite:\n  - {name: applied, kind: applied}  # keep\n",
    "double quotes": '"suite":\n  - {name: applied, kind: applied}\n',
    "single quotes": "'suite':\n- name: applied\n  kind: applied\n\n# the end\n",
    "explicit key": "? suite\n:\n    - {name: applied, kind: applied}\n",
    "named before": 'data: "suite: - x"\n# suite:\n#   - old\nsuite:   # mine\n      -   kind: applied',
}


@pytest.mark.parametrize("suite", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_entry_is_added_and_all_else_stays(suite: str, line_end: str) -> None:
    text = ("# A comment.\nversion: 1\n" + suite).replace("\n", line_end)
    grown = appended(text, ENTRY, HERE)
    assert grown.startswith(text.rstrip("\r\n"))
    assert grown.count("\n") == grown.count(line_end)
    before, after = yaml.safe_load(text), yaml.safe_load(grown)
    assert after == before | {"suite": [*before["suite"], ENTRY]}


@pytest.mark.parametrize(
    "text",
    [
        "suite: [{kind: applied}]",
        "suite:\n- kind: applied\ndata: x",
        "suite:",
        "- suite",
        "",
        "a: [\n",
        "suite:\n- a: 1\n...",
    ],
)
def test_a_layout_that_takes_no_entry_is_told(text: str) -> None:
    with pytest.raises(UserError, match=r"s\.yaml"):
        appended(text, ENTRY, HERE)


def test_what_a_fragment_says_is_read_back_whatever_its_texts() -> None:
    rng = random.Random(0)
    letters = "ab :#-'\"{}[]&*!|>%@`\\\t\n\u2028é😀0~?,="
    for _ in range(200):
        prompts = ["".join(rng.choices(letters, k=rng.randrange(1, 12))) for _ in range(3)]
        entry = {"name": "n", "kind": "delta_kl", "prompts": prompts}
        assert parse_yaml(fragment(entry), HERE) == [entry]
