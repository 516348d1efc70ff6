"""What benchmarks share: sides that take turns, medians, findings with their goals, and how these are shown and kept.

Knows clocks, numbers and tables; nothing of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import sway_gguf

Times = Mapping[str, Sequence[float]]
"""Seconds, or speeds, by side, round by round."""
_MARKS = ("<!-- figures -->", "<!-- end of figures -->")
_SMALL = 1e-3


@dataclass(frozen=True, slots=True)
class Goal:
    """What a number has to keep to."""

    relation: Literal["≥", "≤", "<", "="]
    bound: float

    def reached(self, number: float) -> bool:
        """Whether it does."""
        held = {"≥": number >= self.bound, "≤": number <= self.bound, "<": number < self.bound}
        return held.get(self.relation, number == self.bound)

    def __str__(self) -> str:
        return f"{self.relation} {number_text(self.bound)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured thing, on both sides where there are two.

    Attributes:
        what: is measured.
        ours: our number; None where it could not be measured, and `note` says why.
        unit: of both numbers.
        against, other: name and number of the other side; "" and None where there is none.
        ratio: what the goal is about, where that is not `ours` itself.
        spread: least and largest ratio of the rounds.
        goal: to keep to; None where there is none.
        note: what a reader must know beside.
    """

    what: str
    ours: float | None
    unit: str = ""
    against: str = ""
    other: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is; None where nothing was measured or asked."""
        number = self.ours if self.ratio is None else self.ratio
        return None if number is None or self.goal is None else self.goal.reached(number)

    def cells(self) -> list[str]:
        """What, ours, the other side, the ratio, the goal and whether it is reached, as text."""
        sides = [f"{number_text(n)} {self.unit}".strip() if n is not None else "" for n in (self.ours, self.other)]
        other = f"{self.against} {sides[1]}".strip()
        ratio = "" if self.ratio is None else number_text(self.ratio)
        if self.spread:
            ratio += f" ({number_text(self.spread[0])}–{number_text(self.spread[1])})"
        goal = "" if self.goal is None else str(self.goal)
        held = {None: "", True: "reached", False: "missed"}[self.reached]
        return [self.what, sides[0] or "left out", other, ratio, goal, held]

    def line(self) -> str:
        """All of it in a line."""
        what, ours, other, ratio, goal, held = self.cells()
        parts = [f"{what}: {ours}", other and f"against {other}", ratio and f"ratio {ratio}"]
        parts.append(goal and f"goal {goal} {held}".rstrip())
        return ", ".join(filter(None, parts)) + (f" ({self.note})" if self.note else "")


def left_out(what: str, why: object) -> Finding:
    """A thing that cannot be measured here."""
    return Finding(what, None, note=str(why))


def number_text(number: float) -> str:
    """Four digits that count, and no more than a thousandth where it is above one."""
    if number == 0 or abs(number) >= 1000:
        return f"{number:,.0f}"
    if abs(number) < _SMALL:
        return f"{number:.2e}"
    return f"{number:.4f}" if abs(number) < 0.1 else f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"


def seconds_of(work: Callable[[], object]) -> float:
    """Time of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(sides: Mapping[str, Callable[[], object]], repeat: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Seconds per side and round; every other round runs backwards. One more round, uncounted, may warm up first."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeat + warm):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            took = seconds_of(sides[name])
            if turn or not warm:
                times[name].append(took)
    return times


def ratio_of(ours: Sequence[float], other: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Median over median, and least and largest of the rounds' own ratios."""
    rounds = [mine / theirs for mine, theirs in zip(ours, other, strict=True)]
    return statistics.median(ours) / statistics.median(other), (min(rounds), max(rounds))


def faster(
    what: str, ours: Sequence[float], other: Sequence[float], tokens: float, against: str, goal: Goal | None
) -> Finding:
    """Tokens per second of both sides from their seconds; the ratio is ours over the other's."""
    ratio, spread = ratio_of(other, ours)
    speeds = [tokens / statistics.median(times) for times in (ours, other)]
    return Finding(what, speeds[0], "tokens/s", against, speeds[1], ratio, spread, goal)


def shares(what: str, part: float, whole: float, unit: str, of: str, goal: Goal | None, note: str = "") -> Finding:
    """A part and the whole that it is a share of."""
    return Finding(what, part, unit, of, whole, part / whole, None, goal, note)


def machine() -> dict[str, str]:
    """What the figures depend on: processor, memory, load, versions."""
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processor": processor(),
        "memory": _memory(),
        "system": platform.platform(terse=True),
        "load average before": load,
        "versions": versions("llama-cpp-python", "numpy"),
    }


def versions(*packages: str) -> str:
    """The product with the last commit that changed it, as far as it lies in a checkout; `packages`, and Python."""
    at = _commit(Path(sway_gguf.__file__).parent)
    product = f"sway-gguf {version('sway-gguf')}" + (f" at {at}" if at else "")
    others = (f"{name} {version(name)}" for name in packages)
    return ", ".join((product, *others, f"python {platform.python_version()}"))


def _commit(folder: Path) -> str:
    """The last commit that changed what is in `folder`, and whether something was changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(folder), *words, "--", "."], capture_output=True, text=True).stdout

    if not shutil.which("git"):
        return ""
    last = git("log", "-1", "--format=%h", "--abbrev=10").strip()
    return f"{last}, changed" if last and git("status", "--porcelain") else last


def processor() -> str:
    """Its name, and how many of it the system counts."""
    return f"{_processor()}, {os.cpu_count()} logical"


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def common_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark takes."""
    parser.add_argument("--repeat", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, not how fast anything is")
    parser.add_argument("-t", "--threads", type=int, default=0, help="as the engine's -t; 0 is its default")
    parser.add_argument("-ngl", "--gpu-layers", type=int, default=0, help="as the engine's -ngl; -1 for all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there as well")


def given_to_all(options: argparse.Namespace) -> list[str]:
    """The common options as words for another process, without --json."""
    words = ["--repeat", str(options.repeat), "-t", str(options.threads), "-ngl", str(options.gpu_layers)]
    return words + ["--quick"] * options.quick


def main(
    about: str | None,
    measured: Callable[[argparse.Namespace], Iterable[Finding]],
    own_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> None:
    """Read the options, measure, print each finding as it comes, and keep all of them where --json asks for it.

    Args:
        about: the module's docstring, of which the first line is shown by --help.
        measured: gives the findings.
        own_options: adds what this benchmark alone takes.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    common_options(parser)
    own_options(parser)
    options = parser.parse_args()
    found = []
    for finding in measured(options):
        print(finding.line(), flush=True)
        found.append(finding)
    if options.json:
        options.json.write_text(json.dumps([asdict(finding) for finding in found]), encoding="utf-8")


def read(path: Path) -> list[Finding]:
    """What --json wrote."""
    found = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        goal, spread = entry.pop("goal"), entry.pop("spread")
        found.append(Finding(**entry, goal=goal and Goal(**goal), spread=spread and tuple(spread)))
    return found


def markdown(parts: Mapping[str, Sequence[Finding]], about: Mapping[str, str]) -> str:
    """The machine as a list, and a table of findings for each benchmark."""
    return "\n".join(_markdown_lines(parts, about)) + "\n"


def _markdown_lines(parts: Mapping[str, Sequence[Finding]], about: Mapping[str, str]) -> Iterator[str]:
    yield from (f"- {name}: {value}" for name, value in about.items())
    for name, findings in parts.items():
        yield from ("", f"**{name}**", "", "| what | ours | against | ratio | goal | |", "|---|---|---|---|---|---|")
        for finding in findings:
            cells = finding.cells()
            cells[0] += f" ({finding.note})" if finding.note else ""
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def write_markdown(path: Path, text: str) -> None:
    """Write a page, or, where it has a place for figures between two marks, that part of it alone."""
    begin, end = _MARKS
    if path.exists() and begin in (page := path.read_text(encoding="utf-8")) and end in page:
        text = page.partition(begin)[0] + f"{begin}\n\n{text}\n{end}" + page.partition(end)[2]
    path.write_text(text, encoding="utf-8")
