"""From a user's training data to a commented sway.yaml and the items that it names. Knows what a spec looks like.

Writes nothing itself: it gives text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text
from sway_gguf.core.sections import Material
from sway_gguf.material.read import is_jsonl, iter_jsonl, read_material
from sway_gguf.material.sample import Sample, sample
from sway_gguf.probes.registry import KINDS
from sway_gguf.spec.model import FORMATS, Models, ModelSpec, Spec
from sway_gguf.spec.options import changed, validated
from sway_gguf.suite.prepare import prepare

PICKED = 32
_FIRST_WORDS = "# Written by sway-gguf init from"


class Spoken(NamedTuple):
    """How dialogues become text, where that is given: the spec's format and template_kwargs."""

    format: str | None = None
    template_kwargs: Mapping[str, Any] = MappingProxyType({})


def init_files(
    base: Path,
    adapter: Path,
    data: Path,
    out: Path,
    *,
    holdout: Path | None,
    general: Path | None,
    seed: int,
    spoken: Spoken | None = None,
) -> dict[Path, str]:
    """Text of the spec and of the data files beside it, by path.

    Raises:
        UserError: a file that cannot be used, or data of no use, with the line.
    """
    read_adapter(adapter, read_base(base))
    spoken = spoken or Spoken()
    picked = sampled(data, seed)
    kept = sampled(holdout, seed) if holdout else None
    files = {out.with_suffix(".data.jsonl"): jsonl(picked.material)}
    if kept:
        files[out.with_suffix(".holdout.jsonl")] = jsonl(kept.material)
    names = [path.name for path in files]
    ready, lacking = _kinds(base, adapter, picked.material, spoken)
    lines = [
        f"{_FIRST_WORDS} {data.name}, seed {seed}. Edit freely.",
        "version: 1",
        "models:",
        f"  base: {{kind: gguf, base: {_path(base, out)}}}",
        f"  ft: {{kind: gguf, base: {_path(base, out)}, adapter: {_path(adapter, out)}}}",
        *_data_lines(names, picked, kept),
        *_general_lines(general, out),
        *_format_lines(spoken, out),
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


def sampled(path: Path, seed: int) -> Sample:
    """At most `PICKED` units of each kind of a data file.

    Raises:
        UserError: it cannot be read or holds nothing of use.
    """
    if is_jsonl(path):
        found = sample(iter_jsonl(path), PICKED, seed)
    else:
        material = read_material(path)
        found = sample([*material.sections, *material.preferences], PICKED, seed)
    if found.material == Material():
        raise UserError(f"{path}: the file is empty; give a file with text in it")
    return found


def jsonl(material: Material) -> str:
    """The picked units as JSONL that `data:` reads."""
    return "".join(json_text(record) + "\n" for record in _records(material))


def _records(material: Material) -> Iterator[dict[str, object]]:
    for section in material.sections:
        body = {"prompt": section.prompt, "completion": section.text} if section.prompt else {"text": section.text}
        yield {"id": section.id, **body}
    for triple in material.preferences:
        yield {"prompt": triple.prompt, "chosen": triple.chosen, "rejected": triple.rejected}
    for case in material.paraphrases:
        yield {"prompt": case.prompt, "gold": case.gold, "paraphrases": list(case.paraphrases)}
    for canary in material.canaries:
        yield {"prompt": canary.prompt, "secret": canary.secret}


def _kinds(base: Path, adapter: Path, material: Material, spoken: Spoken) -> tuple[list[str], dict[str, str]]:
    """Kinds that this data lets run, and what the others lack."""
    models = Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter))
    entries = [{"name": kind, "kind": kind} for kind in KINDS]
    asked = {"models": models, "suite": entries, "template_kwargs": dict(spoken.template_kwargs)}
    spec = changed(validated(Spec, asked, "the command line"), {"format": spoken.format}, "the command line")
    prepared = prepare(spec, material)
    return [probe.kind for probe in prepared.probes], {skip.kind: skip.reason for skip in prepared.skipped}


def _data_lines(names: list[str], picked: Sample, kept: Sample | None) -> Iterator[str]:
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
    if kept:
        yield "# Text like the training data that was kept out of training: what is recited of it was not memorized."
        yield f"holdout: {json.dumps(names[1])}"


def _general_lines(general: Path | None, out: Path) -> Iterator[str]:
    if general:
        yield "# Text that the adapter should leave alone."
        yield f"general: {_path(general, out)}"
    else:
        yield "# general: other.txt   # text that the adapter should leave alone; packaged English prose by default"


def _format_lines(spoken: Spoken, out: Path) -> Iterator[str]:
    if spoken.format is not None:
        yield "# How dialogues become text; auto takes the base's own template where there are any."
        yield f"format: {spoken.format if spoken.format in FORMATS else _path(Path(spoken.format), out)}"
    if spoken.template_kwargs:
        yield f"template_kwargs: {json_text(spoken.template_kwargs)}"


def _path(path: Path, out: Path) -> str:
    """Quoted, and relative to the spec's folder where the two share a drive."""
    try:
        return json.dumps(Path(os.path.relpath(path, out.parent)).as_posix())
    except ValueError:
        return json.dumps(path.absolute().as_posix())
