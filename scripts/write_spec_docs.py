"""Writes docs/spec.md from the record that a sway.yaml becomes. A test holds that it is current.

python scripts/write_spec_docs.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.spec.gate import Gate, ProbeLimits
from sway_gguf.spec.model import Defaults, Spec
from sway_gguf.spec.models import AdapterSpec, ModelSpec
from sway_gguf.spec.options import READERS_OWN, ProbeOptions

DOCS = Path(__file__).parents[1] / "docs" / "spec.md"
_OPENING = """# The fields of a sway.yaml

Every field, with what holds where it is left out. `sway-gguf init` writes a first one; paths are relative to the file's
folder, and a leading `~` is your home. An unknown field is an error that names the nearest one. What the command line
says takes the place of the file. Fields of the `sway` project that have no effect here stand in
[migrating](migrating.md).

```yaml
version: 1
models:
  base: {base: base.gguf}
  ft: {base: base.gguf, adapter: adapter.gguf}
data: train.jsonl
holdout: heldout.jsonl
defaults: {nulls: 39, items: 64}
engine: {threads: 4, context: 4096}
gate: {require: [signal, direction], max_loss: 0.1, probes: {lift: {min: 0.2}}}
suite:
  - {kind: applied}
  - {kind: delta_kl}
  - {name: lift, kind: section_internalization}
```
"""
_PARTS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("The file", "", Spec),
    ("models.base and models.ft", "Both name the same base.", ModelSpec),
    ("models.ft.adapters", "Each is a path, or these fields. See [sets of adapters](stacks.md).", AdapterSpec),
    ("defaults", "What holds for the whole run.", Defaults),
    ("engine", "How llama.cpp runs, by its own names.", EngineSettings),
    ("gate", "What `sway-gguf gate` asks beside the verdicts. See [gates](gates.md).", Gate),
    ("gate.probes", "By the probe's name.", ProbeLimits),
    (
        "suite",
        "A list; each kind of [probe](probes.md) adds fields of its own. A name that is left out is the kind's.",
        ProbeOptions,
    ),
)


def document() -> str:
    """The page."""
    return "\n".join([_OPENING, *(line for part in _PARTS for line in _section(*part))])


def _section(title: str, about: str, record: type[BaseModel]) -> Iterator[str]:
    yield from (f"## {title}", "")
    if about:
        yield from (about, "")
    yield from ("| field | default | meaning |", "|---|---|---|")
    for name, field in record.model_fields.items():
        if name not in READERS_OWN:
            yield f"| `{name}` | {_default(field)} | {field.description} |"
    yield ""


def _default(field: FieldInfo) -> str:
    """What holds where it is left out, in few words."""
    if field.is_required():
        return "has to be given"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "none" if value is None or value in ("", [], {}, ()) else f"`{value}`"


if __name__ == "__main__":
    DOCS.write_text(document(), encoding="utf-8")
