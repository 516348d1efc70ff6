"""Sets of adapters on the command line and in a spec, on the demo: verdicts, records, fakers, and the docs' page."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner

import sway_gguf
from sway_gguf.api import arguments
from sway_gguf.cli.main import cli
from sway_gguf.core.errors import UserError
from sway_gguf.core.result_json import from_json
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.model import Spec, load_spec
from sway_gguf.spec.models import AdapterSpec
from sway_gguf.suite.prepare import prepare
from sway_gguf.watch.loop import Watch
from tests.command_line import refused

PAGE = Path(__file__).parents[1] / "docs" / "stacks.md"
BASE, DOCUMENT, GENERAL = (str(DEMO / name) for name in ("base.f32.gguf", "document.md", "general.txt"))
HEALTHY, OVERTRAINED, RANDOM = (str(DEMO / f"{name}.lora.gguf") for name in ("healthy", "overtrained", "random"))


def called(*words: str | Path) -> str:
    done = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


KINDS = ("applied", "adapter_health", "section_internalization", "external_perplexity")


def short(text: str) -> str:
    """Every section's beginning: enough to see an adapter on, and soon read."""
    return "\n\n".join(part[:240] for part in re.split(r"(?m)^(?=#)", text) if part.strip())


def spec_file(folder: Path, tuned: str, more: str = "data: document.md\n", kinds: Sequence[str] = KINDS) -> Path:
    """A spec of few items on the demo's base; a path in `tuned` may be a name of the demo's."""
    for name in ("base.f32.gguf", "healthy.lora.gguf", "random.lora.gguf", "general.txt"):
        if not (folder / name).exists():
            shutil.copy(DEMO / name, folder / name)
    (folder / "document.md").write_text(short(Path(DOCUMENT).read_text(encoding="utf-8")), encoding="utf-8")
    text = f"version: 1\nmodels:\n  base: {{base: base.f32.gguf}}\n  ft: {{base: base.f32.gguf, {tuned}}}\n{more}"
    suite = "\n".join(f"  - {{name: {kind}, kind: {kind}}}" for kind in kinds)
    text += f"general: {GENERAL}\ndefaults: {{nulls: 5, items: 8, chunk_chars: 240}}\nsuite:\n{suite}\n"
    (folder / "sway.yaml").write_text(text, encoding="utf-8")
    return folder / "sway.yaml"


@cache
def ran(*words: str) -> dict[str, Any]:
    """The result of `run` with these flags in place of the spec's adapter, as JSON has it."""
    with TemporaryDirectory() as folder:
        spec = spec_file(Path(folder), "adapter: healthy.lora.gguf")
        found: dict[str, Any] = json.loads(called("run", spec, *words, "--json", "-"))
    return found


def probe(result: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(found for found in result["probes"] if found["kind"] == kind)


def adapters(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for file in result["files"] if file["role"] == "adapter"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The healthy adapter beside one that is noise, each with text of its own."""
    folder = tmp_path_factory.mktemp("both")
    tone = "\n\n".join(f"# Part {n}\n\nIn part {n} the tone is warm and plain." for n in range(8))
    (folder / "tone.md").write_text(tone, encoding="utf-8")
    own = "{path: healthy.lora.gguf, data: document.md}, {path: random.lora.gguf, scale: 0.5, data: tone.md}"
    found: dict[str, Any] = json.loads(called("run", spec_file(folder, f"adapters: [{own}]", ""), "--json", "-"))
    return found


def test_a_set_is_judged_and_each_is_named_with_its_scale(both: dict[str, Any]) -> None:
    assert [(Path(file["path"]).name, file["adapter"].get("scale")) for file in adapters(both)] == [
        ("healthy.lora.gguf", None),
        ("random.lora.gguf", 0.5),
    ]
    found = probe(both, "interaction")
    texts = {text["text"]: text for text in found["details"]["texts"]}
    names = ["healthy.lora.gguf", "random.lora.gguf:0.5"]
    assert list(texts) == [*(f"{name}'s text" for name in names), "unrelated text"]
    for text in texts.values():
        alone = [text["alone"][name]["value"] for name in names]
        assert text["interaction"]["value"] == pytest.approx(text["together"]["value"] - sum(alone), abs=1e-9)
        assert text["interaction"]["interval"][0] <= text["interaction"]["value"] <= text["interaction"]["interval"][1]
    assert found["verdict"] in ("WARN", "FAIL"), "noise has no skill"
    assert "random.lora.gguf:0.5 alone does not surely lift its own text" in found["reason"]
    assert "Nulls are random rotations of your set's own update" in both["nulls"]["assumption"]
    assert len(probe(both, "adapter_health")["items"]) == 2 * len(probe(ran(), "adapter_health")["items"])


def test_every_report_tells_of_the_set(both: dict[str, Any], tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps(both), encoding="utf-8")
    assert from_json(result.read_text(), "it").files[2].adapter.scale == 0.5  # type: ignore[union-attr]
    page, text, card = (tmp_path / name for name in ("out.html", "out.md", "card.md"))
    said = called("report", result)
    called("report", result, "-o", page, "-o", text)
    called("report", result, "--format", "card", "-o", card)
    for told in (said, page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")):
        assert "does not surely lift its own text" in " ".join(told.split())
    assert "scale 0.5," in " ".join(said.split())
    plain = re.sub(r"</?code>|`", "", text.read_text("utf-8"))
    assert "**Tested:** healthy.lora.gguf + random.lora.gguf:0.5 on base.f32.gguf" in plain
    assert "random.lora.gguf</code> (scale 0.5, rank 8" in card.read_text("utf-8")


def test_two_halves_of_an_adapter_are_that_adapter() -> None:
    whole = ran()
    halves = ran("--lora-scaled", f"{HEALTHY}:0.5", "--lora-scaled", f"{HEALTHY}:0.5")
    assert halves["diagnosis"] == whole["diagnosis"] == "healthy"
    for kind in ("section_internalization", "external_perplexity", "applied"):
        assert probe(halves, kind)["value"] == pytest.approx(probe(whole, kind)["value"], abs=2e-3)
        assert probe(halves, kind)["verdict"] == probe(whole, kind)["verdict"]
    assert any("cosine 1.00" in note for note in probe(halves, "interaction")["notes"])


def test_an_adapter_and_its_opposite_are_not_healthy() -> None:
    found = ran("--lora", HEALTHY, "--lora-scaled", f"{HEALTHY}:-1")
    assert found["diagnosis"] == "no-op"
    assert found["headline"].startswith("The set of adapters loads and does nothing")
    assert probe(found, "interaction")["verdict"] == "FAIL"
    assert "falls from" in probe(found, "interaction")["reason"]


def test_a_lone_adapter_at_a_scale_is_what_is_judged() -> None:
    half = ran("--lora-scaled", f"{HEALTHY}:0.5")
    assert adapters(half)[0]["adapter"]["scale"] == 0.5
    assert "interaction" not in [found["kind"] for found in half["probes"]]
    whole = ran()
    assert "scale" not in adapters(whole)[0]["adapter"], "one adapter's record keeps its shape"
    lifts = [probe(found, "section_internalization")["value"] for found in (half, whole)]
    assert 0 < lifts[0] < lifts[1]


def test_from_python_a_list_is_a_set() -> None:
    found = arguments.tested_of([HEALTHY, (RANDOM, 0.5)], "adapter")
    assert found == [AdapterSpec(path=Path(HEALTHY)), AdapterSpec(path=Path(RANDOM), scale=0.5)]
    assert arguments.tested_of(HEALTHY, "adapter") == Path(HEALTHY)
    with pytest.raises(UserError, match="no pair"):
        arguments.tested_of([(HEALTHY, 0.5, 2)], "adapter")  # type: ignore[list-item]
    for wrong in ([], [(HEALTHY, float("nan"))], [HEALTHY, 2], (HEALTHY, 0.5)):
        with pytest.raises(UserError, match="adapter"):
            sway_gguf.check(BASE, wrong)  # type: ignore[arg-type]


SET = "adapters: [{path: healthy.lora.gguf, data: document.md}, {path: random.lora.gguf, scale: -0.5}]"


def test_a_spec_names_a_set_and_its_text_joins_that_of_the_run(tmp_path: Path) -> None:
    spec = load_spec(spec_file(tmp_path, SET, "data: general.txt\n"))
    assert spec.data == [tmp_path / "general.txt", tmp_path / "document.md"]
    assert [str(lora) for lora in spec.models.ft.loras] == [
        str(tmp_path / "healthy.lora.gguf"),
        f"{tmp_path / 'random.lora.gguf'}:-0.5",
    ]
    prepared = prepare(spec)
    assert [entry["kind"] for entry in prepared.spec.suite] == [*KINDS, "interaction"]
    (own, shared) = prepared.probes[-1].sources.members
    assert own.name == "healthy.lora.gguf"
    assert own.sections
    assert not shared.sections
    alike = load_spec(spec_file(tmp_path, "adapters: [healthy.lora.gguf]"))
    assert alike == load_spec(spec_file(tmp_path, "adapter: healthy.lora.gguf"))


@pytest.mark.parametrize(
    ("tuned", "told"),
    [
        ("adapter: healthy.lora.gguf, adapters: [random.lora.gguf]", "give adapter or adapters, not both"),
        ("adapters: []", "models.ft.adapter is missing"),
        ("adapters: [{path: healthy.lora.gguf, scale: .inf}]", "finite"),
        ("adapters: [{path: healthy.lora.gguf, scal: 1}]", "scal"),
        ("adapters: [1]", "adapters"),
    ],
)
def test_a_wrong_set_is_told_in_one_line(tmp_path: Path, tuned: str, told: str) -> None:
    with pytest.raises(UserError) as found:
        load_spec(spec_file(tmp_path, tuned))
    assert told in str(found.value)
    assert "\n" not in str(found.value)


def test_flags_take_the_place_of_the_spec_s_adapters_and_an_adapter_keeps_its_text(tmp_path: Path) -> None:
    path = spec_file(tmp_path, SET)
    words = ["run", path, "--lora", tmp_path / "healthy.lora.gguf", "--lora", OVERTRAINED, "--json", "-"]
    found = json.loads(called(*words))
    assert [Path(file["path"]).name for file in adapters(found)] == ["healthy.lora.gguf", "overtrained.lora.gguf"]
    assert probe(found, "interaction")["details"]["texts"][0]["text"] == "healthy.lora.gguf's text"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", BASE], "no adapter to test; name it behind the base, or give --lora FILE"),
        (["check", BASE, "--lora-scaled", HEALTHY], "is not FILE:SCALE"),
        (["check", BASE, HEALTHY, "--data-of", RANDOM, DOCUMENT], "no adapter of this run"),
        (["check", BASE, HEALTHY, "--lora", "nowhere.gguf"], "nowhere.gguf"),
        (["check", BASE, *(["--lora", HEALTHY] * 17)], "at most 16"),
        (["diff", BASE, HEALTHY, RANDOM, "--lora", RANDOM], "stand for the second one"),
        (["diff"], "give a base and two adapters"),
    ],
)
def test_what_cannot_be_a_set_is_told_in_one_line(words: Sequence[str], told: str) -> None:
    assert told in " ".join(refused(*words).split())


def test_diff_holds_an_adapter_against_a_set(tmp_path: Path) -> None:
    spec = spec_file(tmp_path, "adapter: healthy.lora.gguf", kinds=("applied",))
    found = json.loads(called("diff", spec, "--lora", HEALTHY, "--lora-scaled", f"{RANDOM}:4", "--json", "-"))
    (comparison,) = found["comparisons"]
    assert comparison["old_name"] == str(tmp_path / "healthy.lora.gguf")
    assert comparison["new_name"] == f"{HEALTHY} + {RANDOM}:4"
    assert [len(adapters(result)) for result in found["results"]] == [1, 2]


def test_merging_a_set_gives_a_model_that_does_what_the_set_does(tmp_path: Path) -> None:
    merged = tmp_path / "merged.gguf"
    called("merge", BASE, "--lora", HEALTHY, "--lora-scaled", f"{HEALTHY}:-0.5", "--type", "F32", "-o", merged)
    half = tmp_path / "half.gguf"
    called("merge", BASE, HEALTHY, "--scale", "0.5", "--type", "F32", "-o", half)
    one, other = (path.read_bytes()[-40_000:] for path in (merged, half))
    import numpy as np

    assert np.frombuffer(one, np.float32) == pytest.approx(np.frombuffer(other, np.float32), abs=1e-6)


def test_what_takes_one_adapter_says_so_and_what_to_do(tmp_path: Path) -> None:
    path = spec_file(tmp_path, SET)
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    assert "a set of adapters is not packed; pack a run on its merged file" in refused(
        "pack", path, tmp_path / "result.json", "-o", tmp_path / "run.zip"
    )
    spec: Spec = load_spec(path)
    with pytest.raises(UserError, match="watch waits for one"):
        Watch(spec, None, None, None, print).run(once=True)  # type: ignore[arg-type]


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, file in {
        "base.gguf": "base.f32.gguf",
        "support.gguf": "healthy.lora.gguf",
        "tone.gguf": "random.lora.gguf",
    }.items():
        shutil.copy(DEMO / file, name)
    Path("support.md").write_text(short(Path(DOCUMENT).read_text(encoding="utf-8")), encoding="utf-8")
    Path("tone.md").write_text("\n\n".join(f"# Part {n}\n\nThe tone of part {n} is warm." for n in range(6)), "utf-8")
    page = PAGE.read_text(encoding="utf-8")
    specs = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(specs) == 1
    Path("sway.yaml").write_text(f"{specs[0]}general: tone.md\n", encoding="utf-8")
    commands = re.findall(r"^sway-gguf (.*)$", page, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        name, *words = shlex.split(command.replace("\\", ""))
        fast = {"check": ["--nulls", "0", "--general", "tone.md"], "run": ["--nulls", "0"], "diff": ["--nulls", "0"]}
        called(name, *words, *fast.get(name, []))
