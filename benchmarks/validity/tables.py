"""The study's results as tables in Markdown, by name of the place on the page where each stands.

Knows cells and words; what the numbers are is in summary.py.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product

from benchmarks.validity.cells import Cell, Cells
from benchmarks.validity.judging import claimed
from benchmarks.validity.power import STOPS, USUAL, drowned
from benchmarks.validity.summary import (
    OURS,
    THEIRS,
    Curve,
    Parting,
    Share,
    agreement,
    false_alarms,
    flips,
    found_at_all,
    found_by,
    grouped,
    moves,
    opposite,
    originals_claim,
    originals_curve,
    partings,
    power_curve,
)
from sway_gguf.core.views import DESIGNS

Rows = Iterable[Sequence[str]]


def table(head: Sequence[str], rows: Rows) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def by_subject(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Cells by the base on which they were measured, which their names begin with."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell["name"].split()[0].rstrip(","), []).append(cell)
    return groups


_TAUGHT = {
    "own": "the data itself",
    "other": "another document of the same style",
    "shuffled": "the data's words, shuffled",
}


def short(cells: Cells) -> str:
    """The main results in a sentence each."""
    return "\n".join(f"- {sentence}" for sentence in _sentences(cells))


def _sentences(cells: Cells) -> Iterator[str]:
    for name, of in by_subject(cells.of("nothing")).items():
        alarms = false_alarms(of)
        ours, toward = alarms["PASS of signal or direction"], alarms["PASS of direction"]
        yield f"Adapters that learned nothing on {name} and pass `signal` or `direction`: {ours}; the latter: {toward}."
        theirs = f"{alarms[THEIRS]}; ours there: {alarms[OURS]}"
        yield f"The original's rule on the same adapters, where it was asked: {theirs}."
    last = [{**cell["steps"][-1], "source": cell["source"]} for cell in cells.of("otherwise")]
    for source, told in _TAUGHT.items():
        of = [run for run in last if run["source"] == source]
        shares = (f"{verdict} {Share.over(of, partial(_directed, verdict))}" for verdict in ("PASS", "FAIL"))
        yield f"Trained on {told}, `direction` at the end: {'; '.join(shares)}."
    usual = _by_how(cells.of("power")).get(("template", "rotation"), [])
    if usual:
        for told, noisy in (("stopped early", False), ("drowned in noise", True)):
            if of := [cell for cell in usual if drowned(cell) == noisy]:
                ours, theirs = _smallest(power_curve(of, "2 of 19")), _smallest(originals_curve(of))
                count = len({cell["training"] for cell in of})
                runs = f"{count} {'training' if count == 1 else 'trainings'}"
                found = f"the smallest lift found in 80%: {ours}; by the original's rule {theirs}"
                yield f"Of adapters {told} ({runs}), {found}."
    if found := flips(cells.of("gates")):
        differ = Share(sum(share.count for _, share in found.values()), sum(share.of for _, share in found.values()))
        yield f"Runs of the gate that differ from the commonest outcome of the same files: {differ}."
    for name, of in of_types(cells).items():
        if agreed := agreement(of, of[0]["type"]):
            told = "; ".join(f"{kind} {share}" for kind, share in agreed.items())
            yield f"Same diagnosis as on {of[0]['type']}, {name}: {told}."


def _directed(verdict: str, run: Cell) -> bool:
    return bool(run["axes"].get("direction") == verdict)


def nothing(cells: Cells) -> str:
    """False alarms, base by base."""
    subjects = {name: false_alarms(of) for name, of in by_subject(cells.of("nothing")).items()}
    whats = next(iter(subjects.values()), {})
    return table(["", *subjects], ([what, *(str(of[what]) for of in subjects.values())] for what in whats))


def nothing_by(cells: Cells) -> str:
    """The same on the demo's base, by what the adapters are like."""
    demo = by_subject(cells.of("nothing")).get("demo", [])
    rows: list[Sequence[str]] = []
    for key in ("kind", "size", "rank", "modules"):
        for value, of in grouped(demo, key).items():
            asked = [cell for cell in of if "original" in cell]
            theirs = Share.over(asked, originals_claim)
            rows.append([f"{key}: {value}", str(Share.over(of, claimed)), str(theirs)])
    return table(["adapters that learned nothing", "ours", "the original's rule"], rows)


def otherwise(cells: Cells) -> str:
    """Adapters by what they were trained on, and for how long."""
    rows: list[Sequence[str]] = []
    runs = [{**step, "source": cell["source"]} for cell in cells.of("otherwise") for step in cell["steps"]]
    for source, step in product(("own", "other", "shuffled"), sorted({run["step"] for run in runs})):
        of = [run for run in runs if run["source"] == source and run["step"] == step]
        if of:
            asked = [run for run in of if "original" in run]
            theirs = f"{sum(map(originals_claim, asked))} of {len(asked)}" if asked else ""
            what = [source, str(step), str(len(of)), _spread(of, "lift"), _spread(of, "d")]
            rows.append([*what, *_counted(of), theirs])
    head = ["trained on", "steps", "adapters", "lift", "d", "`delta_kl`", "`content`", "`section_internalization`"]
    return table([*head, "`aim`", "direction", "the original's rule"], rows)


def _counted(runs: Sequence[Cell]) -> Iterator[str]:
    """How many pass what changes, and each verdict on where the change leads."""
    yield from (_passes(runs, kind) for kind in ("delta_kl", "content"))
    yield from (_verdicts(run["verdicts"].get(kind) for run in runs) for kind in ("section_internalization", "aim"))
    yield _verdicts(run["axes"]["direction"] for run in runs)


def _passes(runs: Sequence[Cell], kind: str) -> str:
    return str(sum(kind in run["passed"] for run in runs))


def _verdicts(found: Iterable[str | None]) -> str:
    """How often each, the commonest first."""
    return ", ".join(f"{verdict} {count}" for verdict, count in Counter(filter(None, found)).most_common())


def _spread(runs: Sequence[Cell], key: str) -> str:
    """Median, and the range."""
    values = sorted(run[key] for run in runs)
    return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def power(cells: Cells) -> str:
    """The smallest lift that is found, rule by rule, of adapters as they were stopped and of such in noise."""
    rows = []
    for (form, design), of in _by_how(cells.of("power")).items():
        parts = {noisy: [cell for cell in of if drowned(cell) == noisy] for noisy in (False, True)}
        for rule in of[0]["rules"]:
            looks, _, nulls = rule.partition(" of ")
            asked = statistics.mean(cell["rules"][rule]["nulls"] for cell in of)
            signal = Share.over(of, lambda cell, rule=rule: found_by(cell, rule, "delta_kl"))
            ends = [_smallest(power_curve(part, rule)) if part else "" for part in parts.values()]
            rows.append([form, design, nulls, looks, f"{asked:.1f}", *ends, f"{signal.rate:.0%}"])
        if all("original" in cell for cell in of):
            ends = [_smallest(originals_curve(part)) if part else "" for part in parts.values()]
            moved = Share.over(of, lambda cell: "delta_kl" in cell["original"]["passed"])
            rows.append([form, THEIRS, "3", "", "3", *ends, f"{moved.rate:.0%}"])
    ends = ["found from, stopped", "found from, in noise"]
    return table(["dialogues as", "nulls", "number", "looks", "asked", *ends, "signal"], rows)


def power_by_stop(cells: Cells) -> str:
    """How many trainings each rule finds, stop by stop, and what the lift was."""
    rows: list[Sequence[str]] = []
    for stop in STOPS:
        of = _by_how([cell for cell in cells.of("power") if cell["stop"] == stop])
        usual, transcripts = of.get(("template", DESIGNS[0]), []), of.get(("transcript", DESIGNS[0]), [])
        if usual:
            found = (_found(of.get(("template", design), [])) for design in DESIGNS)
            theirs = f"{sum(map(originals_claim, usual))} of {len(usual)}"
            rows.append([stop, _median_lift(usual), *found, _median_lift(transcripts), _found(transcripts), theirs])
    head = ["adapter", "lift", *DESIGNS, "lift, transcript", "found there", THEIRS]
    return table(head, rows)


def _median_lift(runs: Sequence[Cell]) -> str:
    lifts = [cell["values"]["section_internalization"] for cell in runs]
    return f"{statistics.median(lifts):.2g}" if lifts else ""


def _found(runs: Sequence[Cell]) -> str:
    rule = "{} of {}".format(*USUAL)
    return f"{sum(found_at_all(cell, rule) for cell in runs)} of {len(runs)}" if runs else ""


def _by_how(runs: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in runs:
        groups.setdefault((cell["form"], cell["design"]), []).append(cell)
    return groups


def _smallest(found: Curve) -> str:
    if found.smallest is None:
        return "none"
    if found.interval == (None, None):
        return f"{found.smallest:.2g}"
    low, high = ("?" if end is None else f"{end:.2g}" for end in found.interval)
    return f"{found.smallest:.2g} ({low} to {high})"


def gates(cells: Cells) -> str:
    """Outcomes over seeds."""
    rows = []
    for adapter, (counts, differ) in flips(cells.of("gates")).items():
        said = "; ".join(f"{name} {count}" for name, count in counts.most_common())
        rows.append([adapter, said, str(differ), str(opposite(counts))])
    return table(["adapter", "outcomes", "differ from the commonest", "PASS against FAIL"], rows)


def types(cells: Cells) -> str:
    """How often a type gives the diagnosis of the reference, and every axis that came out otherwise."""
    parts = []
    for name, of in of_types(cells).items():
        reference = of[0]["type"]
        moved = moves(of, reference)
        agreed = (
            [f"{name}, {kind}", str(share), f"{moved[kind][0]:.3f}", f"{moved[kind][1]:.0%}"]
            for kind, share in agreement(of, reference).items()
        )
        far = ["an end against a tolerance moves by at most, nats/token", "of its interval's length"]
        parts.append(table(["base", f"same diagnosis as on {reference}", *far], agreed))
        found = partings(of, reference)
        told = [each for each in found if each.probe]
        parts.append(
            f"Axes that part: {len(found)} of {_axes(of, reference)} on {name}; by a tolerance {len(told)}, and in "
            f"{sum(each.says for each in told)} of these both reports say how near the interval lies to it or that it "
            "reaches across."
        )
        rows = (
            [each.adapter, each.type, each.axis, f"{each.reference} → {each.other}", _near(each), *each.told]
            for each in found
        )
        head = ["adapter", "type", "axis", "verdicts", "nearest end to the tolerance"]
        parts.append(table([*head, f"the report on {reference}", "the report on the type"], rows))
    return "\n\n".join(parts)


def _axes(cells: Sequence[Cell], reference: str) -> int:
    """Verdicts that are held against those on the reference, without axes that neither run asked about."""
    base = {cell["adapter"]: cell["axes"] for cell in cells if cell["type"] == reference}
    others = [cell for cell in cells if cell["type"] != reference and cell["adapter"] in base]
    pairs = [(base[cell["adapter"]][axis], verdict) for cell in others for axis, verdict in cell["axes"].items()]
    return sum(set(pair) != {"SKIP"} for pair in pairs)


def of_types(cells: Cells) -> Mapping[str, list[Cell]]:
    """Results on several types, by their base."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells.of("types"):
        groups.setdefault(cell["subject"], []).append(cell)
    return groups


def _near(parting: Parting) -> str:
    return "" if parting.near is None else f"{parting.probe}: {parting.near:.3f}"


TABLES: dict[str, tuple[str | None, Callable[[Cells], str]]] = {
    "short": (None, short),
    "nothing": ("nothing", nothing),
    "nothing-by": ("nothing", nothing_by),
    "otherwise": ("otherwise", otherwise),
    "power": ("power", power),
    "power-by-stop": ("power", power_by_stop),
    "gates": ("gates", gates),
    "types": ("types", types),
}
"""By the name of the place: the part whose results it shows, None for all of them, and what makes it."""


def filled(page: str, texts: Mapping[str, str]) -> str:
    """The page with every text between the marks of its place.

    Raises:
        ValueError: the page has no such place.
    """
    for name, text in texts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no place for {name}: {begin} … {end}")
        page = page.partition(begin)[0] + f"{begin}\n\n{text}\n\n{end}" + page.partition(end)[2]
    return page
