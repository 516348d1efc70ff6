"""One visit: the product's own commands on one adapter, as a user would give them, and what they conclude.

The order is that of the README, whatever the adapter: `inspect`, `check`, `run` with what `check` leaves out because it
writes replies, and `quants` where the adapter ships merged. The first one that finds a fault ends the visit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sway_gguf.suite.prepare import quick_suite

HEALTHY, REFUSED, CONVERSION, LOST = "healthy", "refused", "wrong conversion", "lost-in-deployment"
_NAMED_BY = {
    "no-op": "applied",
    "noise": "signal",
    "off-target": "direction",
    "damaging": "collateral",
    "memorizing": "leakage",
    LOST: "survival",
}
"""The axis that a diagnosis stands for; its reason is the why."""
_ITEMS, _PROMPTS = 32, 16
"""Those of `check`, so that what it asked is in the answer store."""
_WARNING = ("WARN", "FAIL")
"""Of an axis beside HEALTHY: a FAIL that a sure move toward the material outweighs stands in its sentence as well."""
_OPEN = ("damage elsewhere not ruled out", "interval reaches across")
"""Of a WARN that finds nothing and asks for more items."""


class Done(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


Speak = Callable[..., Done]
"""Runs `sway-gguf` with these words."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the user of one adapter holds.

    Attributes:
        base, adapter: the files, the latter perhaps a folder.
        data: what it was trained on, as the user believes.
        general: text that it should leave alone.
        holdout: text like the data that was kept out of training.
        source: the PEFT folder that the adapter was converted from.
        ships: the type of weights that it is merged into; "" where it runs beside the base.
    """

    base: Path
    adapter: Path
    data: Path
    general: tuple[Path, ...] = ()
    holdout: Path | None = None
    source: Path | None = None
    ships: str = ""


@dataclass(frozen=True, slots=True)
class Concluded:
    """What the product says of an adapter.

    Attributes:
        word: its diagnosis; `healthy but AXIS and AXIS` where axes warn of something; `refused` where a command will
            not work on the files; `wrong conversion` where the GGUF is not what its PEFT folder holds.
        why: in the product's own words.
        by: the command that said so.
    """

    word: str
    why: str
    by: str


def spoken(*words: str) -> Done:
    """The command in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "sway_gguf", *words], capture_output=True, text=True)
    return Done(done.returncode, done.stdout, done.stderr)


def visit(
    held: Held,
    folder: Path,
    speak: Speak = spoken,
    *,
    whole: bool = True,
    options: Sequence[str] = (),
    engine: Sequence[str] = (),
) -> Concluded:
    """What the commands conclude of what the user holds.

    Args:
        held: the files.
        folder: to work in, empty.
        speak: runs a command.
        whole: whether the suite is run where `check` found nothing.
        options: of `check` and `run`, such as ("--nulls", "5").
        engine: of `quants` as well, such as ("-t", "1").
    """
    warned: list[Concluded] = []
    for found in _visited(held, folder, speak, whole, (*options, *engine), engine):
        if found.word.startswith(f"{HEALTHY} but"):
            warned.append(found)
        elif found.word != HEALTHY:
            return found
    return warned[0] if warned else found


def _visited(
    held: Held, folder: Path, speak: Speak, whole: bool, options: Sequence[str], engine: Sequence[str]
) -> Iterator[Concluded]:
    yield _inspected(held, speak)
    result = folder / "check.json"
    yield _told("check", speak("check", *_given(held), *_of(held), "--json", str(result), *options), result)
    if whole:
        spec, result = folder / "sway.yaml", folder / "run.json"
        spec.write_text(json.dumps(suite(held), indent=1), encoding="utf-8")
        yield _told("run", speak("run", str(spec), "--json", str(result), *options), result)
    if held.ships:
        yield _shipped(held, folder, speak, engine)


def suite(held: Held) -> Mapping[str, Any]:
    """A sway.yaml of what `check` asks, whether replies end, and whether training text is recited."""
    asked = [entry for entry in quick_suite() if entry["kind"] != "ending"]
    side = {"kind": "gguf", "base": str(held.base)}
    spec = {
        "version": 1,
        "models": {"base": side, "ft": side | {"adapter": str(held.adapter)}},
        "data": str(held.data),
        "defaults": {"items": _ITEMS, "prompts": _PROMPTS},
        "suite": [*asked, *({"name": kind, "kind": kind} for kind in ("ending", "leakage"))],
    }
    general = {"general": [str(path) for path in held.general]} if held.general else {}  # Else the package's own.
    return spec | general | ({"holdout": str(held.holdout)} if held.holdout else {})


def _given(held: Held) -> tuple[str, str]:
    return str(held.base), str(held.adapter)


def _of(held: Held) -> list[str]:
    words = ["--data", str(held.data)]
    words += [word for path in held.general for word in ("--general", str(path))]
    return words + (["--holdout", str(held.holdout)] if held.holdout else [])


def _inspected(held: Held, speak: Speak) -> Concluded:
    source = ["--peft", str(held.source)] if held.source else []
    done = speak("inspect", *_given(held), *source, "--json")
    if done.returncode:
        return Concluded(REFUSED, _last(done.stderr), "inspect")
    card = next(card for card in json.loads(done.stdout) if card["role"] == "adapter")
    reasons = [reason for found in card["fits"].values() for reason in found]
    if reasons:
        return Concluded(REFUSED, reasons[0], "inspect")
    differences = [one for found in card.get("differences", {}).values() for one in found]
    if differences:
        return Concluded(CONVERSION, differences[0], "inspect --peft")
    return Concluded(HEALTHY, "it fits", "inspect")


def _told(by: str, done: Done, result: Path) -> Concluded:
    """What a result says, whose diagnosis is its first word; a healthy one may warn."""
    if done.returncode:
        return Concluded(REFUSED, _last(done.stderr), by)
    found = json.loads(result.read_text(encoding="utf-8"))
    word = str(found["diagnosis"])
    if word != HEALTHY:
        named = [axis["reason"] for axis in found["axes"] if axis["axis"] == _NAMED_BY.get(word)]
        return Concluded(word, named[0] if named else found["headline"], by)
    warned = [axis for axis in found["axes"] if axis["verdict"] in _WARNING and _finds(axis["reason"])]
    if warned:
        axes = " and ".join(axis["axis"] for axis in warned)
        return Concluded(f"{HEALTHY} but {axes}", "; ".join(axis["reason"] for axis in warned), by)
    return Concluded(HEALTHY, found["headline"], by)


def _finds(reason: str) -> bool:
    """Whether a WARN says that something is wrong, not that it cannot be ruled out."""
    return not any(words in reason for words in _OPEN)


def _shipped(held: Held, folder: Path, speak: Speak, options: Sequence[str]) -> Concluded:
    result = folder / "quants.json"
    words = ["--data", str(held.data), *(word for path in held.general for word in ("--general", str(path)))]
    types = f"F16,{held.ships}"
    where = ["--work", str(folder / "quants"), "--json", str(result)]
    done = speak("quants", *_given(held), *words, "--types", types, *where, *options)
    if done.returncode:
        return Concluded(REFUSED, _last(done.stderr), "quants")
    rows: Sequence[Mapping[str, Any]] = json.loads(result.read_text(encoding="utf-8"))["rows"]
    row = next(row for row in rows if (row["type"], row["mode"]) == (held.ships, "merged"))
    words_of = {"FAIL": LOST, "WARN": f"{HEALTHY} but survival", "PASS": HEALTHY}
    return Concluded(words_of.get(row["verdict"], "inconclusive"), f"{held.ships} merged {row['reason']}", "quants")


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
