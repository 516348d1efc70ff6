"""The clinic's results as tables: what was concluded of which fault, case by case, and the original's beside it.

Knows rows of results; neither cases nor commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.clinic.rows import Row
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
    """Summary, what made the visits, matrix, the original's, and every adapter."""
    parts = [_summary(rows), _matrix(rows), _originals(rows), _cases(rows)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    yield from (f"- {line[0].upper()}{line[1:]}." for line in (*summary(rows), *made_with(rows)))


def made_with(rows: Sequence[Row]) -> Iterator[str]:
    """How many visits each set of versions and settings made, the most first."""
    for (versions, settings), count in Counter(row.made_with for row in rows).most_common():
        told = f"{versions}; {settings}" if versions else "versions that were not kept"
        yield f"made with {told}: {count} visits"


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
    yield from ("**Every adapter** (own and other text by NumPy, nats per token)", "")
    yield "| base | adapter | planted | own text | other text | right | concluded |"
    yield "|---|---|---|---|---|---|---|"
    for base, case in dict.fromkeys((row.base, row.case) for row in rows):
        here = [row for row in rows if (row.base, row.case) == (base, case)]
        words: dict[str, list[Row]] = {}
        for row in here:
            words.setdefault(row.word, []).append(row)
        told = "; ".join(_told(word, found) for word, found in words.items())
        own, other = _number([row.own_text for row in here]), _number([row.other_text for row in here])
        yield f"| {base} | {case} | {here[0].fault} | {own} | {other} | {', '.join(here[0].accepted)} | {told} |"


def _told(word: str, rows: Sequence[Row]) -> str:
    forms = ", ".join(row.form for row in rows)
    said = word if rows[0].right else f"**{word}**"
    return f"{said} ({forms})"


def _number(found: Sequence[float | None]) -> str:
    return next((f"{value:+.2f}" for value in found if value is not None), "")
