"""The HTML pages: what they hold, and how they behave in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sway_gguf.core.comparison import AxisChange, Comparison, Condition, ItemChange, Movement, ProbeChange
from sway_gguf.core.gate import GateDecision, GateLine, Outcome
from sway_gguf.core.measurement import Item
from sway_gguf.core.result import Diagnosis, NullSummary, PartResult, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.result_json import from_json, record_of
from sway_gguf.core.shown import Heat, Reply
from sway_gguf.core.survival import DeploymentResult, SurvivalMatrix
from sway_gguf.core.sweep import CellRow
from sway_gguf.report import numbers
from sway_gguf.report.html import html_comparison, html_matrix, html_report, html_sweep
from sway_gguf.report.html.bars import bars
from sway_gguf.report.html.heat import shade, tokens
from sway_gguf.report.html.scale import Scale, scale_over
from sway_gguf.report.html.strip import probe_strip
from sway_gguf.report.html.words import word_diff

RESULTS = sorted((Path(__file__).parent / "results").glob("v*.json"))
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = '</script><img src=x onerror="window.hit=1">{{ 7*7 }}<!--\u202egnp.exe\u2028'


def stored(name: str) -> SuiteResult:
    path = Path(__file__).parent / "results" / f"v1-{name}.json"
    return from_json(path.read_text(encoding="utf-8"), path.name)


def full(words: str = "Quill keeps it.") -> SuiteResult:
    """A stored result with texts, replies, heat, and nulls per item, all of which say `words`."""
    result = stored("init")
    probes = []
    for probe in result.probes:
        items = tuple(replace(item, nulls=(item.value - 0.2, item.value + 0.1)) for item in probe.items)
        probes.append(replace(probe, items=items, question=f"Is it so? {words}", passing=words, caveat=words))
    probes[0] = replace(probes[0], name=words, reason=words, notes=(words,))
    keys = {item.key: (words,) for probe in probes for item in probe.items}
    return replace(
        result,
        probes=tuple(probes),
        texts=keys,
        headline=words,
        replies=(Reply(words, words, "base says", f"tuned says {words}", wanted=words),),
        heat=(Heat(words, words, ("one", " two", words), (-1.0, -2.0, -3.0), (-3.0, -2.0, 0.0)),),
    )


def few(result: SuiteResult) -> SuiteResult:
    """Two items of each probe: every kind of mark, but a short page."""
    return replace(
        result,
        probes=tuple(replace(each, items=each.items[:2], controls=each.controls[:2]) for each in result.probes),
    )


def bare(**changes: Any) -> ProbeResult:
    return replace(
        ProbeResult(name="p", kind="k", axis="signal", verdict=Verdict.PASS, reason="so", unit="nats", value=1.0),
        **changes,
    )


def nulls(*values: float) -> NullSummary:
    return NullSummary(values, sum(values) / len(values), 0.1, 3.0, 0.25, 0.01, 0.01, 0.25)


# ---- where marks lie


def test_a_scale_holds_zero_and_all_values_with_room() -> None:
    scale = scale_over([2.0, None, float("nan"), 10.0])
    assert (scale.low, scale.high) == pytest.approx((-0.2, 10.4))
    assert Scale(0.0, 10.0).at(5.0) == 50.0
    assert [Scale(0.0, 10.0).at(x) for x in (-9.0, 99.0)] == [3.0, 97.0]
    assert [words for _, words in Scale(-0.3, 1.1).ticks()] == ["0", "0.5", "1.0"]


def test_a_strip_has_a_dot_per_null_and_says_its_numbers() -> None:
    strip = probe_strip(bare(value=2.0, interval=(1.5, 2.5), null=nulls(0.0, 0.0, 0.1), noise_floor=0.01))
    assert strip is not None
    assert len(strip.dots) == 3
    (first, up), (second, down) = strip.dots[:2]
    assert first == second
    assert up == -down == -3.5
    assert strip.alternative == (
        "Your adapter 2.00 nats, 95% interval 1.50…2.50, 3 nulls from 0 to 0.100, noise floor 0.0100."
    )
    held = probe_strip(bare(value=0.1, interval=(0.0, 0.2), limit=-0.3))
    assert held is not None
    assert held.limit == scale_over([0.1, 0.2, -0.3]).at(-0.3)
    assert held.alternative == "Your adapter 0.100 nats, 95% interval 0…0.200, tolerance -0.300."
    far = probe_strip(bare(value=0.001, null=nulls(-0.0005, 0.0, 0.0005), limit=0.1))
    assert far is not None
    assert far.limit is None
    assert [round(place) for place, _ in far.dots] == [6, 35, 65]
    assert far.alternative.endswith("tolerance 0.100.")
    assert probe_strip(bare(value=None)) is None
    assert probe_strip(bare(value=0.0, null=nulls(0.0, 0.0))) is None


def test_a_moment_is_told_to_the_minute_and_what_is_none_as_it_stands() -> None:
    assert numbers.moment("2026-11-28T17:09:01.561776+02:00") == "2026-11-28 15:09 UTC"
    assert numbers.moment("yesterday") == "yesterday"


def test_a_bar_begins_at_zero_and_its_band_is_what_the_nulls_did_on_that_item() -> None:
    scale = scale_over([-1.0, 3.0, 0.5, -0.5])
    up, down = bars([Item("a", 3.0, nulls=(-0.5, 0.5)), Item("b", -1.0)], frozenset())
    assert (up.start, up.start + up.width) == pytest.approx((scale.at(0.0), scale.at(3.0)))
    assert up.band is not None
    assert (up.band[0], sum(up.band)) == pytest.approx((scale.at(-0.5), scale.at(0.5)))
    assert down.down
    assert down.start + down.width == pytest.approx(scale.at(0.0))
    assert up.alternative == "3.00, nulls -0.500…0.500"


def test_words_that_differ_are_marked_and_nothing_is_lost() -> None:
    base, tuned = word_diff("kept by a man.", "kept by Quill.")
    assert base == [(False, "kept by"), (True, " a man"), (False, ".")]
    assert tuned == [(False, "kept by"), (True, " Quill"), (False, ".")]


def test_a_token_is_shaded_by_its_change_in_nats() -> None:
    assert [shade(x) for x in (0.05, -0.1, 0.6, -2.0, 9.0)] == ["", "down-1", "up-2", "down-3", "up-4"]
    (token,) = tokens(Heat("", "", ("a",), (-3.0,), (-1.0,)))
    assert token.told == "+2.00 nats (base -3.00, tuned -1.00)"


# ---- what a page holds


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_number_of_every_old_result_stands_on_its_page(path: Path) -> None:
    result = from_json(path.read_text(encoding="utf-8"), path.name)
    html = html_report(result)
    assert len(html.encode()) < 1_000_000
    for probe in result.probes:
        assert f"{numbers.number(probe.value)} <span" in html
        assert numbers.span(probe.interval) in html
        if probe.null:
            assert f"{numbers.number(probe.null.mean)} ± {numbers.number(probe.null.sd)}" in html
    assert html.count('class="axis ') == 6
    assert all(record.sha256 in html for record in result.files)


def test_a_model_s_words_are_text() -> None:
    html = html_report(full(HOSTILE))
    assert "<img" not in html
    assert "\u202e" not in html
    assert "\u2028" not in html
    assert html.count("</script>") == 2
    inlined = re.search(r'<script type="application/json" id="record">(.*?)</script>', html, re.S)
    assert inlined is not None
    assert json.loads(inlined[1]) == json.loads(json.dumps(record_of(full(HOSTILE))))
    assert "innerHTML" not in html


def test_failed_open_passed_folded_and_errors_skips_and_no_nulls_have_their_place() -> None:
    probes = tuple(
        bare(name=f"is_{verdict.lower()}", verdict=verdict, value=None if verdict in ("ERROR", "SKIP") else 1.0)
        for verdict in Verdict
    )
    result = replace(stored("noise"), probes=probes)
    html = html_report(replace(result, nulls=replace(result.nulls, count=0, seeds=()), engine={}, timings={}))
    opened = dict(re.findall(r'<details class="probe (\w+)"[^>]*?( open)?>', html))
    assert {name for name, tail in opened.items() if tail} == {"fail", "error"}
    assert set(opened) == {verdict.lower() for verdict in Verdict}


def test_a_value_that_is_not_finite_draws_no_strip_and_breaks_nothing() -> None:
    part = PartResult("half", float("inf"), 2)
    html = html_report(replace(stored("noise"), probes=(bare(value=float("nan"), parts=(part,)),)))
    assert "nan <span" in html


def test_a_gate_s_decision_stands_below_the_diagnosis() -> None:
    decision = GateDecision(Outcome.FAIL, (GateLine("axis signal", Outcome.FAIL, "no better than its nulls"),))
    html = html_report(stored("noise"), decision)
    assert 'class="gate fail"' in html
    assert "no better than its nulls" in html


# ---- how it behaves


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test installs it")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page and holds, at the end, that the browser had nothing to complain about."""
    said: list[str] = []
    contexts = []

    def opened(html: str, place: str = "", **settings: Any) -> Any:
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: request.url.startswith("http") and said.append(request.url))
        page.goto(path.as_uri() + place)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_wcag_in_light_and_dark(visit: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = visit(html_report(few(full())), color_scheme=scheme, viewport={"width": 1200, "height": 900})
    page.evaluate(OPEN_ALL)
    found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
    assert [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []


def test_every_picture_has_its_numbers_in_words_and_nothing_is_wider_than_a_phone(visit: Any) -> None:
    result = full()
    page = visit(html_report(result), viewport={"width": 360, "height": 780})
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    told = page.eval_on_selector_all("svg[role=img]", "all => all.map(each => each.getAttribute('aria-label'))")
    assert len(told) > 100
    assert all(re.search(r"\d", words) for words in told)
    section = next(probe for probe in result.probes if probe.name == "section_internalization")
    assert section.null is not None
    dots = page.locator(f'details[data-probe="{section.name}"] figure > svg.strip > circle.null')
    assert dots.count() == len(section.null.values)
    assert page.locator("svg.curve").count() == 2


def test_the_keyboard_opens_a_probe_and_focus_explains_a_statistic(visit: Any) -> None:
    page = visit(html_report(full()))
    probe = page.locator('details[data-probe="delta_kl"]')
    probe.locator("> summary").focus()
    page.keyboard.press("Enter")
    assert probe.get_attribute("open") is not None
    page.keyboard.press("Tab")
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text() == page.locator("#term-interval").text_content()
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_a_token_says_its_nats_on_focus_and_on_hover(visit: Any) -> None:
    page = visit(html_report(full()))
    page.locator(".token").first.focus()
    assert page.locator("#tip").inner_text() == "-2.00 nats (base -1.00, tuned -3.00)"
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text() == "0 nats (base -2.00, tuned -2.00)"
    page.locator(".token").nth(2).hover()
    assert page.locator("#tip").inner_text() == "+3.00 nats (base -3.00, tuned 0)"


def test_filter_search_sort_and_open_probes_stand_in_the_address(visit: Any) -> None:
    html = html_report(full())
    page = visit(html)
    page.get_by_role("button", name=re.compile("^INCONCLUSIVE")).click()
    page.locator("#search").fill("drift")
    page.get_by_role("button", name="sort by z").click()
    page.locator('details[data-probe="calibration_drift"] > summary').click()
    page.wait_for_function("location.hash.includes('open=')")
    place = page.evaluate("location.hash")
    again = visit(html, place)
    assert again.locator("details.probe:visible").count() == 1
    assert again.locator('details[data-probe="calibration_drift"]').get_attribute("open") is not None
    assert again.locator("#search").input_value() == "drift"
    assert again.locator("#overview th[aria-sort=descending]").count() == 1
    again.evaluate("location.hash = 'probe-3'")
    again.wait_for_function("document.querySelector('#probe-3').open")


def test_a_table_sorts_by_number_with_what_is_missing_last(visit: Any) -> None:
    page = visit(html_report(full()))
    page.get_by_role("button", name="sort by value", exact=True).first.click()
    values = page.eval_on_selector_all(
        "#overview tbody td[data-value]:nth-child(4)", "all => all.map(each => each.dataset.value)"
    )
    present = [float(value) for value in values if value]
    assert present == sorted(present, reverse=True)
    assert "" not in values[: len(present)]


def test_hostile_words_run_nothing_and_texts_are_shown_as_text(visit: Any) -> None:
    page = visit(html_report(full(HOSTILE)))
    page.evaluate(OPEN_ALL)
    page.wait_for_selector("details.asked pre")
    assert page.locator("details.asked pre").first.text_content() == HOSTILE
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hit") is None


def test_print_opens_everything_and_closes_it_again(visit: Any) -> None:
    page = visit(html_report(full()), viewport={"width": 720, "height": 1000})
    page.emulate_media(media="print")
    closed = "document.querySelectorAll('details:not([open])').length"
    before = page.evaluate(closed)
    assert before > 10
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(closed) == 0
    assert page.evaluate("location.hash") == ""
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(closed) == before


def test_the_button_saves_the_result_as_it_was(visit: Any, tmp_path: Path) -> None:
    result = full()
    page = visit(html_report(result), accept_downloads=True)
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(tmp_path / "saved.json")
    saved = from_json((tmp_path / "saved.json").read_text(encoding="utf-8"), "saved.json")
    assert record_of(saved) == record_of(result)


def test_the_matrix_page(visit: Any) -> None:
    rows = tuple(
        DeploymentResult(
            kind, "merged", size, 0.1, None, 100.0, 50.0, 0.0, 1.0, kept, (kept - 0.1, kept), 1.0, 1.0, 0.0, None,
            verdict, "because",
        )
        for kind, size, kept, verdict in (("F16", 9_000_000, 1.0, Verdict.PASS), ("Q4_0", 2_000_000, 0.2, Verdict.FAIL))
    )  # fmt: skip
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = visit(html_matrix(SurvivalMatrix(rows, 0.9, 0.1, "F16 merged", ("F16 merged",), "F16 is best.")))
    assert page.locator("#overview tbody tr").count() == 2
    assert page.locator(".picture-of svg").count() == 1
    assert "20%" in page.locator("#overview").inner_text()
    found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
    assert [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []


def test_the_comparison_page_opens_what_got_worse(visit: Any) -> None:
    item = ItemChange("k", HOSTILE, 1.0, 0.25)
    worse = ProbeChange(
        "lift", "k", "direction", "nats", "higher", Verdict.PASS, Verdict.FAIL, Movement.WORSE, "fell", 1.0, 0.25,
        (0.9, 1.2), None, -0.75, (-1.0, -0.5), 0.01, 0.02, 0.001, (item,), 1, ("rain",), ("gone",),
    )  # fmt: skip
    same = ProbeChange("d", "k", "signal", "", "", Verdict.PASS, Verdict.PASS, Movement.UNTESTED)
    page = visit(
        html_comparison(
            Comparison(
                "a.json",
                "b.json",
                Diagnosis.HEALTHY,
                Diagnosis.OFF_TARGET,
                0.05,
                (Condition("seed", "0", "1"),),
                (AxisChange("direction", Verdict.PASS, Verdict.FAIL),),
                (worse, same),
                ("only",),
            )
        )
    )
    assert page.locator("details.probe[open]").count() == 1
    row = page.locator('#overview tr[data-probe="lift"]').inner_text()
    assert all(words in row for words in ("worse", "1.00 ±0.20", "-0.750", "-1.00…-0.500", "0.02"))
    assert "Change -0.750 nats, 95% interval -1.00…-0.500" in page.content()
    assert page.locator("img").count() == 0
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
    assert [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []


def test_the_sweep_page_shades_by_lift_and_links_results(visit: Any) -> None:
    rows = [
        CellRow(f"{number:024x}", base, HOSTILE, scale, 0, "check", diagnosis, "because", lift=lift, collateral=-0.1)
        for number, (base, scale, diagnosis, lift) in enumerate(
            (("b.gguf", 1.0, "healthy", 3.5), ("c.gguf", 1.0, "noise", 0.0), ("b.gguf", 0.5, "damaging", -0.7),
             ("c.gguf", 0.5, "ERROR", None))
        )
    ]  # fmt: skip
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = visit(html_sweep(rows, "sweep.yaml"))
    shades = page.eval_on_selector_all("table.grid tbody td", "all => all.map(each => each.className)")
    assert shades == ["up-4", "", "down-2", ""]
    assert page.locator("#overview tbody tr").count() == 4
    assert page.locator("#overview a").count() == 3
    assert page.locator("#overview a").first.get_attribute("href") == f"cells/{0:024x}.json"
    page.get_by_role("button", name="sort by lift").click()
    assert "+3.50" in page.locator("#overview tbody tr").first.inner_text()
    assert page.locator("img").count() == 0
    found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
    assert [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []
