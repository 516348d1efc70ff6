"""What was run, on what and by which code, for the page. Knows cells and sessions; nothing of what they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmarks.validity.cells import Cells, Session
from benchmarks.validity.judging import claimed
from benchmarks.validity.summary import Share, flips
from benchmarks.validity.tables import by_subject, of_types, table

_UNKNOWN = "not recorded"
_MACHINE = ("processor", "memory", "system")


def ran(cells: Cells) -> str:
    """How much, as a list, and a table of the sessions in which it was measured."""
    head = ["session", "versions", "study's code", "sizes", "results", "false alarms among them"]
    rows = [_row(number, session) for number, session in enumerate(cells.sessions, 1)]
    machines = dict.fromkeys("; ".join(s.about.get(name, _UNKNOWN) for name in _MACHINE) for s in cells.sessions)
    about = [*_counted(cells), *(f"- machine: {each}" for each in machines)]
    return "\n".join([*about, "", table(head, rows)])


def _row(number: int, session: Session) -> list[str]:
    about = (session.about.get(name, _UNKNOWN) for name in ("versions", "study", "sizes"))
    parts = Counter(part for part, _ in session.found)
    nothing = [cell for (part, _), cell in session.found.items() if part == "nothing"]
    results = ", ".join(f"{count} {part}" for part, count in parts.items())
    return [str(number), *about, results, str(Share.over(nothing, claimed)) if nothing else ""]


def _counted(cells: Cells) -> Iterator[str]:
    for name, of in by_subject(cells.of("nothing")).items():
        yield f"- {len(of)} adapters that learned nothing on {name}"
    for source in dict.fromkeys(cell["source"] for cell in cells.of("otherwise")):
        of = [cell for cell in cells.of("otherwise") if cell["source"] == source]
        yield f"- {_trainings(len(of))} on {source} text, each stopped {len(of[0]['steps'])} times"
    if runs := cells.of("power"):
        trainings = len({cell["training"] for cell in runs})
        adapters = len({(cell["training"], cell["stop"]) for cell in runs})
        yield f"- power: {_trainings(trainings)}, {adapters} adapters, {len(runs)} settings"
    for adapter, (counts, _) in flips(cells.of("gates")).items():
        yield f"- gate: {adapter}, {counts.total()} seeds"
    for name, of in of_types(cells).items():
        kinds = list(dict.fromkeys(cell["type"] for cell in of))
        yield f"- types: {name}, {len({cell['adapter'] for cell in of})} adapters on {', '.join(kinds)}"


def _trainings(count: int) -> str:
    return "1 training" if count == 1 else f"{count} trainings"
