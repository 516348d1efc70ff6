"""The clinic's results as tables: what was concluded of which fault, case by case, and the original's beside it.

Knows rows of results; neither cases nor commands.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.clinic.visit import HEALTHY

_ORDER = (
    HEALTHY,
    "healthy, warned",
    "no-op",
    "noise",
    "off-target",
    "damaging",
    "memorizing",
    "lost-in-deployment",
    "broken",
    "wrong conversion",
    "refused",
    "inconclusive",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One visit.

    Attributes:
        base, form: of weights.
        case, fault: of the adapter.
        accepted: what would be right.
        word, why, by: what the product concluded, in its own words, by which command.
        gate, check: "pass", "fail" or "error" by the original's two readings; "" where it was not asked.
        their_why: what of it failed.
        seconds: of ours.
    """

    base: str
    form: str
    case: str
    fault: str
    accepted: tuple[str, ...]
    word: str
    why: str
    by: str
    gate: str = ""
    check: str = ""
    their_why: str = ""
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """Which visit."""
        return self.base, self.form, self.case

    @property
    def right(self) -> bool:
        """Whether what was concluded is accepted."""
        return self.word in self.accepted

    @property
    def healthy(self) -> bool:
        """Whether nothing was planted."""
        return self.fault == HEALTHY

    @property
    def missed(self) -> bool:
        """Whether a fault was called healthy, without a word on it."""
        return not self.healthy and not self.right and self.word.startswith(HEALTHY)

    def line(self) -> str:
        """For the terminal."""
        mark = "ok   " if self.right else "WRONG"
        theirs = f"; theirs: gate {self.gate}, check {self.check} ({self.their_why})" if self.gate else ""
        return (
            f"{mark} {self.base} {self.form} {self.case} ({self.fault}): {self.word} by {self.by}: {self.why}{theirs}"
        )


def read(path: Path) -> list[Row]:
    """What was kept; the last one of a visit counts."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    rows = [Row(**{**entry, "accepted": tuple(entry["accepted"])}) for entry in found]
    return list({row.key: row for row in rows}.values())


def kept(row: Row, path: Path) -> None:
    """Add a row, whole, to what is kept."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def summary(rows: Sequence[Row]) -> list[str]:
    """What all of it comes to, a line each."""
    adapters = dict.fromkeys((row.base, row.case) for row in rows)
    visits = [[row for row in rows if (row.base, row.case) == one] for one in adapters]
    whole = [all(row.right for row in found) for found in visits if len(found) > 1]
    faulty = [row for row in rows if not row.healthy]
    lines = [
        f"{len(rows)} visits of {len(adapters)} adapters: {_share([row.right for row in rows])} concluded right",
        f"adapters visited in several types of weights, concluded right in all: {_share(whole)}",
        f"faults called healthy without a word on them: {_share([row.missed for row in faulty])}",
        f"healthy ones called anything else: {_share([not row.right for row in rows if row.healthy])}",
    ]
    asked = [row for row in rows if row.gate]
    for name, what in (("gate", "the original's gate"), ("check", "the original's check")):
        said = [(row, getattr(row, name) == "pass") for row in asked]
        if said:
            sound = _share([passed for row, passed in said if row.healthy])
            faults = _share([passed for row, passed in said if not row.healthy])
            ended = sum(getattr(row, name) == "error" for row in asked)
            lines.append(f"{what} passes sound ones: {sound}; passes faults: {faults}; ended with an error: {ended}")
    return lines


def _share(held: Sequence[bool]) -> str:
    """`57 of 60 (95%)`. No interval: the faults were chosen, not drawn."""
    return f"{sum(held)} of {len(held)} ({sum(held) / len(held):.0%})" if held else "none"


def column(word: str) -> str:
    """Of the matrix."""
    return "healthy, warned" if word.startswith(f"{HEALTHY} but") else word


def markdown(rows: Sequence[Row]) -> str:
    """Summary, matrix, the original's, and every adapter."""
    return "\n".join([*_summary(rows), "", *_matrix(rows), "", *_originals(rows), "", *_cases(rows)]) + "\n"


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    yield from (f"- {line[0].upper()}{line[1:]}." for line in summary(rows))


def _matrix(rows: Sequence[Row]) -> Iterator[str]:
    counts = Counter((row.fault, column(row.word)) for row in rows)
    words = [word for word in _ORDER if any(found == word for _, found in counts)]
    yield from ("**What was planted, and what was concluded** (visits; bold where it is right)", "")
    yield f"| planted | {' | '.join(words)} |"
    yield "|---" * (len(words) + 1) + "|"
    for fault in dict.fromkeys(row.fault for row in rows):
        cells = []
        for word in words:
            here = [row for row in rows if row.fault == fault and column(row.word) == word]
            right, wrong = sum(row.right for row in here), sum(not row.right for row in here)
            cells.append(" ".join(filter(None, [f"**{right}**" if right else "", str(wrong) if wrong else ""])))
        yield f"| {fault} | {' | '.join(cells)} |"


def _originals(rows: Sequence[Row]) -> Iterator[str]:
    asked = [row for row in rows if row.gate]
    if not asked:
        return
    yield from ("**The original's rule on the same files** (visits)", "")
    yield "| planted | gate passes | gate fails | check passes | check fails | error |"
    yield "|---|---|---|---|---|---|"
    for fault in dict.fromkeys(row.fault for row in asked):
        here = [row for row in asked if row.fault == fault]
        gates, checks = Counter(row.gate for row in here), Counter(row.check for row in here)
        cells = (gates["pass"], gates["fail"], checks["pass"], checks["fail"], gates["error"])
        yield f"| {fault} | {' | '.join(str(cell or '') for cell in cells)} |"


def _cases(rows: Sequence[Row]) -> Iterator[str]:
    yield from ("**Every adapter**", "", "| base | adapter | planted | right | concluded |", "|---|---|---|---|---|")
    for base, case in dict.fromkeys((row.base, row.case) for row in rows):
        here = [row for row in rows if (row.base, row.case) == (base, case)]
        words: dict[str, list[Row]] = {}
        for row in here:
            words.setdefault(row.word, []).append(row)
        told = "; ".join(_told(word, found) for word, found in words.items())
        yield f"| {base} | {case} | {here[0].fault} | {', '.join(here[0].accepted)} | {told} |"


def _told(word: str, rows: Sequence[Row]) -> str:
    forms = ", ".join(row.form for row in rows)
    said = word if rows[0].right else f"**{word}**"
    return f"{said} ({forms})"
