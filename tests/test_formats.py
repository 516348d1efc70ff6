"""Every format of a report: the same numbers in each, hostile words that stay text, and what readers accept."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sway_gguf import load_result
from sway_gguf.cli.github import SUMMARY_LIMIT, announce
from sway_gguf.cli.held import held_by
from sway_gguf.cli.main import cli
from sway_gguf.cli.output import say
from sway_gguf.core.errors import UserError
from sway_gguf.core.gate import GateDecision, GateLine, Outcome
from sway_gguf.core.plain import one_line
from sway_gguf.core.result import Diagnosis, SuiteResult, Verdict
from sway_gguf.core.result_json import from_json
from sway_gguf.core.shown import Heat, Reply
from sway_gguf.report import numbers
from sway_gguf.report.badge import badge, width_of
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.fitting import Section, fitted
from sway_gguf.report.formats import FORMATS, format_of
from sway_gguf.report.gate import print_decision
from sway_gguf.report.github import annotated, disarmed
from sway_gguf.report.junit import junit_report
from sway_gguf.report.markdown import LIMIT, mark_of, markdown_report
from sway_gguf.report.markdown_text import words
from sway_gguf.report.model_card import model_card
from sway_gguf.verdict.gate import decide
from tests.command_line import COMMAND, complaint, succeeded

RESULTS = sorted((Path(__file__).parent / "results").glob("v*.json"))
HOSTILE = (
    "a | b ` c `` </details></summary>\n# h\n- l\n\n<script>alert(1)</script> &lt; <!-- x --> "
    "[text](https://example.org) ![i](http://e.x/i.png) "
    "@someone #12 GH-3 www.example.org me@example.org *b* __init__ ~~s~~ $x$ :tada: \\ <http://a.b> "
    "\x1b[31m \u202e \ud83d \ufffe"
)


def read(name: str) -> SuiteResult:
    path = Path(__file__).parent / "results" / f"{name}.json"
    return from_json(path.read_text(encoding="utf-8"), path.name)


def hostile(result: SuiteResult) -> SuiteResult:
    """The result with words of an enemy wherever words of users, models and files stand."""
    return replace(
        result,
        headline=HOSTILE,
        learned=HOSTILE,
        format=HOSTILE,
        remarks=(HOSTILE,),
        files=tuple(replace(record, path=HOSTILE) for record in result.files),
        axes=tuple(replace(axis, reason=HOSTILE) for axis in result.axes),
        probes=tuple(replace(p, name=f"{n} {HOSTILE}", reason=HOSTILE, notes=(HOSTILE,), unit=HOSTILE)
                     for n, p in enumerate(result.probes)),
        replies=(Reply(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        heat=(Heat(HOSTILE, HOSTILE, (HOSTILE, "\n"), (-1.0, -1.0), (-2.0, -0.5)),),
    )  # fmt: skip


def tokens(text: str) -> Iterator[Token]:
    """Of Markdown as GitHub has it: CommonMark, tables and strikethrough."""
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        yield token
        yield from token.children or ()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_one_result_has_the_same_numbers_in_every_format(path: Path) -> None:
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    drawn = {name: each.render(result) for name, each in FORMATS.items() if name not in ("badge", "json")}
    raw = json.loads(FORMATS["json"].render(result))
    rows = drawn["md"].split("### Probes")[1].splitlines()
    measured = [probe for probe in result.probes if probe.value is not None]
    assert measured
    for probe, record in zip(result.probes, raw["probes"], strict=True):
        if probe.value is None:
            continue
        told = [numbers.number(record["value"])]
        told += [numbers.span(tuple(record["interval"]))] if record["interval"] else []
        null = record["null"]
        told += [numbers.z_score(null["z"])] if null and null["z"] is not None else []
        told += [numbers.p_value(null["family_p"])] if null and null["family_p"] else []
        places = {
            "terminal": "\n".join(
                line for line in drawn["terminal"].splitlines() if line.startswith(f"{probe.name} ")
            ),
            "md": next(line for line in rows if line.startswith(f"| {probe.name} |")),
            "html": shown_in(re.search(rf'<tr data-probe="{probe.name}".*?</tr>', drawn["html"], re.DOTALL)),
            "junit": ET.tostring(next(
                case for case in ET.fromstring(drawn["junit"]).iter("testcase")
                if case.get("name") == probe.name and case.get("classname") != "sway-gguf.axes"
            ), encoding="unicode"),
            "card": drawn["card"].split(f'name: "{probe.name}', 1)[1].split("    - type:")[0],
        }  # fmt: skip
        for name, place in places.items():
            assert [word for word in told if not re.search(rf"(?<![\d.]){re.escape(word)}(?![\d.])", place)] == [], (
                probe.name, name,
            )  # fmt: skip


def shown_in(found: re.Match[str] | None) -> str:
    """What a reader of that piece of HTML sees: neither tags nor the numbers in their attributes."""
    assert found is not None
    return html.unescape(re.sub(r"<[^>]*>", " ", found[0]))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_markdown_names_what_failed_first(path: Path) -> None:
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    text = markdown_report(result)
    order = [
        re.search(r"[A-Z]{4,}", line)[0] for line in text.splitlines() if re.match(r"\| [a-z]+ \| \S+ [A-Z]", line)
    ]
    ranks = [["ERROR", "FAIL", "WARN", "INCONCLUSIVE", "PASS", "SKIP"].index(verdict) for verdict in order]
    assert len(ranks) == 6
    assert ranks == sorted(ranks)
    assert text.startswith("<!-- sway-gguf:")
    assert all(record.sha256 in text for record in result.files)
    tables = [token for token in tokens(text) if token.type == "table_open"]
    assert len(tables) == 3


def test_no_word_in_markdown_is_markup_a_link_or_a_mention() -> None:
    ours = re.compile(r"</?(?:code|details|summary)>|<!-- sway-gguf:[A-Za-z0-9.-]+ -->")
    decision = GateDecision(Outcome.FAIL, (GateLine(HOSTILE, Outcome.FAIL, HOSTILE),))
    text = markdown_report(hostile(read("v1-healthy")), decision)
    assert text.count("<details>") == text.count("</details>")
    for token in tokens(text):
        assert token.type not in ("link_open", "image", "em_open", "s_open", "code_inline", "fence", "code_block")
        if token.type in ("html_inline", "html_block"):
            assert re.sub(r"\s", "", ours.sub("", re.sub(r"<summary>.*?</summary>", "", token.content))) == ""
        if token.type in ("text", "text_special"):
            assert not re.search(r"@\w|#\d|https?://|www\.", token.content), token.content
    rows = [token for token in tokens(text) if token.type == "tr_open"]
    cells = [token for token in tokens(text) if token.type in ("td_open", "th_open")]
    widths = {"gate": 3, "axes": 3, "probes": 9, "replies": 5, "heat": 5, "files": 4}
    result = read("v1-healthy")
    counts = {
        "gate": 2, "axes": 7, "probes": len(result.probes) + 1, "replies": 2, "heat": 2, "files": len(result.files) + 1,
    }  # fmt: skip
    assert len(rows) == sum(counts.values())
    assert len(cells) == sum(widths[name] * counts[name] for name in counts)


@given(st.text(alphabet=st.characters() | st.sampled_from("|`<>[]()!@#*_~$&\\:/-w.GH"), max_size=60))
@settings(max_examples=150)
def test_words_read_as_they_were_written(text: str) -> None:
    found = list(tokens(f"**x** {words(text)}"))
    assert {token.type for token in found} <= {
        "paragraph_open", "paragraph_close", "inline", "text", "strong_open", "strong_close", "text_special",
        "softbreak",
    }  # fmt: skip
    seen = "".join(token.content for token in found if token.type in ("text", "text_special"))
    assert seen.replace("\u200b", "").removeprefix("x").strip() == one_line(text).strip()


def test_markdown_stays_under_the_limit_and_tells_what_it_left_out() -> None:
    result = read("v1-init")
    many = replace(result, probes=tuple(
        replace(probe, name=f"{probe.name}_{n}", notes=("words " * 300,)) for n in range(40) for probe in result.probes
    ), replies=(Reply("r" * 500, "", "b" * 500, "t" * 500),) * 50)  # fmt: skip
    text = markdown_report(many)
    assert len(text) < LIMIT
    assert re.search(r"_Left out, for the length: \d+ of \d+ in details of probes; replies\.", text)
    assert all(record.sha256 in text for record in many.files)
    assert text.rstrip().endswith("<!-- sway-gguf:end -->")
    assert "Left out" not in markdown_report(result)


def test_sections_of_small_rank_are_kept_and_rows_go_from_the_end() -> None:
    sections = [Section("first", "A", ("1" * 100,) * 3, rank=1), Section("second", "B" * 100, rank=0)]
    text = fitted(sections, 400 + 100 + 2 + 1 + 2 + 2 * 101)
    assert text.split("\n\n")[0] == "A\n" + "1" * 100 + "\n" + "1" * 100
    assert "1 of 3 in first" in text
    assert "B" * 100 in text


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_junit_is_valid_and_error_is_no_failure(path: Path) -> None:
    schema = xmlschema.XMLSchema(str(Path(__file__).parent / "junit.xsd"))
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    broken = replace(result.probes[0], verdict=Verdict.ERROR, reason="bad \x00\x0b\ufffe\ud800 end")
    result = replace(hostile(result), probes=(broken, *result.probes[1:]))
    text = junit_report(result)
    schema.validate(text)
    cases = {(case.get("classname"), case.get("name")): case for case in ET.fromstring(text).iter("testcase")}
    assert len(cases) == len(result.axes) + len(result.probes)
    wanted = {Verdict.PASS: None, Verdict.FAIL: "failure", Verdict.ERROR: "error"}
    for probe in result.probes:
        case = cases[f"sway-gguf.{probe.axis}", probe.name]
        tags = {child.tag for child in case} - {"system-out"}
        assert tags == {wanted.get(probe.verdict, "skipped")} - {None}
        for child in case:
            if child.tag != "system-out":
                assert child.get("message") == child.text
                assert (child.text or "").startswith(f"{probe.verdict}: ")
    root = ET.fromstring(text)
    assert root.get("errors") == "1"
    assert int(root.get("failures", "")) == len(root.findall(".//failure"))


def test_junit_is_as_red_as_the_gate() -> None:
    result = read("v1-noise")
    lines = (
        GateLine("axis direction", Outcome.FAIL, "it moved the other way"),
        GateLine("axis signal", Outcome.FAIL, "one null does as well", informational=True),
        GateLine("probe ending", Outcome.INCONCLUSIVE, "not asked"),
    )
    found = {
        strict: ET.fromstring(junit_report(result, GateDecision(Outcome.FAIL, lines, strict)))
        for strict in (False, True)
    }
    failing = {
        (case.get("classname"), case.get("name"))
        for case in found[False].iter("testcase")
        if case.find("failure") is not None
    }
    assert failing == {
        ("sway-gguf.gate", "axis direction"), ("sway-gguf.axes", "direction"),
        ("sway-gguf.direction", "section_internalization"),
    }  # fmt: skip
    signal = found[False].find(".//testcase[@classname='sway-gguf.axes'][@name='signal']/skipped")
    assert signal is not None
    assert (signal.text or "").startswith("FAIL, not counted by the gate: ")
    assert found[True].find(".//testcase[@name='probe ending']/failure") is not None
    passed = ET.fromstring(junit_report(result, GateDecision(Outcome.PASS, ())))
    assert passed.get("failures") == "0"


@pytest.mark.parametrize("diagnosis", list(Diagnosis))
def test_a_badge_is_read_aloud_and_holds_its_words(diagnosis: Diagnosis) -> None:
    root = ET.fromstring(badge(replace(read("v1-healthy"), diagnosis=diagnosis)))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("aria-label") == root.findtext(f"{space}title") == f"sway-gguf: {diagnosis}"
    _, word = root.iter(f"{space}text")
    assert word.text == str(diagnosis)
    assert int(root.get("width", "")) == 70 + 12 + int(word.get("textLength", ""))
    fill = [rect.get("fill") for rect in root.iter(f"{space}rect") if rect.get("fill")][1]
    assert (fill == "#2e7d32") == (diagnosis == Diagnosis.HEALTHY)
    assert contrast_on_white(fill or "") > 4.5
    # i and l are 562/2048 of 11 pixels each, 6.04 together.
    assert width_of("il") == 7


def contrast_on_white(colour: str) -> float:
    """As WCAG 2 defines it."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_model_card_has_the_shape_of_a_model_index(path: Path) -> None:
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    probes = (
        replace(result.probes[0], value=float("nan")),
        replace(result.probes[1], value=4.3e-14),
        *result.probes[2:],
    )
    for each in (result, hostile(result), replace(result, probes=probes)):
        _, front, body = model_card(each).split("---\n", 2)
        (entry,) = yaml.safe_load(front)["model-index"]
        (found,) = entry["results"]
        assert found["task"] == {"type": "text-generation"}
        assert all(isinstance(found["dataset"][key], str) for key in ("type", "name"))
        assert entry["name"]
        for metric in found["metrics"]:
            assert isinstance(metric["type"], str)
            assert isinstance(metric["value"], int | float)
            assert metric["args"]["value"] == numbers.number(metric["value"])
        assert all(record.sha256 in body for record in each.files if record.role in ("base", "adapter"))
        assert f"{each.nulls.count} nulls" in body
        assert not [token for token in tokens(body) if token.type in ("link_open", "image", "em_open")]
    assert "F32" in model_card(result)


def test_annotations_are_escaped_as_the_runner_reads_them() -> None:
    result = replace(read("v1-noise"), headline="100%, a: b\n::error::x")
    first, *others = annotated(result)
    assert first == "::error title=sway-gguf%3A noise::100%25, a: b ::error::x"
    assert re.findall(r"^::\w+ title=\w+", "\n".join(others), re.MULTILINE) == [
        "::warning title=applied", "::error title=signal", "::error title=direction",
    ]  # fmt: skip
    decision = GateDecision(Outcome.PASS, (GateLine("probe a, b", Outcome.FAIL, "low", informational=True),))
    assert annotated(result, decision)[1] == "::notice title=probe a%2C b%3A FAIL::low"
    assert annotated(read("v1-healthy"))[0].startswith("::notice title=sway-gguf%3A healthy::")


def test_a_step_is_told_on_stderr_and_in_its_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    result = read("v1-noise")
    announce(result)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    summary.write_text("before\n", encoding="utf-8")
    announce(result)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == annotated(result)
    assert summary.read_text(encoding="utf-8") == f"before\n{markdown_report(result)}\n"
    summary.write_bytes(b"x" * (SUMMARY_LIMIT - 10))
    announce(result)
    assert summary.stat().st_size == SUMMARY_LIMIT - 10
    assert "the step's summary has no report" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary.md"))
    announce(result)
    assert "the step's summary has no report" in capsys.readouterr().err


def test_no_word_is_a_workflow_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\n  ::add-mask::x\n::stop-commands::y\nb ##[error]z\nc::d\n:::set-output::"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    say(text)
    said = capsys.readouterr().out
    assert not [line for line in said.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in said
    assert "c::d" in said
    monkeypatch.delenv("GITHUB_ACTIONS")
    say(text)
    assert capsys.readouterr().out == f"{text}\n"
    assert disarmed(disarmed(text)) == disarmed(text)


def test_check_tells_github_and_keeps_stdout_to_json(tmp_path: Path) -> None:
    spec = tmp_path / "sway.yaml"
    demo = Path(__file__).parents[1] / "sway_gguf" / "data" / "demo"
    adapter = json.dumps(str(demo / "healthy.lora.gguf"))
    base = json.dumps(str(demo / "base.f32.gguf"))
    spec.write_text(
        f"models:\n  base: {{base: {base}}}\n  ft: {{base: {base}, adapter: {adapter}}}\n"
        "suite:\n  - {kind: adapter_health, name: 'a ##[error]'}\n",
        encoding="utf-8",
    )
    environment = os.environ | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}
    outputs = {"--markdown": "r.md", "--junit": "j.xml", "--badge": "b.svg", "--model-card": "c.md"}
    words = [*COMMAND, "run", str(spec), "--json", "-"]
    for option, name in outputs.items():
        words += [option, str(tmp_path / name)]
    for _ in range(2):
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        assert "##[" not in done.stdout
        result = from_json(done.stdout, "stdout")
    assert result.probes[0].name == "a ##[error]"
    assert done.stderr.splitlines() == annotated(result)
    assert (tmp_path / "s.md").read_text(encoding="utf-8").count(mark_of(result)) == 2
    assert [held_by(tmp_path / name) for name in outputs.values()] == ["result"] * 4
    (tmp_path / "r.md").open("a").write("and my own words\n")
    assert held_by(tmp_path / "r.md") == "other"


def test_report_writes_several_files_by_their_endings(tmp_path: Path) -> None:
    path, result = RESULTS[0], from_json(RESULTS[0].read_text(encoding="utf-8"), "r")
    for name, each in FORMATS.items():
        if name != "terminal":
            assert succeeded("report", str(path), "--format", name) == each.render(result)
    assert result.diagnosis.upper() in succeeded("report", str(path))
    files = {name: tmp_path / f"r{each.endings[0]}" for name, each in FORMATS.items() if each.endings}
    for _ in range(2):
        assert succeeded("report", str(path), *(word for file in files.values() for word in ("-o", str(file)))) == ""
    both = ["-o", str(files["md"]), "-o", "-", "--format", "md"]
    assert succeeded("report", str(path), *both) == FORMATS["md"].render(result)
    assert "stands 2 times" in complaint("report", str(path), "-o", "-", "-o", "-")
    for name, file in files.items():
        assert file.read_text(encoding="utf-8") == FORMATS[name].render(result)
        assert held_by(file) == "result"
        assert format_of(file).name == name
    said = complaint("report", str(path), "-o", str(tmp_path / "r.pdf"))
    assert "r.pdf: no format by its ending; end the name in one of .txt, .html, .md" in said
    assert "an input of this command" in complaint("report", str(path), "-o", str(path), "--force")
    assert "two outputs" in complaint("report", str(path), "-o", str(files["md"]), "-o", str(files["md"]))
    for name in ("r.md", "r.txt"):
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write("and what I think of it\n")
        before = (tmp_path / name).read_text(encoding="utf-8")
        assert "--force" in complaint("report", str(path), "-o", str(tmp_path / name))
        assert (tmp_path / name).read_text(encoding="utf-8") == before


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_result_comes_in_every_format_and_with_a_decision(path: Path) -> None:
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    decision = decide(result)
    for name, each in FORMATS.items():
        text = each.render(result, decision)
        assert text.endswith("\n")
        assert text == each.render(result, decision)
        if name not in ("json", "badge"):
            assert result.headline in " ".join(html.unescape(text).split()), name
        if name in ("junit", "badge"):
            ET.fromstring(text)
        if name not in ("json", "junit"):
            assert str(decision.outcome).lower() in text.lower()


def test_python_saves_in_every_format_and_never_over_what_is_somebodys(tmp_path: Path) -> None:
    result = load_result(RESULTS[1])
    for path in (tmp_path / f"r{ending}" for each in FORMATS.values() for ending in each.endings):
        assert result.save(path) == path
        assert path.read_text(encoding="utf-8") == format_of(path).render(result.record)
        assert result.save(path) == path
    (tmp_path / "r.html").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="no result of ours"):
        result.save(tmp_path / "r.html")


def test_what_is_no_result_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for content, told in (("[1]", "result"), ("{}", "result"), ('{"rows": [], "wanted": 1}', "result"), ("no", "JSON")):
        given = tmp_path / "given.json"
        given.write_text(content, encoding="utf-8")
        said = complaint("report", str(given), "-o", str(tmp_path / "r.md"))
        assert told in said
        assert str(given) in said
        assert not (tmp_path / "r.md").exists()
    assert "none.json" in complaint("report", str(tmp_path / "none.json"))


def test_a_gates_warning_is_said_in_every_format_and_fails_nothing() -> None:
    line = GateLine("axis signal", Outcome.PASS, "excused by a sure move", warning=True)
    decision = GateDecision(Outcome.PASS, (line,))
    result = read("v1-healthy")
    assert "| axis signal | ⚠️ WARN | excused by a sure move |" in markdown_report(result, decision)
    case = ET.fromstring(junit_report(result, decision)).find(".//testcase[@name='axis signal']")
    assert case is not None
    assert [(each.tag, each.get("message")) for each in case if each.tag != "system-out"] == [
        ("skipped", "WARN: excused by a sure move")
    ]
    assert annotated(result, decision)[1] == "::warning title=axis signal%3A WARN::excused by a sure move"
    assert re.search(r"^WARN +axis signal +excused by", FORMATS["terminal"].render(result, decision), re.MULTILINE)


def test_the_terminals_text_draws_the_decision_as_the_terminal_does() -> None:
    result = read("v1-noise")
    decision = decide(result)
    stream = io.StringIO()
    print_decision(decision, PlainConsole(stream, width=120))
    drawn = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert "\n".join(drawn) in FORMATS["terminal"].render(result, decision)
    assert "GATE FAIL" in "\n".join(drawn)


def test_replies_and_moved_tokens_are_shown_folded() -> None:
    heat = Heat("story 1", "", ("a", "|b", " c", "d"), (-1.0, -1.0, -1.0, -1.0), (-3.0, -1.0, 0.0, -0.5))
    reply = Reply("Who?", "<user>Who?", "A man.", "Quill.", "Quill!", "held-out")
    text = markdown_report(replace(read("v1-healthy"), replies=(reply,), heat=(heat,)))
    for summary, line in (
        ("Replies, base and tuned", "| Who? | A man. | Quill. | Quill! | held-out |"),
        # Changes of -2, 0, +1 and +0.5 nats: -0.125 on average.
        (
            "Where the probability moved",
            "| story 1 | trained | -0.125 | <code>c</code> +1.00, <code>d</code> +0.500 | <code>a</code> -2.00 |",
        ),
    ):
        _, rest = text.split(f"<details><summary>{summary}</summary>")
        assert line in rest.split("</details>")[0]
    assert "probability moved" not in markdown_report(read("v1-healthy"))


def test_the_diagnosis_stays_however_much_a_gate_has_to_say() -> None:
    lines = tuple(GateLine(f"probe {n}", Outcome.FAIL, "<") for n in range(3000))
    result = read("v1-noise")
    text = markdown_report(result, GateDecision(Outcome.FAIL, lines))
    assert len(text) < LIMIT
    assert f"**Diagnosis.** {result.headline}" in text
    assert "Gate: ❌ FAIL" in text
    assert re.search(r"\d+ of 3000 in the gate", text)


def test_remarks_that_are_left_out_are_counted() -> None:
    text = markdown_report(replace(read("v1-noise"), remarks=tuple(f"remark {n}" for n in range(13))))
    assert "**Remark 10:** remark 9" in text
    assert "**More remarks:** 3 in result.json" in text


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    demo = Path(__file__).parents[1] / "sway_gguf" / "data" / "demo"
    words = ["check", str(demo / "base.f32.gguf"), str(demo / "healthy.lora.gguf")]
    for given_, told in (
        (["--markdown", str(tmp_path / "no" / "r.md")], "cannot be written"),
        (["--junit", str(tmp_path / "a"), "--badge", str(tmp_path / "a")], "two outputs"),
        (["--junit", "-", "--json", "-"], "--json and --junit both to stdout"),
        (["--model-card", str(demo / "base.f32.gguf")], "input of this command"),
    ):
        with pytest.raises(UserError, match=told):
            cli.main(args=[*words, *given_], standalone_mode=False)


def test_the_page_on_formats_names_every_one_and_its_examples_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    for each in FORMATS.values():
        ending = f"`{each.endings[0]}`" if each.endings else ""
        assert f"| `{each.name}` | {ending} |".replace("|  |", "| |") in text
    shutil.copy(RESULTS[0], tmp_path / "result.json")
    monkeypatch.chdir(tmp_path)
    commands = [line.split() for line in re.findall(r"^sway-gguf (.*)$", text, re.MULTILINE)]
    for name, *rest in commands:
        cli.commands[name].make_context(name, list(rest))
        if name == "report":
            succeeded(name, *rest)
    reports = " ".join(word for name, *rest in commands if name == "report" for word in rest)
    written = set(re.findall(r"-o (\S+)", reports))
    assert written
    assert {path.name for path in tmp_path.iterdir()} == written | {"result.json"}
