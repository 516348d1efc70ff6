"""The study's results as tables in Markdown, by name of the place on the page where each stands.

Knows cells and words; what the numbers are is in summary.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product

from benchmarks.validity.cells import Cell, Cells
from benchmarks.validity.judging import claimed
from benchmarks.validity.summary import (
    OURS,
    THEIRS,
    Curve,
    Share,
    agreement,
    false_alarms,
    flips,
    found_by,
    grouped,
    opposite,
    originals_claim,
    originals_curve,
    partings,
    power_curve,
)

Rows = Iterable[Sequence[str]]


def table(head: Sequence[str], rows: Rows) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _by_subject(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell["name"].split()[0].rstrip(","), []).append(cell)
    return groups


def short(cells: Cells) -> str:
    """The main results in a sentence each."""
    return "\n".join(f"- {sentence}" for sentence in _sentences(cells))


def _sentences(cells: Cells) -> Iterator[str]:
    alarms = false_alarms(cells.of("nothing"))
    yield f"Adapters that learned nothing and pass `signal` or `direction`: {alarms['PASS of signal or direction']}."
    yield f"Of them `direction`: {alarms['PASS of direction']}."
    yield f"The original's rule on the same adapters, where it was asked: {alarms[THEIRS]}; ours there: {alarms[OURS]}."
    last = [{**cell["steps"][-1], "source": cell["source"]} for cell in cells.of("otherwise")]
    for source, told in (("other", "another document of the same style"), ("shuffled", "the data's words, shuffled")):
        of = [run for run in last if run["source"] == source]
        yield f"Trained on {told}, with PASS of `direction` at the end: {Share.over(of, _directed)}."
    usual = _by_how(cells.of("power")).get(("template", "rotation"), [])
    if usual:
        ours, theirs = _smallest(power_curve(usual, "2 of 19")), _smallest(originals_curve(usual))
        yield f"The smallest lift found in 80% of runs, nats/token: {ours}; by the original's rule: {theirs}."
    found = flips(cells.of("gates"))
    differ = Share(sum(share.count for _, share in found.values()), sum(share.of for _, share in found.values()))
    yield f"Runs of the gate that differ from the commonest outcome of the same files: {differ}."
    for name, of in _of_types(cells).items():
        agreed = agreement(of, of[0]["type"]).items()
        yield f"Same diagnosis as on {of[0]['type']}, {name}: {'; '.join(f'{kind} {share}' for kind, share in agreed)}."


def _directed(run: Cell) -> bool:
    return bool(run["axes"].get("direction") == "PASS")


def nothing(cells: Cells) -> str:
    """False alarms, base by base."""
    subjects = {name: false_alarms(of) for name, of in _by_subject(cells.of("nothing")).items()}
    whats = next(iter(subjects.values()), {})
    return table(["", *subjects], ([what, *(str(of[what]) for of in subjects.values())] for what in whats))


def nothing_by(cells: Cells) -> str:
    """The same on the demo's base, by what the adapters are like."""
    demo = _by_subject(cells.of("nothing")).get("demo", [])
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
            passes = (_passes(of, kind) for kind in ("delta_kl", "section_internalization", "content"))
            direction = str(sum(map(_directed, of)))
            asked = [run for run in of if "original" in run]
            theirs = f"{sum(map(originals_claim, asked))} of {len(asked)}" if asked else ""
            rows.append(
                [source, str(step), str(len(of)), _spread(of, "lift"), _spread(of, "d"), *passes, direction, theirs]
            )
    head = ["trained on", "steps", "adapters", "lift", "d", "`delta_kl`", "`section_internalization`", "`content`"]
    return table([*head, "direction", "the original's rule"], rows)


def _passes(runs: Sequence[Cell], kind: str) -> str:
    return str(sum(kind in run["passed"] for run in runs))


def _spread(runs: Sequence[Cell], key: str) -> str:
    """Median, and the range."""
    values = sorted(run[key] for run in runs)
    return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def power(cells: Cells) -> str:
    """The smallest lift that is found, rule by rule."""
    runs, rows = cells.of("power"), []
    for (form, design), of in _by_how(runs).items():
        for rule in of[0]["rules"]:
            looks, _, nulls = rule.partition(" of ")
            signal = Share.over(of, lambda cell, rule=rule: found_by(cell, rule, "delta_kl"))
            asked = statistics.mean(cell["rules"][rule]["nulls"] for cell in of)
            how = [form, design, nulls, looks, f"{asked:.1f}"]
            rows.append([*how, _smallest(power_curve(of, rule)), f"{signal.rate:.0%}"])
        if all("original" in cell for cell in of):
            either = _smallest(originals_curve(of))
            moved = Share.over(of, lambda cell: "delta_kl" in cell["original"]["passed"])
            rows.append([form, "the original's rule", "3", "", "3", either, f"{moved.rate:.0%}"])
    head = [
        "dialogues as",
        "nulls",
        "number",
        "looks",
        "asked, mean",
        "smallest lift found in 80%",
        "signal found in all",
    ]
    return table(head, rows)


def power_by_step(cells: Cells) -> str:
    """The share of trainings found after so many steps, by the default rule, and what the lift was."""
    runs = [cell for cell in cells.of("power") if cell["design"] == "rotation"]
    rows: list[Sequence[str]] = []
    for step, of in sorted(((int(step), of) for step, of in grouped(runs, "step").items()), key=lambda pair: pair[0]):
        row = [str(step)]
        for form in ("template", "transcript"):
            mine = [cell for cell in of if cell["form"] == form]
            lifts = [cell["values"]["section_internalization"] for cell in mine]
            found = Share.over(mine, lambda cell: found_by(cell, "2 of 19", "section_internalization"))
            row += [f"{statistics.median(lifts):.3f}", f"{found.count} of {found.of}"] if mine else ["", ""]
        asked = [cell for cell in of if "original" in cell]
        row.append(f"{sum(map(originals_claim, asked))} of {len(asked)}")
        rows.append(row)
    return table(["steps", "lift, template", "found", "lift, transcript", "found", "the original's rule"], rows)


def _by_how(runs: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in runs:
        groups.setdefault((cell["form"], cell["design"]), []).append(cell)
    return groups


def _smallest(found: Curve) -> str:
    if found.smallest is None:
        return "none"
    low, high = found.interval
    return f"{found.smallest:.3f} ({'?' if low is None else f'{low:.3f}'} to {'?' if high is None else f'{high:.3f}'})"


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
    for name, of in _of_types(cells).items():
        reference = of[0]["type"]
        agreed = (
            [f"{name}, {kind} beside {reference}", str(share)] for kind, share in agreement(of, reference).items()
        )
        parts.append(table(["base", "same diagnosis"], agreed))
        rows = (
            [each.adapter, each.type, each.axis, f"{each.reference} → {each.other}", _near(each.near), each.told]
            for each in partings(of, reference)
        )
        parts.append(
            table(["adapter", "type", "axis", "verdicts", "nearest end to the limit", "the report's words"], rows)
        )
    return "\n\n".join(parts)


def _of_types(cells: Cells) -> Mapping[str, list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells.of("types"):
        groups.setdefault(cell["subject"], []).append(cell)
    return groups


def _near(near: float | None) -> str:
    return "" if near is None else f"{near:.3f}"


TABLES: dict[str, Callable[[Cells], str]] = {
    "short": short,
    "nothing": nothing,
    "nothing-by": nothing_by,
    "otherwise": otherwise,
    "power": power,
    "power-by-step": power_by_step,
    "gates": gates,
    "types": types,
}
"""By the name of the place."""


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


def counted(cells: Cells) -> Iterator[str]:
    """What was run, as a list."""
    for name, of in _by_subject(cells.of("nothing")).items():
        yield f"- {len(of)} adapters that learned nothing on {name}"
    for cell in {(c["source"]): c for c in cells.of("otherwise")}.values():
        of = [each for each in cells.of("otherwise") if each["source"] == cell["source"]]
        yield f"- {len(of)} trainings on {cell['source']} text, each stopped {len(of[0]['steps'])} times"
    runs = cells.of("power")
    if runs:
        trainings = len({cell["training"] for cell in runs})
        adapters = len({(cell["training"], cell["step"]) for cell in runs})
        yield f"- power: {trainings} trainings, {adapters} adapters, {len(runs)} settings"
    for adapter, (counts, _) in flips(cells.of("gates")).items():
        yield f"- gate: {adapter}, {counts.total()} seeds"
    for name, of in _of_types(cells).items():
        kinds = list(dict.fromkeys(cell["type"] for cell in of))
        yield f"- types: {name}, {len({cell['adapter'] for cell in of})} adapters on {', '.join(kinds)}"
