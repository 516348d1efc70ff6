"""From a user's training data to a commented sway.yaml and the items that it names. Knows what a spec looks like.

Writes nothing itself: it gives text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text, one_line
from sway_gguf.core.sections import Material, Unit, distinct
from sway_gguf.material.apart import Unseen
from sway_gguf.material.files import Files, held_out_beside, named, shown
from sway_gguf.material.read import iter_units, material_of, read_material
from sway_gguf.material.sample import Sample, sample
from sway_gguf.material.write import record_of
from sway_gguf.probes.registry import all_kinds, kinds_by_default
from sway_gguf.spec.model import FORMATS, Spec
from sway_gguf.spec.models import Models, ModelSpec
from sway_gguf.spec.options import changed, validated
from sway_gguf.suite.prepare import prepare

PICKED = 32
_LOOKED_AT = 8
"""Times as many items of the holdout are looked at, so that some are left where the data holds others."""
_FIRST_WORDS = "# Written by sway-gguf init from"
_FIELDS = {"calibration_drift": "items_limit: 64"}
"""What a suite says beyond name and kind, so that a run stays short; the user may take it away."""


class Spoken(NamedTuple):
    """How dialogues become text, where that is given: the spec's format and template_kwargs."""

    format: str | None = None
    template_kwargs: Mapping[str, Any] = MappingProxyType({})


class Kept(NamedTuple):
    """What was picked of the holdout, and what a reader of the spec should know of it, a line each."""

    material: Material = Material()
    remarks: tuple[str, ...] = ()


def init_files(
    base: Path,
    adapter: Path,
    data: Files,
    out: Path,
    *,
    holdout: Files,
    general: Files,
    seed: int,
    spoken: Spoken | None = None,
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
    spoken = spoken or Spoken()
    alone = Unseen(distinct(read_material(general).sections) if general else ())
    picked, kept = picks(data, holdout, seed, alone) if holdout else _with_what_is_beside(data, out, seed, alone)
    files = {out.with_suffix(".data.jsonl"): jsonl(picked.material)}
    if kept.material.count:
        files[held_out_file(out)] = jsonl(kept.material)
    names = [path.name for path in files]
    cleared = out.with_suffix(".general.jsonl")
    if 0 < len(alone.left) < alone.count:
        files[cleared] = jsonl(material_of(alone.left))
    ready, lacking = _kinds(base, adapter, picked.material, spoken)
    lines = [
        f"{_FIRST_WORDS} {_names(data)}, seed {seed}. Edit freely.",
        "version: 1",
        "models:",
        f"  base: {{kind: gguf, base: {_path(base, out)}}}",
        f"  ft: {{kind: gguf, base: {_path(base, out)}, adapter: {_path(adapter, out)}}}",
        *_data_lines(names, picked, kept),
        *_general_lines(general, out, alone, cleared),
        *_format_lines(spoken, out),
        "# More nulls make smaller p-values reachable: 19 let a rank p reach 0.05.",
        f"defaults: {{seed: {seed}, nulls: 19}}",
        "suite:",
        *_entries(ready),
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


def _with_what_is_beside(data: Files, out: Path, seed: int, alone: Unseen) -> tuple[Sample, Kept]:
    """The picks of the data, and of what stands beside it and was kept out of training, if that can be read."""
    beside = held_out(data, out)
    try:
        picked, kept = picks(data, beside, seed, alone)
    except UserError as error:
        if not beside:
            raise
        picked, kept = picks(data, None, seed, alone)
        return picked, Kept(remarks=(f"{_names(beside)} stands beside the data and cannot be used: {error}",))
    if not beside:
        return picked, kept
    found = f"Taken from {_names(beside)}, which by its name was kept out of training; remove it if it was not."
    return picked, kept._replace(remarks=(found, *kept.remarks))


def picks(data: Files, holdout: Files, seed: int, alone: Unseen) -> tuple[Sample, Kept]:
    """At most `PICKED` units of each kind of the data, and of what was kept out of training.

    Both are read once, in constant memory. What the data holds as well was not kept out of training and is dropped.

    Args:
        data, holdout, seed: as of `init_files`.
        alone: general text, which is shown all of both.

    Raises:
        UserError: a file cannot be read or holds nothing of use.
    """
    looked_at = sample(iter_units(holdout), _LOOKED_AT * PICKED, seed).material if holdout else Material()
    unseen = Unseen(distinct(looked_at.units()))
    for unit in looked_at.units():
        alone.see(unit)
    found = sample(_shown(iter_units(data), unseen, alone), PICKED, seed)
    if found.material == Material():
        raise UserError(f"{shown(data)}: the file is empty; give a file with text in it")
    if not holdout:
        return found, Kept()
    left, count = unseen.left, unseen.count
    dropped = f"{count - len(left)} of {count} items looked at stand in the data as well and were dropped."
    remarks = (dropped,) if len(left) < count else ()
    return found, Kept(sample(left, PICKED, seed).material, remarks)


def _shown(units: Iterable[Unit], *unseen: Unseen) -> Iterator[Unit]:
    """The units, each of which is shown to `unseen` on the way."""
    for unit in units:
        for each in unseen:
            each.see(unit)
        yield unit


def jsonl(material: Material) -> str:
    """The picked units as JSONL that `data:` reads."""
    return "".join(json_text(record_of(unit)) + "\n" for unit in material.units())


def _kinds(base: Path, adapter: Path, material: Material, spoken: Spoken) -> tuple[list[str], dict[str, str]]:
    """Kinds that this data lets run, and what the others lack."""
    models = Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter))
    entries = [{"name": kind, "kind": kind} for kind in kinds_by_default()]
    asked = {"models": models, "suite": entries, "template_kwargs": dict(spoken.template_kwargs)}
    spec = changed(validated(Spec, asked, "the command line"), {"format": spoken.format}, "the command line")
    prepared = prepare(spec, material)
    return [probe.kind for probe in prepared.probes], {skip.kind: skip.reason for skip in prepared.skipped}


def _entries(ready: Sequence[str]) -> Iterator[str]:
    kinds = all_kinds()
    for kind in ready:
        fields = "".join(f", {field}" for field in (_FIELDS.get(kind),) if field)
        yield f"  # {one_line(kinds[kind].question)}"
        yield f"  - {{name: {kind}, kind: {kind}{fields}}}"


def _data_lines(names: list[str], picked: Sample, kept: Kept) -> Iterator[str]:
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
    yield f"data: {_quoted(names[0])}"
    if len(names) > 1:
        yield "# Text like the training data that was kept out of training: what is recited of it was not memorized."
    yield from (f"# {one_line(remark)}" for remark in kept.remarks)
    if len(names) > 1:
        yield f"holdout: {_quoted(names[1])}"
    elif not kept.remarks:
        yield "# holdout: other.jsonl   # text like the data that was kept out of training"


def _general_lines(general: Files, out: Path, alone: Unseen, cleared: Path) -> Iterator[str]:
    held = alone.count - len(alone.left)
    if held:
        yield f"# {held} of {alone.count} texts of {_names(general)} stand in the data or the holdout and were dropped."
    if general and alone.left:
        places = ", ".join(_path(path, out) for path in ([cleared] if held else named(general)))
        yield "# Text that the adapter should leave alone."
        yield f"general: [{places}]" if len(named(general)) > 1 and not held else f"general: {places}"
    else:
        yield "# general: other.txt   # text that the adapter should leave alone; packaged English prose by default"


def _format_lines(spoken: Spoken, out: Path) -> Iterator[str]:
    if spoken.format is not None:
        yield "# How dialogues become text; auto takes the base's own template where there are any."
        yield f"format: {spoken.format if spoken.format in FORMATS else _path(Path(spoken.format), out)}"
    if spoken.template_kwargs:
        yield f"template_kwargs: {json_text(spoken.template_kwargs)}"


def _names(given: Files) -> str:
    """The first ones without their folders, on one line whatever they hold."""
    return one_line(", ".join(path.name for path in named(given)[:3]))


def _path(path: Path, out: Path) -> str:
    """Quoted, and relative to the spec's folder where the two share a drive."""
    try:
        return _quoted(Path(os.path.relpath(path, out.parent)).as_posix())
    except ValueError:
        return _quoted(path.absolute().as_posix())


def _quoted(name: str) -> str:
    """A name as YAML has it.

    Raises:
        UserError: it holds what is no text, such as a byte of another encoding, and no spec could name it.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{name}: this name is not UTF-8, and a spec is; rename it") from None
    return json.dumps(name)
