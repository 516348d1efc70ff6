"""Why no candidate ships, in a sentence: what every one of them lacks, and what was wrong before any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sway_gguf.choose.choice import Choice
from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.fixed import NOTHING, Fixed
from sway_gguf.choose.lifts import Lifts
from sway_gguf.choose.pick import Picking, pick_spec, prepared_pick
from sway_gguf.choose.rows import alone_row
from sway_gguf.choose.words import Told, summary_of
from sway_gguf.core.loras import Lora
from sway_gguf.core.pick import Estimate, Pick, PickRow, Standing
from sway_gguf.core.result import Verdict
from sway_gguf.report.console import PlainConsole
from sway_gguf.report.html.pick_plot import cost_svg
from sway_gguf.report.pick import marks, print_pick
from tests.test_pick import BASE_FILE, files
from tests.test_pick import HEALTHY as HEALTHY_FILE

__all__ = ["files"]
LIFTS = (1.0, 1.2, 0.9, 1.1, 1.05, 0.8)
GOOD = Lifts(LIFTS, LIFTS, prose=(-0.3,) * 6)
POOR = Lifts(LIFTS, tuple(-lift for lift in LIFTS), prose=(0.0,) * 6)
ENDLESS, BEYOND, WITHIN, BROKEN = Standing.ENDLESS, Standing.BEYOND, Standing.WITHIN, Standing.BROKEN
LOSES = "unrelated text surely loses more than 0.15 nats/token with"


def why(files: Path, candidates: Sequence[tuple[Lifts, Standing]], alone: Lifts | None = None) -> str:
    """Why none of the candidates a, b, c … ships, beside support.gguf where numbers of that alone are given."""
    prepared, asked = prepared_pick(pick_spec(BASE_FILE, HEALTHY_FILE, data=[files / "data.jsonl"]))
    fixed = NOTHING if alone is None else Fixed((Lora(Path("support.gguf")),))
    contenders = [Contender(name, Path(f"{name}.gguf"), 1.0, None, 0, 1.0) for name in "abcdef"[: len(candidates)]]
    measured = {place: lifts for place, (lifts, standing) in enumerate(candidates) if standing != BROKEN}
    broken = {place: "NaN" for place, (_, standing) in enumerate(candidates) if standing == BROKEN}
    picking = Picking(
        prepared, asked, contenders=contenders, measured=measured, broken=broken, fixed=fixed, alone=alone
    )
    rows = picking.rows(None, {place: candidates[place][1] for place in measured})
    told = Told(
        *(prepared, contenders, measured, rows, Choice(None), {}, None, (), None, -0.15),
        fixed=fixed,
        without=alone,
        alone=None if alone is None else alone_row(fixed.name, alone, -0.15, 0),
    )
    verdict, (sentence, *_), command = summary_of(told)
    assert (verdict, command) == (Verdict.FAIL, ())
    return sentence.removeprefix("None ships: ")


@pytest.mark.parametrize(
    ("candidates", "told"),
    [
        ([(GOOD, BROKEN)], "no candidate could be measured (a: NaN)."),
        ([(POOR, WITHIN)], "no candidate lifts held-out text."),
        ([(POOR, WITHIN), (GOOD, BROKEN)], "no candidate that could be measured lifts held-out text."),
        ([(GOOD, ENDLESS)] * 2, "the replies of every candidate no longer end."),
        ([(GOOD, ENDLESS), (POOR, WITHIN)], "the replies of every candidate that lifts anything no longer end."),
        ([(GOOD, ENDLESS), (GOOD, BROKEN)], "the replies of every candidate that lifts anything no longer end."),
        ([(GOOD, BEYOND)] * 2, f"{LOSES} every candidate (a: -0.30)"),
        ([(GOOD, BEYOND), (POOR, WITHIN)], f"{LOSES} every candidate that lifts anything (a: -0.30)"),
        ([(GOOD, ENDLESS), (GOOD, BEYOND)], f"the replies of a no longer end, and {LOSES} b (b: -0.30)"),
        (
            [(GOOD, ENDLESS), (GOOD, ENDLESS), (replace(GOOD, prose=(-0.9,) * 6), BEYOND), (GOOD, BEYOND)],
            f"the replies of a and b no longer end, and {LOSES} c and d (d: -0.30)",
        ),
    ],
)
def test_what_every_candidate_lacks_is_said_of_those_that_lack_it(
    files: Path, candidates: Sequence[tuple[Lifts, Standing]], told: str
) -> None:
    hint = "; smaller scales may do, as in --scales 0.25..1." if LOSES in told else ""
    assert why(files, candidates) == told + hint


def test_a_lift_that_is_not_beyond_the_others_own_on_the_choosing_half_is_told_so(files: Path) -> None:
    alone, better = Lifts(LIFTS, LIFTS), Lifts(LIFTS, tuple(lift + 0.1 for lift in LIFTS))
    told = why(files, [(better, WITHIN)], alone)
    assert told.endswith("has a held-out lift beyond that of support.gguf alone on the half that chooses.")
    told = why(files, [(better, WITHIN)], replace(alone, held_out=tuple(-lift for lift in LIFTS)))
    assert told.endswith("has a held-out lift on the half that chooses.")


def test_what_was_damaged_before_any_candidate_is_told(files: Path) -> None:
    alone, better = Lifts(LIFTS, LIFTS), Lifts(LIFTS, tuple(lift + 0.1 for lift in LIFTS))
    endless = why(files, [(better, ENDLESS)], replace(alone, endless="they run on"))
    assert endless == "with support.gguf alone, before any candidate, replies no longer end; give it a smaller scale."
    assert why(files, [(better, ENDLESS)], alone) == "the replies of every candidate no longer end."
    losing = why(files, [(better, ENDLESS), (better, BEYOND)], replace(alone, prose=(-0.5,) * 6))
    assert losing.startswith(f"with support.gguf alone, before any candidate, {LOSES.removesuffix(' with')} (-0.50)")


@pytest.mark.parametrize(
    ("verdict", "winner", "said"),
    [
        (Verdict.INCONCLUSIVE, "", "best, but unproven"),
        (Verdict.FAIL, "", "does not ship"),
        (Verdict.PASS, "a", "ships"),
    ],
)
def test_a_favourite_is_drawn_as_one_that_ships_where_it_does(verdict: Verdict, winner: str, said: str) -> None:
    lift, cost = Estimate(1.0, (0.9, 1.1), 9), Estimate(-0.01, None, 9)
    row = PickRow("a", "a.gguf", None, 1.0, held_out=lift, prose=cost, standing=WITHIN)
    pick = Pick((row,), winner, "a", verdict, ("A sentence.",), tolerance=-0.15)
    assert marks(pick, row) == [said]
    drawn = cost_svg(pick)
    assert f"unrelated text -0.01, within, {said}<" in drawn
    green = '" fill="#1a7f37" stroke="#444" stroke-width="2"'
    assert (green in drawn, 'font-weight="bold"' in drawn) == (bool(winner), bool(winner))


@pytest.mark.parametrize("width", [60, 70, 80, 120])
def test_a_terminal_that_is_too_narrow_for_the_table_has_a_line_for_each_candidate(width: int) -> None:
    lift = Estimate(1.0, (0.9, 1.1), 9)
    told = dict.fromkeys(("data", "held_out", "prose", "everyday", "leakage", "ending"), lift)
    row = PickRow("checkpoint-1000 at λ=0.5", "a.gguf", None, 1.0, pareto=True, standing=WITHIN, **told)  # type: ignore[arg-type]
    shown = StringIO()
    pick = Pick((row,), "", "", Verdict.FAIL, ("None.",), tolerance=-0.15, timings={"tokens": 9.0, "run_seconds": 1.0})
    print_pick(pick, Console(file=shown, width=width))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert min(len(line) for line in lines if line) > 4
    assert ("held-out +1.00 [0.90, 1.10]" in " ".join(" ".join(lines).split())) == (width < 80)


def test_the_command_that_runs_it_is_drawn_on_a_line_of_its_own_however_long() -> None:
    command = (f"llama-server -m {'a' * 60}.gguf --lora 'my [red] adapter.gguf'", "sway-gguf convert b")
    row, shown = PickRow("a", "a.gguf", None, 1.0, standing=WITHIN), StringIO()
    pick = Pick((row,), "a", "a", Verdict.PASS, ("Ships.",), command, timings={"tokens": 9.0, "run_seconds": 1.0})
    print_pick(pick, PlainConsole(shown, 60))
    assert [line.strip() for line in shown.getvalue().splitlines() if "gguf" in line] == [*command]
