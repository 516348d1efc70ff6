"""From a user's training data to a commented sway.yaml and the items that it names. Knows what a spec looks like.

Writes nothing itself: it gives text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text, plain
from sway_gguf.core.sections import Material, Unit, distinct, said
from sway_gguf.material.files import Files, held_out_beside, named, shown
from sway_gguf.material.read import iter_units
from sway_gguf.material.sample import Sample, sample
from sway_gguf.material.write import record_of
from sway_gguf.probes.registry import KINDS
from sway_gguf.spec.model import Models, ModelSpec, Spec
from sway_gguf.suite.prepare import prepare

PICKED = 32
_LOOKED_AT = 8
"""Times as many items of the holdout are looked at, so that some are left where the data holds others."""
_FIRST_WORDS = "# Written by sway-gguf init from"


class Unseen(NamedTuple):
    """What was picked of the holdout, and how many of the items looked at the data holds as well."""

    sample: Sample
    dropped: int
    looked_at: int


class Kept(NamedTuple):
    """The holdout's files, what was picked of them, and whether the files were found by their names."""

    files: Files
    unseen: Unseen
    by_name: bool

    @property
    def sample(self) -> Sample:
        """What was picked."""
        return self.unseen.sample


def init_files(
    base: Path, adapter: Path, data: Files, out: Path, *, holdout: Files, general: Files, seed: int
) -> dict[Path, str]:
    """Text of the spec and of the data files beside it, by path.

    Args:
        base, adapter: the models.
        data: what was trained on.
        out: the spec to be.
        holdout: what was kept out of training; where None, what stands beside the data under a name that says so.
        general: unrelated text.
        seed: of the pick.

    Raises:
        UserError: a file that cannot be used, or data of no use, with the line.
    """
    read_adapter(adapter, read_base(base))
    found = held_out(data, out) if holdout is None else holdout
    picked, unseen = picks(data, found, seed)
    kept = Kept(found, unseen, by_name=holdout is None) if unseen else None
    files = {out.with_suffix(".data.jsonl"): jsonl(picked.material)}
    if kept and kept.sample.material.count:
        files[held_out_file(out)] = jsonl(kept.sample.material)
    names = [path.name for path in files]
    ready, lacking = _kinds(base, adapter, picked.material)
    lines = [
        f"{_FIRST_WORDS} {_names(data)}, seed {seed}. Edit freely.",
        "version: 1",
        "models:",
        f"  base: {{kind: gguf, base: {_path(base, out)}}}",
        f"  ft: {{kind: gguf, base: {_path(base, out)}, adapter: {_path(adapter, out)}}}",
        *_data_lines(names, picked, kept),
        *_general_lines(general, out),
        "# More nulls make smaller p-values reachable: 19 let a rank p reach 0.05.",
        f"defaults: {{seed: {seed}, nulls: 19}}",
        "suite:",
        *(line for kind in ready for line in (f"  # {KINDS[kind].question}", f"  - {{name: {kind}, kind: {kind}}}")),
        *(["# Left out:"] if lacking else []),
        *(f"#   {kind}: {why}" for kind, why in lacking.items()),
    ]
    return {out: "\n".join(lines) + "\n", **files}


def written_by_init(spec: Path) -> bool:
    """Whether `spec` is there and was written by `init_files`, so that the items beside it were too."""
    if not spec.is_file():
        return False
    try:
        with spec.open("rb") as file:
            return file.read(len(_FIRST_WORDS)) == _FIRST_WORDS.encode()
    except OSError:
        return False


def held_out(data: Files, out: Path) -> list[Path]:
    """What stands beside the data and was by its name kept out of training, but for what `init` itself writes.

    Raises:
        UserError: the data cannot be found.
    """
    return [path for path in held_out_beside(data) if path.absolute() != held_out_file(out).absolute()]


def held_out_file(out: Path) -> Path:
    """Where the items go that were kept out of training."""
    return out.with_suffix(".holdout.jsonl")


def picks(data: Files, holdout: Files, seed: int) -> tuple[Sample, Unseen | None]:
    """At most `PICKED` units of each kind of the data, and of what was kept out of training.

    Both are read once, in constant memory. What the data holds as well was not kept out of training and is dropped.

    Raises:
        UserError: a file cannot be read or holds nothing of use.
    """
    looked_at = sample(iter_units(holdout), _LOOKED_AT * PICKED, seed).material if holdout else Material()
    unseen = {said(unit): unit for unit in distinct(looked_at.units())}
    count, found = len(unseen), sample(_without(unseen, iter_units(data)), PICKED, seed)
    if found.material == Material():
        raise UserError(f"{shown(data)}: the file is empty; give a file with text in it")
    if not holdout:
        return found, None
    return found, Unseen(sample(unseen.values(), PICKED, seed), count - len(unseen), count)


def _without(unseen: dict[tuple[str, ...], Unit], units: Iterable[Unit]) -> Iterator[Unit]:
    """The units, each of which is taken out of `unseen` on the way."""
    for unit in units:
        unseen.pop(said(unit), None)
        yield unit


def jsonl(material: Material) -> str:
    """The picked units as JSONL that `data:` reads."""
    return "".join(json_text(record_of(unit)) + "\n" for unit in material.units())


def _kinds(base: Path, adapter: Path, material: Material) -> tuple[list[str], dict[str, str]]:
    """Kinds that this data lets run, and what the others lack."""
    models = Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter))
    spec = Spec(models=models, suite=[{"name": kind, "kind": kind} for kind in KINDS])
    prepared = prepare(spec, material)
    return [probe.kind for probe in prepared.probes], {skip.kind: skip.reason for skip in prepared.skipped}


def _data_lines(names: list[str], picked: Sample, kept: Kept | None) -> Iterator[str]:
    counts = {
        "sections": picked.sections,
        "preferences": picked.preferences,
        "paraphrases": picked.paraphrases,
        "canaries": picked.canaries,
    }
    for name, count in counts.items():
        if count > PICKED:
            yield f"# {PICKED} of {count:,} {name}, picked by seed so that a run stays short."
        elif count:
            yield f"# All {count} {name}."
    yield f"data: {json.dumps(names[0])}"
    if kept is None:
        yield "# holdout: other.jsonl   # text like it that was kept out of training, for what was learned by heart"
        return
    if kept.by_name:
        yield f"# Taken from {_names(kept.files)}, which by its name was kept out of training; remove if it was not."
    if kept.unseen.dropped:
        yield (
            f"# {kept.unseen.dropped} of {kept.unseen.looked_at} items looked at for the holdout stand in the data as "
            "well and were dropped."
        )
    if len(names) > 1:
        yield "# Text like the training data that was kept out of training: what is recited of it was not memorized."
        yield f"holdout: {json.dumps(names[1])}"


def _general_lines(general: Files, out: Path) -> Iterator[str]:
    if general:
        places = ", ".join(_path(path, out) for path in named(general))
        yield "# Text that the adapter should leave alone."
        yield f"general: [{places}]" if len(named(general)) > 1 else f"general: {places}"
    else:
        yield "# general: other.txt   # text that the adapter should leave alone; packaged English prose by default"


def _names(given: Files) -> str:
    """Without their folders, on one line whatever they hold."""
    return plain(", ".join(path.name for path in named(given)[:3])).replace("\n", " ")


def _path(path: Path, out: Path) -> str:
    """Quoted, and relative to the spec's folder where the two share a drive."""
    try:
        return json.dumps(Path(os.path.relpath(path, out.parent)).as_posix())
    except ValueError:
        return json.dumps(path.absolute().as_posix())
